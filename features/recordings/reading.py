"""AUDIO to Recordings: which kind it is, then groups and folds, and what looks wrong about the labels and files."""

import json
import re
import subprocess
import sys
import unicodedata
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

from .. import InputError
from ..spelling import composed, counted, printable, share, some
from .clips import Clip, Recordings
from .sources import birdclef, class_folders, lists_soundscapes, manifest, soundscapes, unlabelled
from .tables.labelled import Labelled, is_audacity, label_files, label_folder, label_table
from .tables.layouts import parse_columns
from .tables.text import TABLE_SUFFIXES, read_table
from .taxonomy import read_classes

PATIENCE_S = 10
SEARCH = """import json, re, sys
patience, pattern, names = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (patience, patience))
except ImportError:  # Windows: the time on the clock has to do
    pass
found = [re.search(pattern, name) for name in names]
print(json.dumps([match and match.group(1) for match in found]))"""


def read_recordings(
    audio: Path | str,
    *,
    group_regex: str | None = None,
    groups_column: str | None = None,
    fold_regex: str | None = None,
    column: str | None = None,
    labelled: bool = True,
) -> Recordings:
    """The clips of AUDIO with their labels, groups and folds; without `labelled`, every audio file below a folder.

    Both patterns are searched in the file name (without its folders); their first group is the clip's group or fold. A
    pattern or `groups_column` goes before the table's own (column `group`; `author` in a BirdCLEF folder; the site of
    labelled soundscapes). Where nothing is known, pieces of one file still form a group. `column` says of any table
    which column is which, `label=species,path=filename,start=onset`. Raises InputError for what is missing, empty or
    unreadable.
    """
    audio = Path(audio)
    if group_regex is not None and groups_column is not None:
        raise InputError("--group-regex and --groups: expected one source of groups, got both.")
    if audio.is_dir():
        found = _of_folder(audio, groups_column, column, labelled)
    elif audio.is_file() and audio.suffix.lower() in TABLE_SUFFIXES:
        found = _of_table(audio, groups_column, column)
    else:
        what = f"a file that is no {', '.join(TABLE_SUFFIXES)}" if audio.exists() else "no such file or folder"
        raise InputError(f"{audio}: {what}, expected class folders, a CSV table of labels or a BirdCLEF folder.")
    root = audio if audio.is_dir() else audio.parent
    clips, grouping, warnings = found.clips, found.grouping, found.warnings
    folding = "column fold" if any(clip.fold for clip in clips) else "none"
    if group_regex is not None:
        groups = _search("--group-regex", group_regex, clips)
        clips = [replace(clip, group=group) for clip, group in zip(clips, groups)]
        grouping = f"file-name pattern '{group_regex}'"
    if fold_regex is not None:
        folds = _search("--fold-regex", fold_regex, clips)
        if missing := [clip.name for clip, fold in zip(clips, folds) if not fold]:
            raise InputError(
                f"--fold-regex '{fold_regex}': no fold in {some(missing)}, expected one in every file name."
            )
        clips = [replace(clip, fold=fold) for clip, fold in zip(clips, folds)]
        folding = f"file-name pattern '{fold_regex}'"
    clips = [
        replace(clip, labels=tuple(dict.fromkeys(composed(label.strip()) for label in clip.labels))) for clip in clips
    ]
    clips, grouping, more = _complete_groups(clips, grouping)
    warnings = (*warnings, *more, *_look_alikes(clips))
    return Recordings(root, tuple(clips), grouping, warnings, folding, _taxonomy(root, clips), found.kind)


def _taxonomy(root: Path, clips: list[Clip]) -> tuple[str, ...] | None:
    """The classes of the taxonomy.csv beside a competition's tables; None where there is none, or it lacks a label."""
    path = root / "taxonomy.csv"
    classes = read_classes(path) if path.is_file() else ()
    return classes if classes and {label for clip in clips for label in clip.labels} <= set(classes) else None


def _of_folder(audio: Path, groups_column: str | None, column: str | None, labelled: bool) -> Labelled:
    if not labelled:
        return Labelled(*unlabelled(audio), "")
    if column is not None:
        raise InputError(f"--column {column}: {audio} is no table with columns.")
    if (audio / "train.csv").is_file() and (audio / "train_audio").is_dir():
        return Labelled(*birdclef(audio, groups_column), "BirdCLEF folder")
    if files := label_files(audio):
        return label_folder(audio, files, groups_column)
    if groups_column is not None:
        raise InputError(f"--groups {groups_column}: {audio} is no table with columns. Use --group-regex?")
    return Labelled(*class_folders(audio), "")


