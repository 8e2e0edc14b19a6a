"""Pseudo-labels: windows without labels take the mean probabilities of trained heads as soft targets.

As in Yadav 2026, in one pass and over all folds of the teacher. The teacher has seen the labelled windows of every
fold, so the student's out-of-fold scores come out too high (published: +0.134 out of fold, -0.009 on the leaderboard);
a warning says so.
"""

from dataclasses import replace

import torch

from features import InputError
from heads.data import Data
from heads.ensemble import Members
from heads.tokens import taps_of

LEAK = (
    "the pseudo-labels come from heads that saw the labelled windows of every fold: their student's out-of-fold scores "
    "are too high. Judge it on recordings that neither has seen."
)


def tokens_of(teacher: Members | None) -> tuple[str, ...]:
    """The taps that must be loaded for a teacher to speak."""
    return taps_of(teacher.description.tokens) if teacher else ()


@torch.no_grad()
def label(data: Data, teacher: Members) -> Data:
    """The same data, the targets of its source `pseudo` replaced by the teacher's probabilities.

    InputError: no such source, or a teacher of other classes.
    """
    if "pseudo" not in data.sources:
        raise InputError("--pseudo-from: two stores found, a third with the windows to be labelled wanted.")
    if teacher.description.labels != data.labels:
        raise InputError(
            f"--pseudo-from, head {teacher.name}: {len(teacher.description.labels)} classes found, the same "
            f"{len(data.labels)} in the same order wanted. Trained with another --taxonomy?"
        )
    rows = torch.from_numpy((data.rows["source"] == "pseudo").to_numpy().nonzero()[0])
    taps = tokens_of(teacher)
    targets = data.targets.clone()
    targets[rows] = teacher.over(taps)(*(data.xs[tap][rows] for tap in taps))
    return replace(data, targets=targets, warnings=(*data.warnings, LEAK))
