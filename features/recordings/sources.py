"""Folders, manifests, what BirdCLEF publishes. A reader returns (clips, grouping, warnings) or raises InputError."""

import ast
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import InputError
from ..audio import SUFFIXES
from ..spelling import agree, counted, is_text, on_disk, printable, share, some
from .clips import Clip
from .folders import audio_files, hidden_with_audio, is_hidden
from .names import SoundscapeName
from .tables.labelled import seconds
from .tables.rows import AudioPaths, drop_missing, merge, told_moved, told_unlabelled
from .tables.text import TextTable, read_csv, require_columns

QUOTED = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\"""")
LIST = re.compile(rf"(?:\[\s*(?:(?:{QUOTED.pattern})(?:(?:\s*,\s*|\s+)(?:{QUOTED.pattern}))*\s*,?)?\s*\])?")
SOUNDSCAPE_LABELS = "train_soundscapes_labels.csv"  # in a BirdCLEF folder
CLOCK = re.compile(r"(\d{2}):([0-5]\d):([0-5]\d)")


def class_folders(root: Path) -> tuple[list[Clip], str, list[str]]:
    """Files at any depth below a class folder, linked folders too, belong to it; hidden ones are passed over."""
    for there, missing in (("train_audio", "train.csv"), ("train.csv", "train_audio")):
        if (root / there).exists():
            raise InputError(f"{root}: expected both in a BirdCLEF folder, got {there} without {missing}.")
    visible = sorted(entry for entry in root.iterdir() if not is_hidden(entry.name))
    clips, empty, loose, hidden = [], [], 0, hidden_with_audio(root)
    for folder in visible:
        if not folder.is_dir():
            loose += folder.suffix.lower() in SUFFIXES
            continue
        found = audio_files(folder, root)
        files = found.files
        hidden += found.hidden
        if files:
            _check_label(folder)
        clips += [Clip(file, _name(file, root), (folder.name,)) for file in files]
        empty += [] if files else [folder.name]
    if not clips:
        nothing = f"no audio files ({', '.join(sorted(SUFFIXES))})"
        found = f"{counted(loose, 'audio file')} beside each other" if loose else nothing
        raise InputError(f"{root}: expected a sub-folder of audio files for every class, got {found}.")
    warnings = [f"{root}: no audio files in {some(empty)}; left out."] if empty else []
    if loose:
        lie = f"{counted(loose, 'audio file')} {agree(loose, 'lies', 'lie')}"
        warnings.append(f"{root}: {lie} outside the class folders; left out.")
    return clips, "none", warnings + _passed_over(root, hidden)


def _check_label(folder: Path) -> None:
    """A folder's name is a class: other tables give it in UTF-8, and several labels joined by `;`."""
    name, place = folder.name, f"class folder {printable(str(folder))}"
    if not is_text(name):
        raise InputError(f"{place}: its name is not UTF-8, expected a class in text. Rename it?")
    if ";" in name:
        raise InputError(f"{place}: expected one class, got `;`, which separates several labels. Rename it?")
    if name != name.strip():
        raise InputError(f"{place}: expected a class, got {name!r} with spaces around it. Rename it?")


def _name(file: Path, root: Path) -> str:
    return printable(file.relative_to(root).as_posix())


def _passed_over(root: Path, hidden: Sequence[Path]) -> list[str]:
    names = [_name(folder, root) for folder in hidden]
    return [f"{root}: hidden folders that hold audio are left out: {some(names)}."] if names else []


def unlabelled(root: Path) -> tuple[list[Clip], str, list[str]]:
    """Every audio file below a folder, with one empty label. The group is the site or the file, as in `soundscapes`."""
    found = audio_files(root)
    clips = [Clip(file, _name(file, root), ("",)) for file in found.files]
    if not clips:
        raise InputError(f"{root}: expected a folder of recordings, got one without audio files.")
    return (*_by_site(clips), _passed_over(root, found.hidden))


