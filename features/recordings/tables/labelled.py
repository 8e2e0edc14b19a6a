"""Rows of a recognised table to clips: pieces of recordings with their labels.

An event is the piece from its start to its end. Rows about the same piece are one clip with all their labels (Raven
lists each selection once per view, opensoundscape one row a class); rows without a label are left out and told.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ... import InputError
from ...spelling import counted, share
from ..clips import Clip
from .layouts import FILE_OFFSET, RAVEN, Layout, fold, mapped, recognise, unknown
from .rows import MOST_MISSING, AudioPaths, drop_missing, merge, told_moved, told_unlabelled
from .text import TextTable, no_group, read_table, read_text

CLOCK = re.compile(r"(\d{1,3}):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
AUDACITY = re.compile(r"\d+(?:[.,]\d+)?\t\d+(?:[.,]\d+)?(?:\t.*)?")
ONE_HOT_TIMES = ("start_time", "end_time")
YES, NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false", ""})


Rows = Iterator[tuple[int, Clip]]  # line of the file, what stands there


@dataclass(frozen=True)
class Labelled:
    """What a table gave: clips, where groups come from, warnings, its kind in words, and `AudioPaths.several`."""

    clips: list[Clip]
    grouping: str
    warnings: list[str]
    kind: str
    several: Mapping[Path, Sequence[Path]] = field(default_factory=dict)


def label_table(path: Path, groups_column: str | None = None, columns: Mapping[str, str] | None = None) -> Labelled:
    """The clips of one table of another tool, or of any table with `columns` (field -> column).

    InputError: no columns that are understood, no label, a time that is none, most recordings are not there.
    """
    return _there(path, _read(path, groups_column, columns))


def _there(place: Path, found: Labelled) -> Labelled:
    """Without the clips whose recordings are not there."""
    folder = place if place.is_dir() else place.parent
    clips, gone = drop_missing(place, found.clips, f"Looked beside, above and below {folder}.", found.several)
    return replace(found, clips=clips, warnings=[*found.warnings, *gone])


def _read(path: Path, groups_column: str | None, columns: Mapping[str, str] | None = None) -> Labelled:
    paths = AudioPaths(path)
    if is_audacity(path) and not columns:
        return _labelled(path, paths, _audacity(path, paths), "Audacity labels", None)
    if path.suffix.lower() == ".jsonl":
        return _labelled(path, paths, _beans_events(path, paths), "BEANS detection annotations", None)
    table = read_table(path)
    layout = recognise(table.columns)
    if layout is None and not columns and (classes := one_hot_classes(table)):
        kind = f"opensoundscape labels, {counted(len(classes), 'class')} of 0 and 1"
        return _labelled(path, paths, _one_hot(table, classes, paths), kind, None, table.warnings)
    if columns:
        layout = mapped(layout, dict(columns), path, table.columns)
    if layout is None:
        raise unknown(path, table.columns)
    spelled = {fold(name): name for name in table.columns}
    if groups_column is not None and fold(groups_column) not in spelled:
        raise no_group(path, table.columns, groups_column)
    group = fold(groups_column) if groups_column else next((name for name in layout.group if name in spelled), None)
    label = _label_columns(table, layout, spelled)
    rows = _rows(table, layout, spelled, label, group, paths)
    said = f"{layout.kind}, labels in column {' and '.join(spelled[name] for name in label)}"
    return _labelled(path, paths, rows, said, spelled[group] if group else None, table.warnings)


def label_files(folder: Path) -> list[Path]:
    """The Raven and Audacity files right in a folder."""
    texts = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".txt", ".tsv") and p.is_file())
    return [path for path in texts if not path.name.startswith(".") and (is_audacity(path) or _is_raven(path))]


def label_folder(folder: Path, files: Iterable[Path], groups_column: str | None) -> Labelled:
    """A folder of label files, one a recording: the clips of all of them. One that cannot be used is left out."""
    files, clips, warnings, kinds, refused = tuple(files), [], [], {}, []
    for path in files:
        try:
            found = _read(path, groups_column)
        except InputError as error:
            refused.append(error)
            continue
        clips += found.clips
        warnings += found.warnings
        kinds[found.kind.partition(",")[0]] = found.kind
    if len(refused) > MOST_MISSING * len(files):
        raise refused[0]
    if refused:
        left_out = share(len(refused), len(files), "label file", "is", "are")
        warnings.append(f"{folder}: {left_out} left out. The first: {refused[0]}")
    clips, _ = merge(folder, clips)
    grouping = f"column {groups_column}" if groups_column else "none"
    return _there(folder, Labelled(clips, grouping, warnings, ", ".join(kinds.values())))


def is_audacity(path: Path) -> bool:
    """Whether a file begins as an Audacity label track does: start, end and text, parted by tabs, without a header."""
    return path.suffix.lower() in (".txt", ".tsv") and bool(AUDACITY.fullmatch(_first_line(path)))


def _is_raven(path: Path) -> bool:
    return RAVEN.needs <= {fold(name) for name in _first_line(path).split("\t")}


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.readline(1 << 16).rstrip("\r\n")
    except OSError:
        return ""


def one_hot_classes(table: TextTable) -> tuple[str, ...]:
    """The class columns of a table `file,start_time,end_time,...` whose other columns hold 0 and 1; () of another."""
    if not table.columns or table.columns[0] != "file" or not table.rows:
        return ()
    classes = tuple(name for name in table.columns[1:] if name not in ONE_HOT_TIMES)
    values = {row[name].strip().lower() for _, row in table.rows for name in classes}
    return classes if values <= YES | NO else ()


def seconds(path: Path, line: int, column: str, text: str, decimal_comma: bool = False) -> float | None:
    """Seconds from 0 on, as a number or as H:MM:SS; None where nothing stands. InputError: anything else."""
    plain = text.strip()
    if decimal_comma:
        plain = plain.replace(",", ".")
    if match := CLOCK.fullmatch(plain):
        return 3600.0 * int(match[1]) + 60 * int(match[2]) + float(match[3])
    try:
        found = float(plain) if plain else None
    except ValueError:
        found = math.nan
    if found is not None and not 0 <= found < math.inf:
        raise InputError(f"{path}, line {line}: {column} '{text}', expected seconds from 0 on.")
    return found


def split_labels(text: str) -> tuple[str, ...]:
    return tuple(label for label in (part.strip() for part in text.split(";")) if label)


def _label_columns(table: TextTable, layout: Layout, spelled: dict[str, str]) -> list[str]:
    """Where the labels are: the first candidate that says anything, or every one."""
    there = [name for name in layout.label if name in spelled]
    filled = [name for name in there if any(row[spelled[name]].strip() for _, row in table.rows)]
    if filled:
        return filled if layout.every_label else filled[:1]
    hint = f" {layout.hint}:" if layout.hint else ""
    raise InputError(
        f"{table.path}: {layout.kind} without labels{' (empty: ' + ', '.join(there) + ')' if there else ''}.{hint} say "
        f"which column it is by `--column label=NAME`. It has {', '.join(table.columns)}."
    )


def _rows(
    table: TextTable, layout: Layout, spelled: dict[str, str], label: list[str], group: str | None, paths: AudioPaths
) -> Rows:
    path, comma = table.path, table.delimiter != ","
    first = {
        field: next((spelled[name] for name in getattr(layout, field) if name in spelled), None)
        for field in ("path", "start", "end", "duration", "fold")
    }
    prefixes = [spelled[name] for name in layout.prefix if name in spelled]
    in_file = spelled.get(FILE_OFFSET) if layout.kind == RAVEN.kind else None
    beside = None if first["path"] else paths.named_like(path)
    if first["path"] is None and layout.path and beside is None:
        raise InputError(
            f"{path}: no column says which recording a row is about, and none beside it is named like it. Expected "
            f"{' or '.join(layout.path)}, or `--column path=NAME`; it has {', '.join(table.columns)}."
        )
    for line, row in table.rows:
        labels = dict.fromkeys(one for name in label for one in split_labels(row[spelled[name]]))
        start, end, length = (
            seconds(path, line, name, row[name], comma) if (name := first[field]) else None
            for field in ("start", "end", "duration")
        )
        if length is not None:
            end = (start or 0.0) + length
        if in_file and row[in_file].strip() and start is not None and end is not None:
            offset = seconds(path, line, in_file, row[in_file], comma) or 0.0
            start, end = offset, offset + end - start
        file = beside
        if column := first["path"]:
            named = "/".join([*(row[name].strip() for name in prefixes), row[column].strip()]).lstrip(
                "/" * bool(prefixes)
            )
            if not row[column].strip():
                raise InputError(f"{path}, line {line}: an empty {column}, expected the name of a recording.")
            file = paths.find(named)
        of_group = row[spelled[group]].strip() or None if group else None
        of_fold = row[first["fold"]].strip() or None if first["fold"] else None
        assert file is not None
        yield line, Clip(file, _name(path, file), tuple(labels), of_group, of_fold, start, end)


def _one_hot(table: TextTable, classes: tuple[str, ...], paths: AudioPaths) -> Rows:
    comma = table.delimiter != ","
    for line, row in table.rows:
        start, end = (
            seconds(table.path, line, name, row[name], comma) if name in row else None for name in ONE_HOT_TIMES
        )
        labels = tuple(name for name in classes if row[name].strip().lower() in YES)
        file = paths.find(row["file"])
        yield line, Clip(file, _name(table.path, file), labels, None, None, start, end)


def _audacity(path: Path, paths: AudioPaths) -> Rows:
    """A label track is about one recording, whose name the file's begins with."""
    file = paths.named_like(path)
    if file is None:
        raise InputError(
            f"{path}: an Audacity label file names no recording, and none beside it is called {path.stem}. Name it "
            "like its recording?"
        )
    for line, text in enumerate(read_text(path)[0].splitlines(), 1):
        if not text.strip() or text.startswith("\\"):  # the second line of a label with a range of frequencies
            continue
        fields = text.split("\t")
        if len(fields) < 2:
            raise InputError(f"{path}, line {line}: '{text}', expected start, end and a label, parted by tabs.")
        start, end = (seconds(path, line, name, one, True) for name, one in zip(("start", "end"), fields))
        labels = split_labels(fields[2]) if len(fields) > 2 else ()
        yield line, Clip(file, _name(path, file), labels, None, None, start, end)


