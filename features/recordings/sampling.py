"""Which clips of a table are used: a seeded draw."""

import math
import zlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import InputError
from ..spelling import agree, counted, some
from .clips import Recordings


def choose(
    recordings: Recordings, classes: int | None = None, per_class: int | None = None, seed: int = 0
) -> Recordings:
    """At most `classes` classes with at most `per_class` clips each, drawn by the seed; None takes all.

    Classes that have per_class clips are drawn from first; the largest others fill up. The draw depends on the labels
    and clip names alone, never on their order, and a class's clips do not depend on which other classes there are.
    """
    for option, number in (("--classes", classes), ("--per-class", per_class)):
        if number is not None and number < 1:
            raise InputError(f"{option}: expected at least 1, got {number}.")
    members = defaultdict(list)
    for index, clip in enumerate(recordings.clips):
        members[clip.label].append((clip.name, clip.start_s or 0.0, clip.end_s or math.inf, index))
    labels = np.random.default_rng(seed).permutation(sorted(members)).tolist()
    labels.sort(key=lambda label: -min(len(members[label]), per_class or 0))  # stable: the draw decides among equals
    labels = labels[:classes]
    kept = []
    for label in labels:
        rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
        ordered = sorted(members[label])
        kept += [ordered[i][-1] for i in rng.permutation(len(ordered))[:per_class]]
    warnings = list(recordings.warnings)
    small = sorted(label for label in labels if per_class and len(members[label]) < per_class)
    if len(kept) < len(recordings.clips):
        few = f", {len(small)} of them with fewer than {per_class} clips ({some(small)})" if small else ""
        most = f"`--classes` and `--per-class` take at most {classes or 'all'} x {per_class or 'all'}"
        used = f"{len(kept):,} of {len(recordings.clips):,} clips, {len(labels)} of {len(members)} classes{few}"
        warnings.append(f"{used}, are used; {most}.")
    return replace(recordings, clips=tuple(recordings.clips[i] for i in sorted(kept)), warnings=tuple(warnings))


def drop_rare(recordings: Recordings, least: int, place: Path | str) -> Recordings:
    """Leave out the classes that cross-validation could not learn, with a warning that lists them.

    least: clips that a class needs; where groups or given folds are known it needs two of each as well. place: the
    table or folder, for the message. InputError: fewer than two classes are left.
    """
    clips, groups, folds = (defaultdict(set) for _ in range(3))
    for index, clip in enumerate(recordings.clips):
        for label in clip.labels[:1]:
            clips[label].add(index)
            groups[label].add(clip.group if clip.group is not None else index)
            folds[label].add(clip.fold if clip.fold is not None else index)
    rare = sorted(name for name in clips if len(clips[name]) < least or len(groups[name]) < 2 or len(folds[name]) < 2)
    if not rare:
        return recordings
    kept = tuple(clip for clip in recordings.clips if clip.label not in set(rare))
    if len(clips) - len(rare) < 2:
        raise _too_rare({name: len(found) for name, found in clips.items()}, least, len(clips) - len(rare), place)
    warning = (
        f"{counted(len(rare), 'class')} with fewer than {least} clips, or all of them in one group or fold, "
        f"{agree(len(rare), 'is', 'are')} left out: "
        f"{some(rare, 10)}."
    )
    return replace(recordings, clips=kept, warnings=(*recordings.warnings, warning))


def _too_rare(sizes: dict[str, int], least: int, kept: int, place: Path | str) -> InputError:
    """What to say where fewer than two classes can be cross-validated: too few clips, or all in one group."""
    enough = sum(size >= least for size in sizes.values())
    if enough > 1:
        return InputError(
            f"{place}: got {kept} of {counted(len(sizes), 'class')} with clips in two groups and folds or more, "
            "expected at least two. Is the grouping too coarse?"
        )
    most = sorted(sizes.values())[-2:][0] if len(sizes) > 1 else 0
    advice = f"Try `--folds {most}`?" if most > 1 else "Add clips?" if most else "Is there a class missing?"
    return InputError(
        f"{place}: got {enough} of {counted(len(sizes), 'class')} with {least} clips or more, as --folds or "
        f"--min-per-class asks, expected at least two. {advice}"
    )
