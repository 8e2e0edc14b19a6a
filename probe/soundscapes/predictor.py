"""What turns windows into probabilities: a fused file, any ONNX classifier with a list of labels, or a training's run.

Whatever has the attributes of `Predictor` can be given to `predict`: a fine-tuned model, for one.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...features import InputError
from ...features.files import check_regular
from ...features.playback import Playback
from ...features.windows import NORMALISATIONS
from ..runtime import sessions
from ..runtime.device_session import DeviceCheck, DeviceSession, check_noise, steady_batch
from ..runtime.providers import CPU, Device
from ..runtime.sessions import ORT_ERRORS, reason, run_chunks, together

FRAMES = "frames"  # the output of an exported sound event detector
METADATA = ("labels", "sample_rate", "window_s", "normalise")
ACTIVATIONS = ("sigmoid", "softmax", "none")


class Predictor(Protocol):
    """labels: names of the K outputs. sample_rate in Hz. normalise: one of features.windows.NORMALISATIONS, what the
    caller does to the audio. identity: changes whenever the numbers could. Calls may come from several threads.

    Optional: `threads`, how many a call uses; `at_work()`, a context manager around all calls of a prediction;
    `playback`, how recordings were played to what it learned from (None: it does not say);
    `predict_recording(windows, stem)`, which is called instead with all windows of one recording, in their order, and
    the recording's name: float32 [T, window_samples] -> float32 [T, K];
    where `has_frames` is true, `frames(windows)`, float32 [n, T, K], probabilities over T frames of equal length.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def window_samples(self) -> int: ...
    @property
    def normalise(self) -> str: ...
    @property
    def identity(self) -> str: ...

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, K], values in 0..1."""
        ...


@dataclass(frozen=True, eq=False)
class OnnxPredictor:
    """A file that ends in class scores. activation: what is still to be done to them; "none" after fusing."""

    path: Path
    labels: tuple[str, ...]
    sample_rate: int
    window_samples: int
    normalise: str
    identity: str
    activation: str = "none"
    threads: int | None = 1
    playback: Playback | None = None
    _session: Any = field(default=None, repr=False)
    _output: str = ""
    device_check: DeviceCheck | None = None

    def on(self, device: Device) -> "OnnxPredictor":
        """The same file on another device, checked against the CPU. InputError: it fails there or is off."""
        if device.plain:
            return self
        if hasattr(self, "predict_recording"):
            raise InputError(f"`--device {device.name}`: {self.path} reads whole recordings, on the CPU alone.")
        if device.precision == "float16":
            raise InputError(f"{self.path}: `--precision float16` is for backbones, use float32 or tf32.")
        cpu = sessions.open_session(self.path, None, spinning=False)
        spec = sessions.data_input(cpu)
        there = sessions.open_session(self.path, self.threads, spinning=False, device=device)
        opened = DeviceSession(there, cpu, {self._output: self._output}, device, together(spec))
        row = (1,) * (len(spec.shape) - 2) + (self.window_samples,)
        try:
            check = check_noise(opened, row, steady_batch(opened) or 1)
        except ORT_ERRORS as error:
            raise InputError(f"`--device {device.name}`: ONNX Runtime fails there: {reason(error)}") from error
        identity = self.identity if device.precision == "float32" else f"{self.identity}-{device.precision}"
        return replace(self, identity=identity, _session=opened, device_check=check)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        scores = self._run(windows, self._output).reshape(-1, len(self.labels))
        return activated(scores.astype(np.float32, copy=False), self.activation)

    @property
    def has_frames(self) -> bool:
        """Whether the file says when, too: it was exported of a sound event detector, and is run on the CPU."""
        outputs = {} if self.device_check else {node.name: node.shape for node in self._session.get_outputs()}
        return self.activation == "none" and len(outputs.get(FRAMES, ())) == 3

    def frames(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, T, K], probabilities over T frames of equal length."""
        return self._run(windows, FRAMES).astype(np.float32, copy=False)

    def _run(self, windows: np.ndarray, output: str) -> np.ndarray:
        spec = sessions.data_input(self._session)
        row = (1,) * (len(spec.shape) - 2) + (self.window_samples,)
        x = np.ascontiguousarray(windows, np.dtype(spec.dtype)).reshape(len(windows), *row)
        try:
            return np.concatenate([out for (out,) in run_chunks(self._session, x, together(spec), [output])])
        except ORT_ERRORS as error:
            raise InputError(f"{self.path.name}: ONNX Runtime fails on {len(x)} windows: {reason(error)}") from error


