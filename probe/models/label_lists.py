"""The list of labels that belongs to a model, and whether it is the one of this model."""

import csv
import hashlib
import json
from pathlib import Path

import onnx

from ...features import InputError
from ...features.csv_files import fault_of
from ..assets import WREN
from ..runtime.backbone import Backbone
from .contracts import Said, said_of
from .findings import FAILED, NOTE, OK, Finding
from .registry import Entry

BESIDE = ("*abels*.txt", "*abels*.csv", "*lasses*.csv", "*lasses*.txt")


def finding(path: Path, backbone: Backbone, entry: Entry | None, said: Said) -> Finding:
    """The labels of the metadata, else of a file beside the model, against the width of the scores."""
    widths = {int(backbone.dims[tap][-1]) for tap in backbone.taps if tap == "logits" and backbone.dims[tap]}
    labels, where = said.labels, "its metadata"
    if not labels:
        labels, where = beside(path)
    if not labels:
        return Finding(NOTE, "labels", "none in its metadata, and no file of labels beside it")
    if widths and len(labels) not in widths:
        return Finding(
            FAILED, "labels", f"{len(labels)} in {where}, but {min(widths)} scores: a list of another version?"
        )
    if entry is not None and entry.labels_sha256:
        if digest(labels) != entry.labels_sha256:
            return Finding(
                FAILED, "labels", f"{len(labels)} in {where}, but other names than {entry.name}'s, or reordered"
            )
        return Finding(OK, "labels", f"{len(labels)} in {where}: those of {entry.name}, in order")
    return Finding(OK, "labels", f"{len(labels)} in {where}, as many as scores")


def find(model: Path, width: int | None = None) -> tuple[str, ...]:
    """The labels of a model's scores: of its metadata, else of a file beside it, else those that ship for Wren.

    InputError: no list, or one that is not `width` long (None: any will do).
    """
    graph = onnx.load(model, load_external_data=False)
    labels = said_of(graph, model).labels or beside(model)[0]
    if not labels and model.is_file() and model.read_bytes() == WREN.read_bytes():
        labels = tuple(json.loads(WREN.with_suffix(".json").read_text())["labels"])
    if not labels:
        raise InputError(f"{model}: no list of labels in its metadata or beside it. Name one: a label a line.")
    labels = without_heading(labels, width)
    if width is not None and len(labels) != width:
        raise InputError(f"{model}: {len(labels)} labels, expected {width}, one a score. A list of another version?")
    return labels


def read_list(file: Path, width: int | None = None) -> tuple[str, ...]:
    """The labels in a file, see `read`. InputError: no such file, or a list of another length."""
    labels = without_heading(read(Path(file)), width)
    if not labels or (width is not None and len(labels) != width):
        raise InputError(f"{file}: {len(labels)} labels, expected {width or 'some'}. The list of another model?")
    return labels


def without_heading(labels: tuple[str, ...], width: int | None) -> tuple[str, ...]:
    """Less the first where that fits the width: Perch's list begins with the name of its data set."""
    return labels[1:] if width is not None and len(labels) == width + 1 else labels


def beside(path: Path) -> tuple[tuple[str, ...], str]:
    """(Labels, file name) of the first list in the model's folder; a model of the cache has none."""
    for pattern in BESIDE:
        for file in sorted(path.parent.glob(pattern)):
            try:
                return read(file), file.name
            except InputError:
                continue
    return (), ""


def read(file: Path) -> tuple[str, ...]:
    """One a line; of a table the column with the scientific name, else the first; a heading does not count."""
    try:
        lines = [line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {error}, a list of labels wanted.") from None
    if file.suffix != ".csv":
        return tuple(line.strip() for line in lines)
    try:
        rows = list(csv.reader(lines, delimiter=";" if lines and lines[0].count(";") else ","))
    except csv.Error as error:
        raise InputError(f"{file}: not a readable list of labels: {fault_of(error)}") from None
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((i for i, cell in enumerate(heading) if cell in ("sci_name", "scientific_name", "label")), None)
    return tuple(row[column or 0].strip() for row in rows[0 if column is None and len(rows[0]) > 1 else 1 :])


def digest(labels: tuple[str, ...]) -> str:
    """Of the scientific names alone: BirdNET writes `Scientific name_Common name`, the latter in many languages."""
    return hashlib.sha256("\n".join(label.split("_")[0] for label in labels).encode()).hexdigest()
