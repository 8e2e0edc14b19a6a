"""Which columns say what: the tables of other tools, each recognised by the columns that only it has.

Sources: the selection tables of Raven Pro (Cornell), the annotation tables of opensoundscape (BoxedAnnotations.to_csv,
clip labels) and crowsetta (generic-seq), the results of BirdNET-Analyzer (CSV, and its tables for Raven, Audacity and
Kaleidoscope), the cluster.csv, meta.csv and id.csv of Kaleidoscope (Wildlife Acoustics),
the metadata of BirdSet (Rauch et al. 2024) and BEANS (Hagiwara et al. 2022).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import InputError

FIELDS = ("path", "label", "start", "end", "duration", "group", "fold")


@dataclass(frozen=True)
class Layout:
    """kind: in words. needs: columns that tell it, in lower case. The others: candidates, the first that is there.

    prefix: columns that come before the path, as folders. Without a path the recording is named like the table.
    every_label: all label columns count, and not only the first that says anything.
    """

    kind: str
    needs: frozenset[str] = frozenset()
    path: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    duration: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    fold: tuple[str, ...] = ()
    every_label: bool = False
    hint: str = ""


RAVEN_LABELS = (
    *("annotation", "annotations", "species", "species code", "label", "labels", "common name", "tags", "tag"),
    *("class", "type", "call type", "sound type", "signal type", "call", "song type", "id", "notes", "comments"),
)
RAVEN = Layout(
    "Raven selection table",
    frozenset({"begin time (s)", "end time (s)"}),
    path=("begin path", "begin file", "audio_file"),
    label=RAVEN_LABELS,
    start=("begin time (s)",),
    end=("end time (s)",),
    hint="Raven has no annotation column of its own",
)
FILE_OFFSET = "file offset (s)"  # in a table over several recordings times count from the first one's start
BOXES = Layout(
    "opensoundscape annotations",
    frozenset({"audio_file", "annotation", "start_time", "end_time"}),
    path=("audio_file",),
    label=("annotation",),
    start=("start_time",),
    end=("end_time",),
)
KALEIDOSCOPE = Layout(
    "Kaleidoscope table",
    frozenset({"folder", "in file"}),
    path=("in file",),
    prefix=("folder",),
    label=("manual id", "manual id*", "top1match*", "top1match", "auto id*", "auto id", "common_name"),
    start=("offset",),
    duration=("duration",),
)
BIRDNET = Layout(
    "BirdNET-Analyzer results",
    frozenset({"start (s)", "end (s)", "scientific name", "common name", "file"}),
    path=("file",),
    label=("common name",),
    start=("start (s)",),
    end=("end (s)",),
)
BIRDSET = Layout(
    "BirdSet metadata",
    frozenset({"filepath", "ebird_code"}),
    path=("filepath",),
    label=("ebird_code", "ebird_code_multilabel"),
    start=("start_time",),
    end=("end_time",),
    group=("recordist",),
    every_label=True,
)
GENERIC_SEQ = Layout(
    "crowsetta generic-seq table",
    frozenset({"label", "onset_s", "offset_s", "notated_path"}),
    path=("notated_path",),
    label=("label",),
    start=("onset_s",),
    end=("offset_s",),
)
LAYOUTS = (RAVEN, BOXES, KALEIDOSCOPE, BIRDNET, BIRDSET, GENERIC_SEQ)
MANIFEST = Layout(
    "table by --column",
    path=("path",),
    label=("label",),
    start=("start_s",),
    end=("end_s",),
    group=("group",),
    fold=("fold",),
)
UNDERSTOOD = (
    "a manifest (path, label), BirdCLEF soundscapes (filename, start, end, primary_label), opensoundscape (file, "
    "start_time, end_time and a 0/1 column a class; or audio_file, annotation, start_time, end_time), Raven (Begin "
    "Time (s), End Time (s)), Kaleidoscope (FOLDER, IN FILE), BirdNET-Analyzer (Start (s), End (s), Common name, "
    "File), BirdSet (filepath, ebird_code), crowsetta (label, onset_s, offset_s, notated_path)"
)


def recognise(columns: Iterable[str]) -> Layout | None:
    """The layout whose columns are all there, whatever their case."""
    folded = {fold(name) for name in columns}
    return next((layout for layout in LAYOUTS if layout.needs <= folded), None)


def parse_columns(text: str) -> dict[str, str]:
    """`label=species,path=filename,start=onset` -> {field: column}.

    InputError: no `field=column`, or a field that is not known.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not (equals and column) or field not in FIELDS or field in found:
            raise InputError(
                f"`--column` must be FIELD=COLUMN, comma-separated, each of {', '.join(FIELDS)} once, got '{part}'."
            )
        found[field] = column
    if not found:
        raise InputError("`--column` must name at least one FIELD=COLUMN, got nothing.")
    return found


def mapped(layout: Layout | None, columns: dict[str, str], table: Path, there: Sequence[str]) -> Layout:
    """A layout with the columns that the user named; of the manifest where the table was not recognised.

    InputError: a column that the table does not have.
    """
    known = {fold(name) for name in there}
    for field, column in columns.items():
        if fold(column) not in known:
            raise InputError(f"{table}: `--column {field}={column}`, but its columns are {', '.join(there)}.")
    base = layout or MANIFEST
    if "end" in columns or "duration" in columns:
        base = replace(base, end=(), duration=())
    named: dict[str, Any] = {field: (fold(column),) for field, column in columns.items()}
    return replace(base, **named)


def unknown(table: Path, columns: Sequence[str]) -> InputError:
    """What was found, what is understood, and how to say which column is which."""
    return InputError(
        f"{table}: expected path, label and, if known, group, fold, start_s, end_s, got columns "
        f"{', '.join(columns) or '(none)'}. Understood are {UNDERSTOOD}; of any other table say which column is "
        "which: `--column label=species,path=filename,start=onset,end=offset`."
    )


def fold(name: str) -> str:
    """How column names are compared."""
    return name.strip().casefold()
