"""A converted model beside the TensorFlow Lite runtime: on noise, loud and quiet, and on recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ....features import InputError
from ...runtime.sessions import audio_like, open_session
from ..golden import recorded_windows, recording_files

LEVELS = (1.0, 0.1, 1e-3)
TOLERANCE = 1e-2  # in units of the output's largest magnitude, at least 1; float32 rounding stays far below
SENSITIVE = 10  # more is allowed up to so many times what the runtime's own output moves, see Comparison
DIGIT = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Comparison:
    """The largest difference of any output, in its own units, on noise and on recordings (None: none were given).

    median: of the recordings' differences. own: how far the runtime's own output moves on them when the last digit of
    the samples does; front ends that take a small power of a spectrum blow rounding up where a recording has digital
    silence, and no two programs agree there.
    """

    runtime: str
    noise: float
    clips: float | None = None
    median: float | None = None
    own: float | None = None
    n_clips: int = 0

    def __str__(self) -> str:
        if self.clips is None:
            return f"largest difference from {self.runtime}: {self.noise:.1e} on noise"
        return (
            f"largest difference from {self.runtime}: {self.noise:.1e} on noise, {self.clips:.1e} on {self.n_clips} "
            f"recordings (median {self.median:.1e}; its own scores move by {self.own:.1e} with the samples' last digit)"
        )


def interpreter(path: Path) -> tuple[str, Any] | None:
    """The first TensorFlow Lite runtime that is installed, opened on the file."""
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite"):
        try:
            module = __import__(name, fromlist=["Interpreter"])
        except ImportError:
            continue
        return name.split(".")[0], module.Interpreter(model_path=str(path), num_threads=1)
    return None


def compare(
    source: Path,
    model: onnx.ModelProto,
    audio: str | Path | None,
    sample_rate: int | None,
    log: Callable[[str], None],
) -> Comparison | None:
    """None where no runtime is installed. InputError: more than rounding, or recordings and no known rate."""
    opened = interpreter(source)
    if opened is None:
        return None
    runtime, original = opened
    original.allocate_tensors()
    fed = original.get_input_details()[0]
    shape = tuple(int(n) for n in fed["shape"])
    session = open_session(model, threads=1)

    def run(x: np.ndarray) -> list[np.ndarray]:
        original.set_tensor(fed["index"], x)
        original.invoke()
        return [original.get_tensor(detail["index"]) for detail in original.get_output_details()]

    def differ(x: np.ndarray) -> tuple[float, float]:
        """(Largest difference of the two programs, largest change of the runtime's own output)."""
        wanted = run(x)
        moved = run(x + np.float32(DIGIT * np.abs(x).max()) * jitter.standard_normal(x.shape, dtype=np.float32))
        found = session.run(None, {session.get_inputs()[0].name: x})
        off = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted))
        own = max(float(np.abs(a - b).max()) for a, b in zip(moved, wanted))
        scale = max(1.0, *(float(np.abs(b).max()) for b in wanted))
        if not off <= max(TOLERANCE * scale, SENSITIVE * own):
            raise InputError(f"{source}: the ONNX graph differs from {runtime} by {off:.1e}. A fault of the converter.")
        return off, own

    jitter = np.random.default_rng(0)
    log(f"comparing with {runtime}")
    noise = max(differ(np.float32(level) * audio_like(shape, seed=seed))[0] for seed, level in enumerate(LEVELS))
    if audio is None:
        return Comparison(runtime, noise)
    if sample_rate is None:
        raise InputError(f"{audio}: the sample rate of {source.name} is not known, so only noise can be compared.")
    clips = recorded_windows(recording_files(audio), sample_rate, shape[-1])
    off, own = (np.array(part) for part in zip(*(differ(x.reshape(shape)) for x in clips)))
    return Comparison(runtime, noise, float(off.max()), float(np.median(off)), float(own.max()), len(clips))
