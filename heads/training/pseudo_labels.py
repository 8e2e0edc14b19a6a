"""Pseudo-labels: windows without labels take the mean probabilities of trained heads as soft targets.

As in Yadav 2026, in one pass and over all folds of the teacher. The teacher has seen the labelled windows of every
fold, so the student's out-of-fold scores come out too high (published: +0.134 out of fold, -0.009 on the leaderboard);
a warning says so. A `Gate` lets through only what the teacher is sure of.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...features import InputError
from ...features.schema import check_choice
from ..dataset import Data
from ..ensemble import Members
from ..inputs import taps_of

LEAK = (
    "the pseudo-labels come from heads that saw the labelled windows of every fold: their student's out-of-fold scores "
    "are too high. Judge it on recordings that neither has seen."
)
MASKS = ("none", "unseen")


@dataclass(frozen=True)
class Gate:
    """Which of a teacher's probabilities become targets; facts in use: keep 0.3-0.55, power 1.5-2.

    keep: a probability below it becomes 0, and a window with nothing left is dropped, since a target of zeros would
    teach that nothing is heard there; 0 drops none. power: what is kept is raised to it, so that above 1 the doubtful
    counts less. mask: "unseen" sets classes without a positive among the labelled soundscapes to 0, "none" leaves them.
    """

    keep: float = 0.5
    power: float = 1.0
    mask: str = "none"

    def __post_init__(self):
        if not 0 <= self.keep < 1:
            raise InputError(f"`--pseudo-keep` must be a probability from 0 to below 1, got {self.keep}.")
        if not 0 < self.power < float("inf"):
            raise InputError(f"`--pseudo-power` must be a number above 0, such as 1.5, got {self.power}.")
        check_choice("--pseudo-mask", self.mask, MASKS)

    def __str__(self) -> str:
        mask = ", unseen classes masked" if self.mask == "unseen" else ""
        return f"keep p >= {self.keep:g}, power {self.power:g}{mask}"

    def __call__(self, probabilities: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """probabilities [n, K], seen bool [K] -> (targets [n, K], bool [n]: the windows that stay)."""
        allowed = probabilities >= self.keep
        if self.mask == "unseen":
            allowed = allowed & seen
        targets = torch.where(allowed, probabilities**self.power, 0.0)
        stays = allowed.any(dim=1) if self.keep > 0 else torch.ones(len(targets), dtype=torch.bool)
        return targets, stays


def tokens_of(teacher: Members | None) -> tuple[str, ...]:
    """The taps that must be loaded for a teacher to speak."""
    return taps_of(teacher.description.tokens) if teacher else ()


@torch.no_grad()
def label(data: Data, teacher: Members, gate: Gate | None = None) -> Data:
    """The same data, the targets of its source `pseudo` replaced by the teacher's probabilities; with a gate by what it
    lets through, less the windows that it drops (all of them: then there is no such source, and a warning).

    InputError: no such source, or a teacher of other classes.
    """
    if "pseudo" not in data.sources:
        raise InputError("`--pseudo-from`: expected a third store with the windows to be labelled, got none.")
    if teacher.description.labels != data.labels:
        raise InputError(
            f"--pseudo-from, head {teacher.name}: expected the same {len(data.labels)} classes in the same order, got "
            f"{len(teacher.description.labels)}. Trained with another --taxonomy?"
        )
    rows = torch.from_numpy((data.rows["source"] == "pseudo").to_numpy().nonzero()[0])
    taps = tokens_of(teacher)
    xs, table = [data.xs[tap][rows] for tap in taps], data.rows.iloc[rows.numpy()]
    probabilities = teacher.predict(taps, xs, table, None if data.first_pass is None else data.first_pass[rows])
    targets = data.targets.clone()
    if gate is None:
        targets[rows] = probabilities
        return replace(data, targets=targets, warnings=(*data.warnings, LEAK))
    soundscapes = torch.tensor((data.rows["source"] == "soundscape").to_numpy())
    targets[rows], stays = gate(probabilities, (data.targets[soundscapes] > 0).any(dim=0))
    said = f"pseudo-labels ({gate}): {int(stays.sum())} of {len(rows)} windows stay"
    if not stays.any():
        said += f", the highest probability is {float(probabilities.max()):.3g}; nothing is pseudo-labelled"
    kept = torch.ones(len(data.rows), dtype=torch.bool)
    kept[rows[~stays]] = False
    return replace(
        data,
        xs={token: x[kept] for token, x in data.xs.items()},
        targets=targets[kept],
        first_pass=None if data.first_pass is None else data.first_pass[kept],
        rows=data.rows[kept.numpy()].reset_index(drop=True),
        warnings=(*data.warnings, LEAK, said + "."),
    )
