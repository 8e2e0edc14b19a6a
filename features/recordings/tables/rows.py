"""Rows of a table that are no clip of their own: what is listed again, and what has no file."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ... import InputError
from ...spelling import is_there
from ..clips import Clip, some
from ..wording import agree, counted, share

MOST_MISSING = 0.5  # of a table's files; where more are gone, the audio was moved


def merge(table: Path, clips: Sequence[Clip]) -> tuple[list[Clip], list[str]]:
    """Rows about the same file, or the same piece of one, as one clip with all their labels; the first row leads.

    Args:
        table: that the rows are of, or the folder of the tables.
        clips: one a row.

    Returns:
        The clips that are left, in their order; warnings that count the rows and name contradictions.

    Raises:
        InputError: the same clip in two given folds.
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


def drop_missing(table: Path, clips: Sequence[Clip], looked: str) -> tuple[list[Clip], list[str]]:
    """The clips whose files are there, and one warning about the others.

    Args:
        table: that names the files, or the folder of the tables.
        clips: of the table; several may be of one file.
        looked: a sentence that says where files were looked for.

    Returns:
        The clips that are left, and [] or [warning].

    Raises:
        InputError: more than MOST_MISSING of the files are not there.
    """
    files = {clip.path: clip.name for clip in clips}
    missing = {path: name for path, name in files.items() if not (is_there(path) and path.is_file())}
    if not missing:
        return list(clips), []
    said = f"{table}: {share(len(missing), len(files), 'file', 'is', 'are')} not there"
    names = some(list(missing.values()))
    if len(missing) > MOST_MISSING * len(files):
        raise InputError(f"{said}: {names}. {looked} Was the audio moved?")
    return [clip for clip in clips if clip.path not in missing], [f"{said} and left out: {names}. {looked}"]
