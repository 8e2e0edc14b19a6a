"""Rows of a table: which recordings they name, beside the table, above or below it, and which are no clip of their own.

Tables travel: they come with backslashes, with the folders of another machine, or with paths from a project's root.
"""

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PureWindowsPath

from ... import InputError
from ...spelling import agree, counted, is_there, on_disk, share, some
from ..clips import Clip
from ..folders import audio_files

MOST_MISSING = 0.5  # of a table's files; where more are gone, the audio was moved
ABOVE = 4  # folders above a table from which its paths may count


class AudioPaths:
    """The files that the rows of one table name.

    moved: names that were found elsewhere than the table says. several: path as the table has it -> files of that name,
    of which none is taken.
    """

    def __init__(self, table: Path):
        self.folder = table.parent
        self.moved: list[str] = []
        self.several: dict[Path, list[Path]] = {}
        self._found: dict[str, Path] = {}

    def find(self, text: str) -> Path:
        """The file that a row names; where there is none, the path as the row has it, relative to the table."""
        if text not in self._found:
            self._found[text] = self._search(text.strip())
        return self._found[text]

    def named_like(self, table: Path) -> Path | None:
        """The recording whose name the table's begins with: `dawn.wav` for `dawn.Table.1.selections.txt`."""
        stem = table.name
        while "." in stem:
            stem = stem.rpartition(".")[0]
            for file in (*self._by_stem.get(stem, ()), *self._by_name.get(stem, ())):
                return file
        return None

    def _search(self, text: str) -> Path:
        plain = on_disk(self.folder, text)
        if _is_file(plain):
            return plain
        windows = "\\" in text or re.match(r"[A-Za-z]:", text)
        parts = PureWindowsPath(text).parts if windows else Path(text).parts
        rooted = bool(windows and PureWindowsPath(text).drive) or Path(text).is_absolute()
        if not rooted:
            slashed = Path(*parts) if parts else Path(text)
            for folder in (self.folder, *list(self.folder.resolve().parents)[:ABOVE]):
                if _is_file(found := on_disk(folder, str(slashed))):
                    return found
            plain = self.folder / slashed
        for start in range(1, len(parts)):
            if _is_file(file := on_disk(self.folder, str(Path(*parts[start:])))):
                self.moved.append(text)
                return file
        alike = self._by_name.get(parts[-1] if parts else "", ())
        if len(alike) == 1:
            if rooted or len(parts) > 1:
                self.moved.append(text)
            return alike[0]
        if alike:
            self.several[plain] = alike
        return plain

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return audio_files(self.folder).files

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for file in self._files:
            found[file.name].append(file)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for file in self._files:
            found[file.stem].append(file)
        return found


def told_unlabelled(table: Path, unlabelled: int, total: int) -> list[str]:
    """A warning that counts the rows without a label; [] where there are none. InputError: no row has any."""
    if unlabelled and unlabelled == total:
        raise InputError(f"{table}: none of its {counted(total, 'row')} has a label.")
    return [f"{table}: {share(unlabelled, total, 'row', 'has', 'have')} no label; left out."] if unlabelled else []


def told_moved(table: Path, paths: AudioPaths) -> list[str]:
    """A warning about the recordings that were found elsewhere than the table says; [] where there are none."""
    if not (moved := sorted(set(paths.moved))):
        return []
    count = f"{counted(len(moved), 'recording')} {agree(len(moved), 'is', 'are')}"
    were = agree(len(moved), "was", "were")
    return [f"{table}: {count} not where it says, and {were} found by name: {some(moved, 1)}."]


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()


def merge(table: Path, clips: Sequence[Clip]) -> tuple[list[Clip], list[str]]:
    """Rows about the same file, or the same piece of one, as one clip with all their labels; the first row leads.

    table: that the rows are of, or the folder of the tables. With the clips come warnings that count the rows and name
    contradictions. InputError: the same clip in two given folds.
    """
    merged: dict[tuple[str, float, float | None], Clip] = {}
    other_labels: dict[str, None] = {}
    other_groups: dict[str, None] = {}
    for clip in clips:
        place = (os.path.normpath(clip.path.absolute()), clip.start_s or 0.0, clip.end_s)
        first = merged.setdefault(place, clip)
        if first is clip:
            continue
        if first.fold and clip.fold and first.fold != clip.fold:
            raise InputError(f"{table}: '{clip.name}' in the folds '{first.fold}' and '{clip.fold}', expected one.")
        if set(clip.labels) != set(first.labels):
            other_labels[clip.name] = None
        if first.group and clip.group and first.group != clip.group:
            other_groups[clip.name] = None
        labels = tuple(dict.fromkeys([*first.labels, *clip.labels]))
        merged[place] = replace(first, labels=labels, group=first.group or clip.group, fold=first.fold or clip.fold)
    told = []
    if again := len(clips) - len(merged):
        used = f"{counted(len(merged), 'clip')} {agree(len(merged), 'is', 'are')} used"
        told.append(f"{table}: {share(again, len(clips), 'row', 'lists', 'list')} a clip again; {used}.")
    if other_labels:
        told.append(f"{table}: clips listed again with other labels have them all: {some(list(other_labels))}.")
    if other_groups:
        told.append(f"{table}: clips listed again in another group stay in the first: {some(list(other_groups))}.")
    return list(merged.values()), told


def drop_missing(
    table: Path, clips: Sequence[Clip], looked: str, several: Mapping[Path, Sequence[Path]] | None = None
) -> tuple[list[Clip], list[str]]:
    """The clips whose files are there, and one warning about the others, if there are any.

    table: that names the files, or their folder. looked: a sentence that says where files were looked for. several: of
    `AudioPaths`. InputError: more than MOST_MISSING of the files are not there.
    """
    files = {clip.path: clip.name for clip in clips}
    missing = {path: name for path, name in files.items() if not (is_there(path) and path.is_file())}
    if not missing:
        return list(clips), []
    what, hint, cause = "not there", looked, "Was the audio moved?"
    if unclear := [path for path in missing if several and path in several]:
        what = "there more than once" if len(unclear) == len(missing) else f"{what}, or there more than once"
        places = [os.path.relpath(path, table.parent) for path in (several or {})[unclear[0]]]
        hint, cause = f"'{missing[unclear[0]]}' may be {some(places)}: write its folder too.", ""
    said = f"{table}: {share(len(missing), len(files), 'file', 'is', 'are')} {what}"
    names = some(list(missing.values()))
    if len(missing) > MOST_MISSING * len(files):
        raise InputError(f"{said}: {names}. {hint} {cause}")
    return [clip for clip in clips if clip.path not in missing], [f"{said} and left out: {names}. {hint}"]
