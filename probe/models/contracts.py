"""What other programs' files say of how they are fed, and what the table of models knows of a file.

    opensoundscape    metadata sample_rate, sample_duration, classes (the embedding's name: blocks/head)
    Hugging Face      preprocessor_config.json beside the model (sampling_rate), config.json (id2label)
    others            the same facts under the names that are in use for them, see RATES, SECONDS and LABELS

birdprobe's own files and the two contracts that are known by shape are read in runtime/input_spec; flags go before all.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from ...features import InputError
from ..graph.load import audio_input, input_dims
from ..runtime.input_spec import recognise
from . import registry

RATES = ("sample_rate", "sampling_rate", "samplerate", "audio_sample_rate")
SECONDS = ("sample_duration", "window_s", "clip_duration", "segment_duration", "chunk_length_s", "duration")
LABELS = ("classes", "labels", "class_names", "id2label")
HUB_FILE, HUB_CONFIG = "preprocessor_config.json", "config.json"


@dataclass(frozen=True)
class Said:
    """What is known of a file without looking at its graph. by: who says it; None where nothing is said."""

    by: str | None = None
    sample_rate: int | None = None  # Hz
    window_s: float | None = None
    normalise: str | None = None
    labels: tuple[str, ...] = ()


def said_of(model: onnx.ModelProto, path: Path) -> Said:
    """From the table of models, else from the file's metadata, else from the hub's files beside it."""
    labels = labels_of(model)
    if (entry := registry.of_file(path)) is not None:
        return Said(f"`birdprobe models`: {entry.name}", entry.sample_rate, entry.window_s, entry.normalise, labels)
    props = {prop.key: prop.value for prop in model.metadata_props}
    if (rate := _number(path, props, RATES)) is not None:
        seconds = _number(path, props, SECONDS)
        return Said("the file's metadata", round(rate), seconds, props.get("normalise"), labels)
    return _of_hub(path, labels)


def completed(
    model: onnx.ModelProto, path: Path, sample_rate: int | None, window_s: float | None, normalise: str | None
) -> tuple[int | None, float | None, str | None]:
    """The flags, and where none of rate and window is given, what is known of the file."""
    if sample_rate is not None or window_s is not None:
        return sample_rate, window_s, normalise
    said = said_of(model, path)
    length = _length(model)
    seconds = said.window_s
    if said.sample_rate and seconds and length not in (None, round(said.sample_rate * seconds)):
        seconds = None  # the graph's own length counts
    return said.sample_rate, seconds, normalise or said.normalise


def told_otherwise(model: onnx.ModelProto, path: Path, sample_rate: int | None) -> tuple[str, ...]:
    """A warning where a rate is told, in Hz, and the file is known to take another; () elsewhere."""
    preset, rate, _, _ = recognise(model)
    with suppress(InputError):  # metadata that are damaged: then the flag is the remedy
        said = said_of(model, path)
        preset, rate = (said.by, said.sample_rate) if said.sample_rate else (preset, rate)
    if None in (rate, sample_rate) or rate == sample_rate:
        return ()
    known = f"the model is known to take {rate} Hz ({preset})"
    return (f"{path.name}: --sample-rate {sample_rate} is used as given, but {known}. Leave it out?",)


def _length(model: onnx.ModelProto) -> int | None:
    dims = input_dims(audio_input(model))
    return dims[-1] if dims and isinstance(dims[-1], int) else None


def _number(path: Path, props: dict[str, str], keys: tuple[str, ...]) -> float | None:
    for key in keys:
        if key in props:
            try:
                value = float(props[key])
            except ValueError:
                value = 0.0
            if not 0 < value < 1e9:
                raise InputError(f"{path.name}: its metadata say {key} = {props[key]!r}, a number above 0 wanted.")
            return value
    return None


def labels_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """The names of the classes, from the file's metadata."""
    props = {prop.key: prop.value for prop in model.metadata_props}
    for key in LABELS:
        if key in props:
            try:
                return _listed(json.loads(props[key]))
            except ValueError:
                lines = props[key].replace(",", "\n").split("\n")
                return tuple(line.strip() for line in lines if line.strip())
    return ()


def _listed(found: Any) -> tuple[str, ...]:
    """A list of names, or {"0": name, ...}."""
    if isinstance(found, dict):
        return tuple(str(found[key]) for key in sorted(found, key=lambda key: (len(str(key)), str(key))))
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _of_hub(path: Path, labels: tuple[str, ...]) -> Said:
    """`labels`: of the file's metadata, which go before the hub's."""
    folders = [path.parent, path.parent.parent] if path.parent.name == "onnx" else [path.parent]
    for folder in folders:
        try:
            rate = int(json.loads((folder / HUB_FILE).read_text(encoding="utf-8"))["sampling_rate"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        try:
            named = _listed(json.loads((folder / HUB_CONFIG).read_text(encoding="utf-8")).get("id2label", {}))
        except (OSError, ValueError, AttributeError):
            named = ()
        return Said(f"{HUB_FILE} beside it", rate, labels=labels or named)
    return Said(labels=labels)
