"""An ONNX file that ends in class scores, as a predictor; of fused heads over time one of whole recordings."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ....features import InputError
from ....features.playback import Playback
from ....features.recordings.names import place_of
from ...runtime import sessions
from ...runtime.device_session import DeviceCheck, DeviceSession, check_noise, steady_batch
from ...runtime.providers import Device
from ...runtime.sessions import ORT_ERRORS, Input, reason, run_chunks, together

FRAMES = "frames"  # the output of an exported sound event detector
SEQUENCE = "sequence"  # the metadatum that tells such a file
Pieces = Callable[[Input, np.ndarray], Iterator[np.ndarray]]


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
        return activated(self._run(windows, self._all(self._output)).reshape(-1, len(self.labels)), self.activation)

    @property
    def has_frames(self) -> bool:
        """Whether the file says when, too: it was exported of a sound event detector, and is run on the CPU."""
        outputs = {} if self.device_check else {node.name: node.shape for node in self._session.get_outputs()}
        return self.activation == "none" and len(outputs.get(FRAMES, ())) == 3

    def frames(self, windows: np.ndarray) -> np.ndarray:
        """float32 [n, window_samples] -> float32 [n, T, K], probabilities over T frames of equal length."""
        return self._run(windows, self._all(FRAMES))

    def _run(self, windows: np.ndarray, pieces: Pieces) -> np.ndarray:
        """float32: what `pieces` gives of the windows in the form that the file takes, one behind the other."""
        spec = sessions.data_input(self._session)
        row = (1,) * (len(spec.shape) - 2) + (self.window_samples,)
        x = np.ascontiguousarray(windows, np.dtype(spec.dtype)).reshape(len(windows), *row)
        try:
            return np.concatenate(list(pieces(spec, x))).astype(np.float32, copy=False)
        except ORT_ERRORS as error:
            raise InputError(f"{self.path.name}: ONNX Runtime fails on {len(x)} windows: {reason(error)}") from error

    def _all(self, output: str) -> Pieces:
        return lambda spec, x: (out for (out,) in run_chunks(self._session, x, together(spec), [output]))


def activated(scores: np.ndarray, activation: str) -> np.ndarray:
    """[n, K] -> [n, K]. Both written so that they cannot overflow."""
    if activation == "sigmoid":
        small = np.exp(-np.abs(scores))
        return np.where(scores >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)
    if activation == "softmax":
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores


@dataclass(frozen=True, eq=False)
class RecordingFile(OnnxPredictor):
    """A fused file whose heads read a whole recording: its windows go in together, with its site and hour.

    length: windows that go in together, at most. sites: names, numbered from 1; None: neither site nor hour."""

    length: int = 1
    sites: tuple[str, ...] | None = None

    def predict_recording(self, windows: np.ndarray, stem: str) -> np.ndarray:
        """Windows float32 [T, window_samples] of one recording in their order, and its name -> float32 [T, K].

        A longer recording is read in pieces of `length`, as when the heads were trained.
        """
        place: dict[str, np.ndarray] = {}
        if self.sites is not None:
            site, hour = place_of(stem, self.sites)
            place = {"site": np.array([site], np.int64), "hour": np.array([hour], np.int64)}

        def pieces(spec: Input, x: np.ndarray) -> Iterator[np.ndarray]:
            for i in range(0, len(x), self.length):
                yield self._session.run([self._output], {spec.name: x[i : i + self.length], **place})[0]

        return self._run(windows, pieces)

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """The windows as one recording of which nothing else is known."""
        return self.predict_recording(windows, "")


def over_recordings(predictor: OnnxPredictor, about: Mapping[str, str]) -> OnnxPredictor:
    """The predictor of a fused file, as one of recordings where its metadata say so. InputError: they are damaged."""
    if SEQUENCE not in about:
        return predictor
    try:
        said = json.loads(about[SEQUENCE])
        length, sites = int(said["length"]), said["sites"]
        sites = None if sites is None else tuple(map(str, sites))
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{predictor.path}: damaged metadata ({error}). Fused by another program?") from None
    wanted = set() if sites is None else {"site", "hour"}
    if not 0 < length < math.inf or {node.name for node in predictor._session.get_inputs()[1:]} != wanted:
        raise InputError(
            f"{predictor.path}: {SEQUENCE} says length {length} and {'no ' * (sites is None)}sites, which its inputs "
            "do not fit. Changed after it was fused?"
        )
    return RecordingFile(**vars(predictor), length=length, sites=sites)
