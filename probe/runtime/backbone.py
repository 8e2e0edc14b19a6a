"""A frozen backbone, opened at its taps: float32 windows in, one pooled vector a tap out.

Backbone.open finds the blocks, exposes the chosen taps, folds the front end, verifies the result against the untouched
file, and keeps one ONNX Runtime session. probe/runtime/input_spec.py knows what to feed it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from ...features import InputError, files
from ...features.spelling import spanned
from ..blocks.architecture import Architecture, Block
from ..graph.load import data_files, naming, read_file
from ..models.frontends.opening import open_model, open_waveform
from ..models.registry import resolve
from ..surgery.passes import check_names
from ..surgery.pooling import parse_all
from ..surgery.verify import Verification
from .cost import Timing
from .device_session import BATCH, DeviceCheck, DeviceSession
from .input_spec import random_weights, row_of, waveform_shape
from .opening import open_on, open_proven
from .providers import CPU, Device
from .sessions import ORT_ERRORS, data_input, reason, release_memory, run_chunks, together


@dataclass(frozen=True, repr=False)
class Backbone:
    """See the module. Calling it is thread-safe; the model's weights live in the session only.

    blocks: the block that each tap reads, under the tap's name. dims: tap -> dimensions of one pooled row. pooling: the
    rules' text. folding: what was done to the front end; without: the passes switched off.
    frontend: what makes the spectrogram, where the file wants one; inputs: values of its other inputs.
    batch: windows a call that the graph is fixed to, None where it takes any number. threads: of the session, None for
    one per core. random_weights: the seed of an untrained control, else None. warnings: where it is fed otherwise than
    is known of the file. device_check: how far the device is from the CPU in float32, None on the latter. cost: tap ->
    milliseconds a window up to it on the CPU, none if not timed.
    """

    path: Path
    sha256: str
    preset: str | None
    sample_rate: int  # Hz
    window_samples: int
    normalise: str
    pooling: str
    blocks: dict[str, Block]
    dims: dict[str, tuple[int, ...]]
    architecture: Architecture
    verification: Verification
    folding: str
    without: tuple[str, ...]
    batch: int | None
    threads: int | None
    frontend: str | None
    inputs: tuple[str, ...]
    random_weights: int | None
    warnings: tuple[str, ...]
    device: Device
    device_check: DeviceCheck | None
    cost: dict[str, Timing]
    _row: tuple[int, ...] = field(compare=False)
    _dtype: type = field(compare=False)
    _outputs: tuple[str, ...] = field(compare=False)
    _session: "ort.InferenceSession | DeviceSession" = field(compare=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        taps: str = "all",
        pooling: str = "mean",
        sample_rate: int | None = None,
        window_s: float | None = None,
        normalise: str | None = None,
        threads: int | None = None,
        fold: bool = True,
        spinning: bool = False,
        frontend: str | None = None,
        inputs: Sequence[str] = (),
        device: Device = CPU,
        without: Sequence[str] = (),
        timed: bool = False,
    ) -> "Backbone":
        """Open `path`, or a model's name, at `taps` (the command's syntax, such as "all", "-4", "3,7-9,embedding").

        pooling: one rule or several, comma-separated; under several a tap is `block_17/max`, and may be asked for so.
        threads: intra-op threads of the session (None: one per core). fold=False leaves the front end as it is,
        without the passes named there (see surgery/passes).
        spinning=True lets its threads burn a core between calls: faster only where nothing else wants the cores, such
        as decoding, other sessions or other callers. device: see `providers.find_device`; checked against the CPU.
        frontend, inputs: as `models.frontends.opening.open_model` takes them. timed: also measure what each tap costs.
        InputError: a file that cannot be opened, unknown taps, missing or contradicting sample rate and window, a
        model that takes no waveform, or surgery that changes numbers.
        """
        without = check_names(without)
        path = resolve(path)
        model, input_spec, front = open_waveform(path, frontend, inputs, sample_rate, window_s, normalise)
        shape = waveform_shape(model, path.name, input_spec.window_samples)
        digest, untrained = sha256(path), random_weights(model)
        form = " ".join((digest, front.text if front else "", *inputs))
        with naming(path):
            architecture, exposed, verification, note = open_proven(model, form, shape, taps, pooling, fold, without)
        del model
        session, check, cost = open_on(device, exposed, architecture.stem, row_of(shape), threads, spinning, timed)
        spec = data_input(session)
        backbone = cls(
            path=path,
            sha256=digest,
            preset=input_spec.preset,
            sample_rate=input_spec.sample_rate,
            window_samples=input_spec.window_samples,
            normalise=input_spec.normalise,
            pooling=",".join(map(str, parse_all(pooling))),
            blocks={block.name: block for block in exposed.taps},
            dims=exposed.dims,
            architecture=architecture,
            verification=verification,
            folding=note,
            without=without,
            batch=together(spec),
            threads=threads,
            frontend=front.text if front else None,
            inputs=tuple(inputs),
            random_weights=untrained,
            warnings=input_spec.warnings,
            device=device,
            device_check=check,
            cost=cost,
            _row=row_of(shape),
            _dtype=spec.dtype,
            _outputs=tuple(exposed.outputs.values()),
            _session=session,
        )
        del exposed
        release_memory()
        return backbone

    @property
    def taps(self) -> tuple[str, ...]:
        """Tap names in graph order."""
        return tuple(self.blocks)

    @property
    def best_batch(self) -> int:
        """Windows a call that the device is fed at best, and on a device other than the CPU at most."""
        return self.device_check.batch if self.device_check else self.batch or BATCH

    @property
    def window_s(self) -> float:
        return self.window_samples / self.sample_rate

    @property
    def model(self) -> onnx.ModelProto:
        """The untouched model, read from the file again: a backbone at work does not hold its weights twice."""
        return open_model(self.path, self.frontend, self.inputs, self.sample_rate, self.window_s)

    def __call__(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """windows [N, window_samples] -> {tap: float32 [N, *dims[tap]]}, any N.

        InputError: windows of another length, or a tap that is not finite (float16 overflow, NaN in the audio).
        """
        windows = np.atleast_1d(windows)
        n = len(windows)
        if windows.ndim != 2 or windows.shape[1] != self.window_samples:
            raise InputError(f"{self.path.name}: windows {windows.shape}, wanted [N, {self.window_samples}]")
        if n == 0:
            return {tap: np.zeros((0, *self.dims[tap]), np.float32) for tap in self.taps}
        x: np.ndarray = np.ascontiguousarray(windows, self._dtype).reshape(n, *self._row)
        chunk = self.best_batch if self.device_check and self.batch is None else self.batch
        try:
            runs = list(run_chunks(self._session, x, chunk, self._outputs))
        except ORT_ERRORS as error:
            raise InputError(f"{self.path.name}: ONNX Runtime fails on {n} windows: {reason(error)}") from error
        features = {}
        for tap, parts in zip(self.taps, zip(*runs)):
            joined = parts[0] if len(parts) == 1 else np.concatenate([p.reshape(-1, *self.dims[tap]) for p in parts])
            features[tap] = joined.reshape(n, *self.dims[tap])
            if not np.isfinite(features[tap]).all():
                rows = np.flatnonzero(~np.isfinite(features[tap]).reshape(n, -1).all(axis=1))
                raise InputError(
                    f"{self.path.name}, tap {tap}: NaN or infinity in {len(rows)} of {n} windows (first: {rows[0]}). "
                    "float16 overflow, or NaN in the audio?"
                )
        return features

    def __repr__(self) -> str:
        kind = self.preset or "no preset"
        return (
            f"Backbone({self.path.name}, {kind}: {self.window_s:g} s at {self.sample_rate} Hz, normalise "
            f"{self.normalise}, {spanned(self.taps)}, pooled by {self.pooling})"
        )


def sha256(path: Path) -> str:
    """Of the file's bytes, followed by those of its external data files in the order of their names, if it has any."""
    model = read_file(path)
    return files.sha256(path, *data_files(model, path))
