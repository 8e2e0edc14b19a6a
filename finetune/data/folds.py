"""Which clips a fold trains on and which it holds out; their labels as targets."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...features import InputError
from ...features.recordings import Clip, Recordings, assign_folds
from ...features.spelling import counted
from .targets import multi_hot

NO_CALL = "nocall"  # the label of a clip without a bird; a class only where the columns have it
UNKNOWN = ""  # the label of a recording of which nothing is known
ALWAYS = -1  # the fold of clips that every fold trains on and none holds out


@dataclass(frozen=True, eq=False)
class Folds:
    """clips: all of them; of_clip: int64 [n], ALWAYS or 0..count-1; said: how they were made, in words."""

    clips: tuple[Clip, ...]
    of_clip: np.ndarray
    count: int
    said: str
    warnings: tuple[str, ...] = ()

    def train(self, fold: int) -> tuple[Clip, ...]:
        """What a fold trains on. InputError: no such fold."""
        return tuple(clip for clip, own in zip(self.clips, self.of_clip) if own != self._known(fold))

    def held(self, fold: int) -> tuple[Clip, ...]:
        """What it holds out. InputError: no such fold."""
        return tuple(clip for clip, own in zip(self.clips, self.of_clip) if own == self._known(fold))

    def _known(self, fold: int) -> int:
        if not 0 <= fold < self.count:
            raise InputError(f"`--fold` must be one of 0 to {self.count - 1} ({self.said}), got {fold}.")
        return fold


def make_folds(recordings: Recordings, n_folds: int = 5, seed: int = 0) -> Folds:
    """Folds by features.recordings.assign_folds: given ones as they are, else stratified, groups kept whole.

    A competition has species with one recording, which stratified folds refuse. Clips of species with fewer clips (or
    groups) than folds then go where the rest of their group goes, and into every fold's training when it has no rest:
    such a species is learned, and hardly or never scored. A warning names them.
    """
    clips = recordings.clips
    labels = [clip.label for clip in clips]
    groups, given = [clip.group for clip in clips], [clip.fold for clip in clips]
    words = {"grouping": recordings.grouping, "folding": recordings.folding}
    try:
        of_clip, said, warnings = assign_folds(labels, groups, given, n_folds, seed, **words)
    except InputError:
        rare = set() if any(given) or n_folds < 2 else _rare(labels, groups, n_folds)
        common = np.array([label not in rare for label in labels])
        if common.all() or len(set(labels) - rare) < 2:
            raise  # rare species are not what is wrong
        some = [clip for clip, kept in zip(clips, common) if kept]
        folds, said, warnings = assign_folds(
            [clip.label for clip in some], [clip.group for clip in some], None, n_folds, seed, **words
        )
        home = {clip.group: fold for clip, fold in zip(some, folds) if clip.group}
        of_clip = np.array([home.get(group, ALWAYS) if group else ALWAYS for group in groups], dtype=np.int64)
        of_clip[common] = folds
        shown = ", ".join(sorted(rare)[:5]) + (", ..." if len(rare) > 5 else "")
        said += f"; {int((~common).sum())} clips of {len(rare)} rare classes with their group, or never held out"
        warnings = (
            *warnings,
            f"{counted(len(rare), 'class')} with fewer clips or groups than the {n_folds} folds: {shown}. Trained on, "
            "and hardly or never scored.",
        )
    return Folds(clips, np.asarray(of_clip), int(of_clip.max()) + 1, said, tuple(warnings))


def _rare(labels: Sequence[str], groups: Sequence[str | None], n_folds: int) -> set[str]:
    """Classes with fewer clips than folds; where groups are known, with fewer groups than folds."""
    units = defaultdict(set)
    for i, (label, group) in enumerate(zip(labels, groups)):
        units[label].add(group or i)
    return {label for label, found in units.items() if len(found) < n_folds}


def label_order(recordings: Recordings) -> tuple[str, ...]:
    """Every label that occurs, primary or secondary, sorted, without NO_CALL."""
    return tuple(sorted({label for clip in recordings.clips for label in clip.labels} - {NO_CALL}))


def clip_targets(clips: Sequence[Clip], labels: Sequence[str]) -> np.ndarray:
    """float32 [n, K], 1 for each of a clip's labels, primary and secondary; NO_CALL is no label unless it is a column,
    UNKNOWN never.

    InputError: a label that is no column.
    """
    return multi_hot([clip.labels for clip in clips], labels, [clip.name for clip in clips], {NO_CALL, UNKNOWN})


def without_birds(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips labelled NO_CALL and nothing else: a background pool out of the table itself."""
    return tuple(clip for clip in clips if set(clip.labels) == {NO_CALL})