def manifest(table: TextTable, groups_column: str | None) -> tuple[list[Clip], str, list[str]]:
    """Columns path, label and, if known, group, fold, start_s, end_s; any other may serve as groups_column."""
    wanted, optional = ("path", "label"), ("group", "fold", "start_s", "end_s")
    require_columns(table, wanted, optional, groups_column)
    path, paths, comma = table.path, AudioPaths(table.path), table.delimiter != ","
    column = groups_column or ("group" if "group" in table.columns else None)
    clips = []
    for line, row in table.rows:
        if not row["label"].strip():
            continue
        labels = re.split(r"\s*;\s*", row["label"])
        if not row["path"].strip() or not all(label.strip() for label in labels):
            raise InputError(
                f"{path}, line {line}: path '{row['path']}' and label '{row['label']}', expected both filled."
            )
        start_s, end_s = (seconds(path, line, name, row.get(name, ""), comma) for name in ("start_s", "end_s"))
        if end_s is not None and end_s <= (start_s or 0.0):
            raise InputError(
                f"{path}, line {line}: start_s {start_s or 0:g}, end_s {end_s:g}, expected start_s < end_s."
            )
        file, written = paths.find(row["path"]), path.parent / row["path"]
        name = written if file == on_disk(path.parent, row["path"]) else file
        if not Path(row["path"]).is_absolute():
            name = Path(os.path.relpath(name, path.parent))
        group, fold = ((row.get(key, "").strip() if key else "") or None for key in (column, "fold"))
        clips.append(Clip(file, name.as_posix(), tuple(dict.fromkeys(labels)), group, fold, start_s, end_s))
    empty = told_unlabelled(path, len(table.rows) - len(clips), len(table.rows))
    clips, again = merge(path, clips)
    clips, gone = drop_missing(path, clips, _taken_from(path), paths.several)
    without = [clip.name for clip in clips if clip.fold is None]
    if 0 < len(without) < len(clips):
        raise InputError(f"{path}: no fold for {some(without)}, expected one for every clip or for none.")
    told = [*table.warnings, *empty, *again, *gone, *told_moved(path, paths)]
    return clips, f"column {column}" if column else "none", told


def birdclef(root: Path, groups_column: str | None) -> tuple[list[Clip], str, list[str]]:
    """train.csv names the clips of train_audio/; taxonomy.csv, where there is one, names the labels that exist."""
    path = root / "train.csv"
    columns, rows = read_csv(path, ("primary_label", "filename"), groups_column=groups_column)
    column = groups_column or ("author" if "author" in columns else None)
    clips = []
    for line, row in rows:
        labels = [row["primary_label"].strip(), *_list(path, line, row.get("secondary_labels", ""))]
        if not labels[0]:
            continue
        if not row["filename"].strip():
            raise InputError(f"{path}, line {line}: an empty filename.")
        if joined := [label for label in labels if ";" in label]:
            raise InputError(f"{path}, line {line}: label {joined[0]!r}, expected no `;`, which separates labels.")
        name = f"train_audio/{row['filename']}"
        group = (row.get(column, "").strip() if column else "") or None
        clips.append(Clip(on_disk(root, name), name, tuple(dict.fromkeys(labels)), group))
    empty = told_unlabelled(path, len(rows) - len(clips), len(rows))
    clips, again = merge(path, clips)
    clips, gone = drop_missing(path, clips, _taken_from(path))
    return clips, f"column {column}" if column else "none", [*empty, *again, *gone, *_strangers(path, clips)]


def _strangers(path: Path, clips: list[Clip]) -> list[str]:
    """A warning about labels that the taxonomy.csv beside a table lacks: 22930.0, say, after a spreadsheet."""
    taxonomy = path.parent / "taxonomy.csv"
    if not taxonomy.is_file():
        return []
    known = {row["primary_label"].strip() for _, row in read_csv(taxonomy, ("primary_label",))[1]}
    strange = sorted({label for clip in clips for label in clip.labels} - known)
    return [f"{path}: labels that taxonomy.csv does not have: {some(strange)}."] if strange else []


def lists_soundscapes(columns: Sequence[str]) -> bool:
    """Whether a table names windows of soundscapes, `filename,start,end,primary_label`, and not clips."""
    return "filename" in columns and not {"start", "end"}.isdisjoint(columns)