def _beans_events(path: Path, paths: AudioPaths) -> Rows:
    """A line a recording: {"path", "length", "annotations": [{"st", "ed", "label"}]}."""
    for line, text in enumerate(read_text(path)[0].splitlines(), 1):
        try:
            found = json.loads(text)
            events = [(float(one["st"]), float(one["ed"]), str(one["label"])) for one in found["annotations"]]
            file = paths.find(str(found["path"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}, line {line}: no BEANS record ({error!r}), expected path, length and annotations."
            ) from None
        for start, end, label in events:
            yield line, Clip(file, _name(path, file), split_labels(label), None, None, start, end)


def _name(table: Path, file: Path) -> str:
    """What a recording is called, from the table's folder."""
    return Path(os.path.relpath(file, table.parent)).as_posix()


def _labelled(
    path: Path, paths: AudioPaths, rows: Rows, kind: str, group: str | None, warnings: Iterable[str] = ()
) -> Labelled:
    clips: list[Clip] = []
    unlabelled, points, total = 0, 0, 0
    for line, clip in rows:
        total += 1
        start, end = clip.start_s or 0.0, math.inf if clip.end_s is None else clip.end_s
        if not clip.labels:
            unlabelled += 1
        elif end == start:
            points += 1
        elif end < start:
            raise InputError(f"{path}, line {line}: start {start:g}, end {end:g}, expected start before end.")
        else:
            clips.append(clip)
    if not clips:
        raise InputError(f"{path}: {kind}, but none of its {total} rows has a label and a length.")
    told = [*warnings, *told_unlabelled(path, unlabelled, total)]
    if points:
        are = share(points, total, "row", "is a point", "are points")
        told.append(f"{path}: {are} in time, without a length; left out.")
    told += told_moved(path, paths)
    clips, _ = merge(path, clips)
    return Labelled(clips, f"column {group}" if group else "none", told, kind, paths.several)
