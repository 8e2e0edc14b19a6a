"""A session on a device other than the CPU: checked against the CPU in float32, fed few shapes, outputs bound there.

A device rounds in another order or to fewer bits, and providers have returned NaN or memory that was never filled. So
the CPU in float32 runs the same windows before anything is believed: seeded noise at opening, where every tap has to
agree within the precision's tolerance, and some windows of the first real batch of each size, where a wide tolerance is
enough (in recordings with digital silence two orders of summation on one CPU are 1e-3 apart, see
surgery/frontend_folding). Batches are filled up to the next power of two, since a new shape costs a device a search.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnxruntime as ort

from ...features import InputError
from ...features.spelling import counted
from .providers import PROVIDERS, Device
from .sessions import ORT_ERRORS, audio_like, data_input

BATCH = 8  # windows a call, where nothing else was found to be faster
LARGEST = 256
GPU_BATCH = 32  # where a trial would make two runs differ, as in predictions that are resumed
TRIED = ("cuda", "directml")  # TensorRT builds an engine a shape, which takes minutes
TRIAL_S = 2.0
AT_ONCE = 2  # calls under way: one computes while the other's windows are copied
CHECKED = 8  # windows of a real batch that the CPU repeats
REAL_TOLERANCE = 5e-2  # finds NaN, unfilled tensors and wrong numbers, not rounding


@dataclass(frozen=True)
class DeviceCheck:
    """How far a device is from the CPU's float32 on seeded noise: tap -> relative L2. batch: windows a call."""

    device: str
    precision: str
    provider: str
    batch: int
    rel_l2: dict[str, float]
    tolerance: float

    def to_json(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        tap, worst = max(self.rel_l2.items(), key=lambda item: item[1])
        return (
            f"{self.device} in {self.precision}, {counted(self.batch, 'window')} a call: "
            f"{counted(len(self.rel_l2), 'tap')} within "
            f"{worst:.1e} relative L2 of the CPU in float32 (worst {tap}); tolerance {self.tolerance:.0e}"
        )


class DeviceSession:
    """Stands in for an `onnxruntime.InferenceSession` in `run_chunks`; see the module.

    Args:
        session: on the device. reference: of the same graph on the CPU in float32.
        outputs: output -> its tap, for messages. device: what `session` was opened on.
        fixed: windows a call that the graph is fixed to (0: no batch axis); None where it takes any number.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        reference: ort.InferenceSession,
        outputs: Mapping[str, str],
        device: Device,
        fixed: int | None,
    ):
        self.session, self.reference = session, reference
        self.outputs, self.device, self.fixed = dict(outputs), device, fixed
        self._gate, self._check = threading.Semaphore(AT_ONCE), threading.Lock()
        self._checked: set[int] = set()

    def get_inputs(self):
        return self.session.get_inputs()

    def get_session_options(self):
        return self.session.get_session_options()

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """As InferenceSession.run. InputError: the first windows of this many differ from the CPU's."""
        names = list(names or self.outputs)
        ((name, x),) = feeds.items()
        n = len(x)
        if self.fixed is None and (missing := (1 << (n - 1).bit_length()) - n):
            x = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)])
        with self._gate:
            found = self.compute(names, {name: x})
        if len(x) not in self._checked:
            with self._check:
                if len(x) not in self._checked:
                    self.compare_rows(names, name, x, found)
                    self._checked.add(len(x))
        return [one[:n] for one in found] if len(x) > n else found

    def compute(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        """One call, unchecked. On CUDA outputs stay on the device until all are there, and are fetched together."""
        return run_bound(self.session, names, feeds, "cuda") if self.device.name == "cuda" else self.session.run(
            names, feeds
        )  # fmt: skip

    def compare_rows(self, names: list[str], name: str, x: np.ndarray, found: list[np.ndarray]) -> None:
        """InputError: some of these real windows come out otherwise than on the CPU."""
        if self.fixed is None and len(x) > CHECKED:
            rows = np.linspace(0, len(x) - 1, CHECKED).round().astype(int)
            x, found = np.ascontiguousarray(x[rows]), [one[rows] for one in found]
        wanted = self.reference.run(names, {name: x})
        self.refuse(differences(names, found, wanted), REAL_TOLERANCE, "the first windows")

    def refuse(self, apart: Mapping[str, float], tolerance: float, what: str) -> None:
        """InputError: NaN, or a tap further from the CPU than `tolerance`; the worst is named."""
        name, worst = max(apart.items(), key=lambda item: item[1])
        tap = self.outputs.get(name, name)
        if np.isinf(worst):
            cause = "float16 overflow?" if self.device.precision == "float16" else "A tensor that was never filled?"
            raise InputError(f"{self.device}, tap {tap}: NaN or infinity on {what} where the CPU has numbers. {cause}")
        if worst > tolerance:
            raise InputError(
                f"{self.device}, tap {tap}: {worst:.1e} relative L2 from the CPU in float32 on {what}, tolerance "
                f"{tolerance:.0e}. Use --device cpu or --precision float32."
            )


def check_noise(opened: DeviceSession, row: tuple[int, ...], batch: int) -> DeviceCheck:
    """How far the device is from the CPU on seeded noise, in a batch as large as those that are fed later.

    row: the shape of one window. InputError: a tap beyond the precision's tolerance, NaN, or a device that fails.
    """
    spec, names = data_input(opened.session), list(opened.outputs)
    x = audio_like((batch, *row), spec.dtype)
    pieces = [x] if opened.fixed is None else [x[i : i + opened.fixed] for i in range(0, batch, opened.fixed or batch)]
    if opened.fixed == 0:
        pieces = list(x)
    apart = dict.fromkeys(names, 0.0)
    for piece in pieces:
        found = opened.compute(names, {spec.name: piece})
        for name, far in differences(names, found, opened.reference.run(names, {spec.name: piece})).items():
            apart[name] = max(apart[name], far)
    device = opened.device
    opened.refuse(apart, device.tolerance, "seeded noise")
    taps = {opened.outputs[name]: far for name, far in apart.items()}
    return DeviceCheck(device.name, device.precision, PROVIDERS[device.name], batch, taps, device.tolerance)


def differences(names: Sequence[str], found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> dict[str, float]:
    """Output -> relative L2 of `found` from `wanted`; infinite where only that is not finite, or of another shape."""
    apart = {}
    for name, a, b in zip(names, found, wanted):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        finite = np.isfinite(b)
        if a.shape != b.shape or not np.isfinite(a[finite]).all():
            apart[name] = float("inf")
        else:
            apart[name] = float(np.linalg.norm(a[finite] - b[finite])) / (float(np.linalg.norm(b[finite])) or 1.0)
    return apart


def run_bound(
    session: ort.InferenceSession, names: Sequence[str], feeds: Mapping[str, np.ndarray], place: str
) -> list[np.ndarray]:
    """One call with inputs and outputs bound at `place`: nothing is fetched before everything is computed."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, np.ascontiguousarray(array))
    for name in names:
        binding.bind_output(name, place)
    session.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()


def steady_batch(opened: DeviceSession) -> int:
    """Windows a call without a trial, for what has to come out alike in two runs."""
    return opened.fixed if opened.fixed is not None else GPU_BATCH if opened.device.name in TRIED else BATCH


def best_batch(opened: DeviceSession, row: tuple[int, ...]) -> int:
    """Windows a call: what the graph is fixed to; on a GPU the fastest of 8, 16, ... found within two seconds.

    Stops where the next size gains less than 5 %. Where memory runs out a quarter of that size is taken: two calls may
    be under way at a time, and others use the device too.
    """
    if opened.fixed is not None or opened.device.name not in TRIED:
        return opened.fixed or BATCH
    spec, names = data_input(opened.session), list(opened.outputs)
    best, pace, size, until = BATCH, 0.0, BATCH, time.perf_counter() + TRIAL_S
    while size <= LARGEST and time.perf_counter() < until:
        x = {spec.name: audio_like((size, *row), spec.dtype)}
        try:
            opened.compute(names, x)  # kernels are chosen and memory is taken for this shape
            began = time.perf_counter()
            for _ in range(2):
                opened.compute(names, x)
            now = 2 * size / (time.perf_counter() - began)
        except ORT_ERRORS:
            return max(BATCH, size // 4)
        if now < 1.05 * pace:
            break
        best, pace, size = size, now, 2 * size
    return best