def soundscapes(table: TextTable, groups_column: str | None) -> tuple[list[Clip], str, list[str]]:
    """Windows of soundscapes: times are HH:MM:SS, several labels are joined by `;`, the audio lies in the folder
    train_soundscapes/ beside the table (or right beside it); a taxonomy.csv there names the labels that exist.

    A window that is listed again counts once. The group is the site where every file name tells it, else the file;
    groups_column may name any column, `filename` for one.
    """
    require_columns(table, ("filename", "start", "end", "primary_label"), groups_column=groups_column)
    path = table.path
    rows = [(line, row) for line, row in table.rows if row["primary_label"].strip()]
    empty = told_unlabelled(path, len(table.rows) - len(rows), len(table.rows))
    folder = path.parent / "train_soundscapes"
    prefix = "train_soundscapes/" if folder.is_dir() else ""
    windows: dict[tuple[str, float, float], dict] = {}
    clashes: dict[str, int] = defaultdict(int)
    for line, row in rows:
        name, labels = row["filename"].strip(), [label.strip() for label in row["primary_label"].split(";")]
        if not name or not all(labels):
            raise InputError(
                f"{path}, line {line}: filename '{row['filename']}' and primary_label '{row['primary_label']}', "
                "expected both filled."
            )
        start_s, end_s = (_clock(path, line, column, row[column]) for column in ("start", "end"))
        if end_s <= start_s:
            raise InputError(f"{path}, line {line}: start {row['start']}, end {row['end']}, expected start before end.")
        group = row[groups_column].strip() or None if groups_column else None
        seen = windows.setdefault((name, start_s, end_s), {"labels": dict.fromkeys(labels), "group": group})
        if set(labels) != set(seen["labels"]):
            clashes[name] += 1
            seen["labels"] |= dict.fromkeys(labels)
    files = {name: on_disk(path.parent, f"{prefix}{name}") for name in dict.fromkeys(name for name, _, _ in windows)}
    clips = [
        Clip(files[name], f"{prefix}{name}", tuple(about["labels"]), about["group"], None, *times)
        for (name, *times), about in windows.items()
    ]
    clips, gone = drop_missing(path, clips, _taken_from(path))
    warnings = [*table.warnings, *empty, *gone]
    if again := len(rows) - len(windows):
        used = f"{counted(len(windows), 'window')} {agree(len(windows), 'is', 'are')} used"
        warnings.append(f"{path}: {share(again, len(rows), 'row', 'lists', 'list')} a window again; {used}.")
    if clashes:
        warnings.append(f"{path}: windows listed twice with different labels have them all: {some(sorted(clashes))}.")
    warnings += _strangers(path, clips)
    if groups_column:
        return clips, f"column {groups_column}", warnings
    return (*_by_site(clips), warnings)


def _by_site(clips: list[Clip]) -> tuple[list[Clip], str]:
    names = [SoundscapeName.parse(clip.path) for clip in clips]
    if not all(names):
        return [replace(clip, group=clip.name) for clip in clips], "file"
    return [replace(clip, group=name.site) for clip, name in zip(clips, names) if name], "site in the file name"


def _clock(path: Path, line: int, column: str, text: str) -> float:
    """HH:MM:SS in seconds. Nothing looser: a spreadsheet that saved 00:05 may have meant hours or minutes."""
    match = CLOCK.fullmatch(text.strip())
    if not match:
        raise InputError(f"{path}, line {line}: {column} '{text}', expected HH:MM:SS. Saved by a spreadsheet?")
    hours, minutes, seconds = map(int, match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def _list(path: Path, line: int, text: str) -> list[str]:
    """BirdCLEF writes lists as Python: "['tattin1', ' song']" -> ['tattin1', 'song']; "" and "[]" -> [].

    NumPy prints them without commas, "['tattin1' 'song']", which Python would read as one label, `tattin1song`.
    """
    try:
        items = [ast.literal_eval(item) for item in QUOTED.findall(text)] if LIST.fullmatch(text.strip()) else None
    except (ValueError, SyntaxError):
        items = None
    if items is None:
        raise InputError(
            f"{path}, line {line}: secondary_labels {text}, expected a list such as ['tattin1', 'gretit1']."
        )
    return [item.strip() for item in items if item.strip()]


def _taken_from(table: Path) -> str:
    return f"Paths are taken from the folder that {table.name} is in."
