"""Steps that bring further members' tables into the one that is processed.

Source: Yadav 2026, "Blend": Model_73 (ProtoSSM and distilled SED, per-class percentile ranks 0.60 / 0.40) with weight
0.93, the attention head with 0.07, added.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from ....features import InputError
from ... import predictions
from ...blending import blend
from ..step import Reach


def values_of(member: pd.DataFrame, table: pd.DataFrame, name: str) -> np.ndarray:
    """The member's values float64 [rows, classes] in the rows and columns of the table; InputError: it lacks some."""
    for what, have, want in (("rows", member.index, table.index), ("columns", member.columns, table.columns)):
        absent = want[~want.isin(have)]
        if len(absent):
            raise InputError(
                f"{name}: {len(absent)} {what} missing, the first {absent[0]!r}; the first member has them."
            )
    return member.loc[table.index, table.columns].to_numpy(dtype=np.float64)


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """The table's percentile ranks, 1 / n to 1 within each class over all rows; equal values share their mean rank."""
    return blend([table], space="rank")


@dataclass(frozen=True, eq=False)
class Mix:
    """p <- w p + (1 - w) q, q the other member; in space rank both are percentile ranks per class first.

    In use: ranks with w = 0.60 (ProtoSSM) and 0.40 (SED); plain addition with 0.93 and 0.07 (the attention head).
    Ranks are over all rows of the table, so this step alone, with `RareClasses`, looks beyond a recording.

    Attributes:
        other: the member that comes in, probabilities.
        name: its name.
        weight: of the table so far, 0 to 1.
        space: "prob", "logit" or "rank".
    """

    other: pd.DataFrame = field(repr=False)
    name: str
    weight: float = 0.6
    space: str = "rank"
    stage: ClassVar[str] = "mixing"

    def __post_init__(self):
        if not 0 <= self.weight <= 1:
            raise InputError(f"mixing with {self.name}: expected a weight from 0 to 1, got {self.weight:g}.")

    def __str__(self):
        return f"{self.name} {1 - self.weight:.3g} ({self.space})"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values_of(self.other, table, self.name)  # its rows are all there
        both = [table, self.other.loc[table.index, table.columns]]
        return blend(both, (self.weight, 1 - self.weight), self.space, names=["the table so far", self.name])

    def reach(self, table: pd.DataFrame) -> Reach:
        """Rows of recordings that the other member knows: all, or the call refuses."""
        known = np.isin(predictions.files(table.index), predictions.files(self.other.index))
        return Reach(int(known.sum()))
