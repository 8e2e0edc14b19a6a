"""Which predictor an ONNX file is, and whether its metadata or labels fit it."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from ....features import InputError
from ....features.files import check_file
from ....features.playback import Playback
from ....features.progress import say
from ....features.windows import NORMALISATIONS
from ...runtime import sessions
from ...runtime.providers import CPU, Device
from .onnx_file import OnnxPredictor, over_recordings

METADATA = ("labels", "sample_rate", "window_s", "normalise")
ACTIVATIONS = ("sigmoid", "softmax", "none")


def open_onnx(
    path: Path | str,
    *,
    labels: Path | str | None = None,
    threads: int | None = 1,
    device: Device = CPU,
    **classifier: Any,
) -> OnnxPredictor:
    """A fused ONNX file, or with `labels` any ONNX classifier, as a predictor; see `birdprobe.heads.soundscapes`.

    classifier: what `open_classifier` is told besides. InputError: file, metadata and labels do not belong together.
    """
    path = Path(path)
    opened = open_fused(path, threads) if labels is None else open_classifier(path, Path(labels), threads, **classifier)
    return opened.on(device)


def open_fused(path: Path, threads: int | None = 1, identity: str | None = None) -> OnnxPredictor:
    """A file that `birdprobe fuse` wrote, or `birdprobe export` of a trained model.

    identity: its hash where that is known; otherwise it is computed, which needs onnx. InputError: its metadata are
    missing or do not fit.
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
        from ...runtime.backbone import sha256 as model_sha256

        identity = model_sha256(path)
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
    threads: int | None = 1,
    *,
    activation: str = "sigmoid",
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
) -> OnnxPredictor:
    """Any waveform classifier; its output is the one that is as wide as the list of labels is long."""
    from ...models.frontends.opening import open_waveform
    from ...runtime.backbone import sha256 as model_sha256

    if activation not in ACTIVATIONS:
        raise InputError(f"activation {activation!r} found, one of {', '.join(ACTIVATIONS)} wanted.")
    labels = read_labels(labels_file)
    model, contract, front = open_waveform(path, frontend, inputs, sample_rate, window_s, normalise)
    for line in contract.warnings:
        say(f"warning: {line}")
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
    check_file(path, "one label a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}, a text file with one label a line wanted.") from error
    labels = tuple(line.strip() for line in lines)
    if max(map(len, labels), default=0) > csv.field_size_limit():
        raise InputError(f"{path}: a label longer than {csv.field_size_limit():,} characters. Another file?")
    lines_of: dict[str, list[str]] = {}
    for number, label in enumerate(labels, 1):
        lines_of.setdefault(label, []).append(str(number))
    doubled = [f"{label!r} on lines {' and '.join(at[:3])}" for label, at in lines_of.items() if label and len(at) > 1]
    if not labels or doubled or "" in labels:
        found = doubled[0] if doubled else "an empty line" if labels else "nothing"
        raise InputError(f"{path}: {found} found, one label a line wanted, each once.")
    return labels