def activated(scores: np.ndarray, activation: str) -> np.ndarray:
    """[n, K] -> [n, K]. Both written so that they cannot overflow."""
    if activation == "sigmoid":
        small = np.exp(-np.abs(scores))
        return np.where(scores >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
    if activation == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores


def open_onnx(
    path: Path | str,
    *,
    labels: Path | str | None = None,
    activation: str = "sigmoid",
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
    threads: int | None = 1,
    device: Device = CPU,
) -> OnnxPredictor:
    """A fused ONNX file, or with `labels` any ONNX classifier, as a predictor.

    Args: as `birdprobe.heads.api.open_predictor`.
    Raises: InputError where the file, its metadata or the labels do not belong together.
    """
    path = Path(path)
    if labels is not None:
        given = (activation, sample_rate, window_s, normalise, frontend, inputs, threads)
        return open_classifier(path, Path(labels), *given).on(device)
    return open_fused(path, threads).on(device)


def open_fused(path: Path, threads: int | None = 1, identity: str | None = None) -> OnnxPredictor:
    """A file that `birdprobe fuse` wrote, or `birdprobe export` of a trained model.

    Args:
        path: the ONNX file.
        threads: of one call.
        identity: its hash where that is known; otherwise it is computed, which needs onnx.
    Raises: InputError where its metadata are missing or do not fit.
    """
    session = sessions.open_session(path, threads, spinning=False)
    about = session.get_modelmeta().custom_metadata_map
    if missing := [name for name in METADATA if name not in about]:
        raise InputError(
            f"{path}: metadata without {', '.join(missing)}, so it was not fused by birdprobe. Give --labels, or the "
            "run and its --model?"
        )
    try:
        labels = tuple(map(str, json.loads(about["labels"])))
        sample_rate, window_s = int(about["sample_rate"]), float(about["window_s"])
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged metadata ({error}). Fused by another program?") from None
    if not (sample_rate > 0 and 0 < window_s < math.inf):
        raise InputError(f"{path}: damaged metadata ({window_s} s at {sample_rate} Hz). Fused by another program?")
    outputs = {node.name: node.shape for node in session.get_outputs()}
    output = "probabilities" if "probabilities" in outputs else next(iter(outputs))
    if outputs[output][-1] != len(labels) or about["normalise"] not in NORMALISATIONS:
        raise InputError(
            f"{path}: output {output} {outputs[output]} and normalise {about['normalise']} found, {len(labels)} "
            "classes wanted. Changed after it was fused?"
        )
    if identity is None:
        from ..runtime.backbone import sha256 as model_sha256

        identity = model_sha256(path)
    from .recording_file import over_recordings

    samples = round(sample_rate * window_s)
    predictor = OnnxPredictor(
        *(path, labels, sample_rate, samples, about["normalise"], identity, "none", threads),
        *(fused_playback(about), session, output),
    )
    return over_recordings(predictor, about)


def fused_playback(about: Mapping[str, str]) -> Playback | None:
    """How recordings were played to what a fused file learned from; None of a file that does not say."""
    if "speed" not in about and "bandpass" not in about:
        return None
    return Playback.parse(float(about.get("speed", "1")), about.get("bandpass"))


def open_classifier(
    path: Path,
    labels_file: Path,
    activation: str,
    sample_rate: int | None,
    window_s: float | None,
    normalise: str | None,
    frontend: str | None,
    inputs: Sequence[str],
    threads: int | None,
) -> OnnxPredictor:
    """Any waveform classifier; its output is the one that is as wide as the list of labels is long."""
    from ..models.frontends.frontend import FrontEnd
    from ..models.frontends.opening import open_model
    from ..runtime.backbone import sha256 as model_sha256
    from ..runtime.input_spec import read_input_spec, waveform_shape

    if activation not in ACTIVATIONS:
        raise InputError(f"activation {activation!r} found, one of {', '.join(ACTIVATIONS)} wanted.")
    labels = read_labels(labels_file)
    front = None if frontend is None else FrontEnd.parse(frontend, sample_rate)
    model = open_model(path, front, inputs, sample_rate, window_s)
    if front is not None:
        sample_rate, window_s = front.rate, None
    contract = read_input_spec(model, path.name, sample_rate, window_s, normalise)
    waveform_shape(model, path.name, contract.window_samples)
    session = sessions.open_session(model, threads, spinning=False)
    del model
    widths = {node.name: node.shape[-1] for node in session.get_outputs() if node.shape and len(node.shape) <= 2}
    fitting = [name for name, width in widths.items() if width == len(labels)]
    if len(fitting) != 1:
        raise InputError(
            f"{labels_file}: {len(labels)} labels found, one output of {path.name} as wide wanted "
            f"({', '.join(f'{name} {width}' for name, width in widths.items())})."
        )
    said = [activation, contract.sample_rate, contract.window_samples, contract.normalise, fitting[0]]
    said += [front.text] if front else []
    said += list(inputs)
    digest = sha256(json.dumps([model_sha256(path), *said]).encode()).hexdigest()
    return OnnxPredictor(
        *(path, labels, contract.sample_rate, contract.window_samples, contract.normalise, digest, activation, threads),
        *(None, session, fitting[0]),
    )


def read_labels(path: Path) -> tuple[str, ...]:
    """One a line, in the order of the outputs; empty lines at the end do not count."""
    check_regular(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}, a text file with one label a line wanted.") from error
    labels = tuple(line.strip() for line in lines)
    lines_of: dict[str, list[str]] = {}
    for number, label in enumerate(labels, 1):
        lines_of.setdefault(label, []).append(str(number))
    doubled = [f"{label!r} on lines {' and '.join(at[:3])}" for label, at in lines_of.items() if label and len(at) > 1]
    if not labels or doubled or "" in labels:
        found = doubled[0] if doubled else "an empty line" if labels else "nothing"
        raise InputError(f"{path}: {found} found, one label a line wanted, each once.")
    return labels