def _of_table(audio: Path, groups_column: str | None, column: str | None) -> Labelled:
    """A manifest, BirdCLEF's labelled soundscapes, or what another tool wrote."""
    if column is not None:
        return label_table(audio, groups_column, parse_columns(column))
    if audio.suffix.lower() == ".jsonl" or is_audacity(audio):
        return label_table(audio, groups_column)
    table = read_table(audio)
    if lists_soundscapes(table.columns):
        return Labelled(*soundscapes(table, groups_column), "BirdCLEF soundscapes")
    if {"path", "label"} <= set(table.columns):
        return Labelled(*manifest(table, groups_column), "")
    return label_table(audio, groups_column)


def _search(option: str, pattern: str, clips: list[Clip]) -> list[str | None]:
    """The pattern's first group in every clip's file name, None where it does not match."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{option} '{pattern}': no regular expression ({error}).") from error
    if not compiled.groups:
        raise InputError(f"{option} '{pattern}': expected one group in parentheses, as in '^(R\\d+)-', got none.")
    matches = _matches(option, compiled, [printable(clip.path.name) for clip in clips])
    found = [text or None for text in matches]
    if not any(found):
        raise InputError(f"{option} '{pattern}': matches no file name, e.g. not '{clips[0].path.name}'.")
    return found


def _matches(option: str, pattern: re.Pattern[str], names: list[str]) -> list[str | None]:
    """The first group of each name, None where the pattern does not match.

    A pattern such as `(a+)+$` may take for ever on one name, and nothing within this process can end it: so the names
    are searched in another one, which gets PATIENCE_S of a core.
    """
    if not _may_backtrack(pattern.pattern) or not sys.executable:
        return [match.group(1) if (match := pattern.search(name)) else None for name in names]
    program = [sys.executable, "-I", "-c", SEARCH]
    question = json.dumps([PATIENCE_S, pattern.pattern, names])
    try:
        done = subprocess.run(program, input=question, capture_output=True, text=True, timeout=60 * PATIENCE_S)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise InputError(
            f"{option} '{pattern.pattern}': no answer for {len(names)} file names within {PATIENCE_S} s. Repeats "
            "inside repeats, as in (a+)+, take for ever: write it without?"
        )
    return json.loads(done.stdout)


def _may_backtrack(pattern: str) -> bool:
    """Whether a pattern holds two repeats or more: with one at most, the time is bounded by the square of a name."""
    return len(re.findall(r"[*+?]|\{\d*,\d*\}|\{\d+\}", pattern)) > 1


def _complete_groups(clips: list[Clip], grouping: str) -> tuple[list[Clip], str, list[str]]:
    """Either every clip has a group, or none: a clip without one is its own, and pieces of one file are one."""
    if all(clip.group is None for clip in clips):
        pieces = len({clip.path for clip in clips}) < len(clips)
        return [replace(clip, group=clip.name if pieces else None) for clip in clips], "file" if pieces else "none", []
    warnings = []
    if alone := [clip.name for clip in clips if clip.group is None]:
        have = share(len(alone), len(clips), "clip", "has", "have")
        warnings.append(f"{have} no group ({grouping}); each is its own: {some(alone)}.")
    clips = [replace(clip, group=clip.name) if clip.group is None else clip for clip in clips]
    groups = defaultdict(set)
    for clip in clips:
        groups[clip.name].add(clip.group)
    if torn := sorted(name for name, found in groups.items() if len(found) > 1):
        warnings.append(f"pieces of one file lie in different groups ({grouping}): {some(torn)}.")
    return clips, grouping, warnings


def _look_alikes(clips: list[Clip]) -> list[str]:
    counts = Counter(label for clip in clips for label in clip.labels)
    alike = defaultdict(list)
    for label in sorted(counts):
        alike[" ".join(unicodedata.normalize("NFKC", label).split()).casefold()].append(label)
    warnings = []
    for labels in alike.values():
        if len(labels) > 1:
            both = " and ".join(f"'{label}' ({counted(counts[label], 'clip')})" for label in labels)
            warnings.append(f"labels {both} differ only by case or spaces and count as different classes. Mistyped?")
    for label in alike.get("nan", ()):
        warnings.append(f"label {label!r} ({counted(counts[label], 'clip')}) is a class here. Rows without a label?")
    return warnings
