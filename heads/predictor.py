"""What turns windows into probabilities: a fused file, an ONNX classifier with its labels, or a training's run."""

from collections.abc import Sequence
from pathlib import Path

from ..features import InputError
from ..probe.models.registry import resolve
from ..probe.runtime.providers import find_device
from ..probe.soundscapes.predictor import Predictor, open_onnx


def open_predictor(
    path: Path | str,
    model: Path | str | None = None,
    head: str | None = None,
    fold: int | None = None,
    *,
    threads: int | None = 1,
    labels: Path | str | None = None,
    activation: str = "sigmoid",
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
    device: str = "cpu",
    precision: str = "float32",
) -> Predictor:
    """Of a fused ONNX file, or of the folder that `birdprobe train` wrote together with its backbone.

    model: the run's backbone; without it the path that the run's store names, or the bundled Wren, if that is the very
    model. head, fold: one head of the run, one fold of it (None: all averaged). labels: makes any ONNX classifier a
    predictor, one label a line; then activation turns its scores into probabilities, and the audio's form comes from
    the flags or a known preset, and a spectrogram from frontend (inputs: values of its other inputs). threads: of one
    call; several calls at a time are faster than several threads. device, precision: as `birdprobe.open_backbone`.
    InputError: whatever of this is missing or does not belong together.
    """
    path, there = resolve(path), find_device(device, precision)
    if path.is_dir():
        if labels is not None:
            raise InputError(f"{path}: a run knows its labels; --labels is for an ONNX file that was not fused.")
        from .head_predictor import open_run  # torch

        return open_run(path, model, head, fold, threads, there)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; a fused .onnx or the folder of a training wanted.")
    if model is not None or head is not None or fold is not None:
        raise InputError(f"{path}: --model, --head and --fold go with the folder of a training, not with an ONNX file.")
    return open_onnx(
        path,
        labels=labels,
        activation=activation,
        sample_rate=sample_rate,
        window_s=window_s,
        normalise=normalise,
        frontend=frontend,
        inputs=inputs,
        threads=threads,
        device=there,
    )
