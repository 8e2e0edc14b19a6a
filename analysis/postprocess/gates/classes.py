"""Gates that treat kinds of classes apart: sonotypes that sound the same, rare groups, temperatures.

Source: public descriptions of the dominant BirdCLEF+ 2026 chain: "acoustically identical sonotypes share their maximum;
values of rare taxonomic classes below mean + 0.05 times 0.9; per-class temperatures". Which sonotypes and which
temperatures is read from tables; what the mean is over and what makes a group rare, they do not say.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from ....features import InputError
from ....features.recordings.tables import read_csv
from ..rows import families
from ..step import Reach, all_or_none

GROUP_COLUMN = "sonotype_group"


def read_groups(path: Path | str) -> dict[str, str]:
    """label -> group of a CSV with primary_label and sonotype_group (taxonomy.csv may have that column); empty is none.

    InputError: no such table or columns, a label in two groups.
    """
    groups: dict[str, str] = {}
    for line, row in read_csv(Path(path), ("primary_label", GROUP_COLUMN))[1]:
        label, group = row["primary_label"].strip(), row[GROUP_COLUMN].strip()
        if group and groups.setdefault(label, group) != group:
            raise InputError(f"{path}, line {line}: label {label!r} in groups {groups[label]!r} and {group!r}.")
    return groups


@dataclass(frozen=True)
class SharedMaximum:
    """Columns of one group share their maximum, window by window: p[k] <- max of p[j] over j in the group of k.

    Attributes:
        groups: label -> group, of the classes that have one.
    """

    groups: Mapping[str, str] = field(repr=False)
    stage: ClassVar[str] = "gate"

    def __str__(self):
        return "shared maximum"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64, copy=True)
        for at in families(table.columns, self.groups):
            values[:, at] = values[:, at].max(axis=1, keepdims=True)
        return pd.DataFrame(values, index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """All rows, or none where no group has two columns."""
        return all_or_none(table, families(table.columns, self.groups), "no group has two columns")


@dataclass(frozen=True)
class RareClasses:
    """Values of rare groups that do not stand out are lowered: p <- factor p where p < mean + margin.

    The mean is the column's over all rows of the table. A group is rare that holds at most `share` of the columns (at
    BirdCLEF+ 2026 mammals and the reptile). Within a column this keeps the order, so it moves no rank and no AUC by
    itself; only steps that mix classes afterwards see it.

    Attributes:
        group: label -> class_name.
        share: of the columns, at most, for a rare group (ours).
        margin, factor: as in use.
    """

    group: Mapping[str, str] = field(repr=False)
    share: float = 0.1
    margin: float = 0.05
    factor: float = 0.9
    stage: ClassVar[str] = "gate"

    def __post_init__(self):
        if not all(0 <= value <= 1 for value in (self.share, self.margin, self.factor)):
            raise InputError(
                "rare classes: expected share, margin and factor from 0 to 1, got "
                f"{self.share:g}, {self.margin:g} and {self.factor:g}."
            )

    def __str__(self):
        return f"rare classes x {self.factor:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values, rare = table.to_numpy(dtype=np.float64), self._rare(table)
        low = rare & (values < values.mean(axis=0) + self.margin)
        return pd.DataFrame(np.where(low, self.factor * values, values), index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """All rows, or none where no group is rare."""
        return all_or_none(table, self._rare(table).any(), f"no group has at most {self.share:.0%} of the columns")

    def _rare(self, table) -> np.ndarray:
        """bool [classes]"""
        found = Counter(self.group[name] for name in table.columns if name in self.group)
        rare = {name for name, n in found.items() if n <= self.share * table.shape[1]}
        return np.array([self.group.get(name) in rare for name in table.columns], dtype=bool)


@dataclass(frozen=True)
class Temperatures:
    """p <- sigmoid(logit(p) / T), T the label's or its group's temperature; 1 where neither has one.

    Monotone within a class: it moves no rank by itself, only what later steps make of the values.

    Attributes:
        temperature: label or class_name -> T above 0; a label's own goes first.
        group: label -> class_name.
    """

    temperature: Mapping[str, float]
    group: Mapping[str, str] = field(repr=False, default_factory=dict)
    stage: ClassVar[str] = "gate"

    def __post_init__(self):
        for name, value in self.temperature.items():
            if not 0 < value < np.inf:
                raise InputError(f"temperatures: expected one above 0 for {name!r}, got {value:g}.")

    def __str__(self):
        return "temperatures"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values, by = table.to_numpy(dtype=np.float64), self._by_class(table)
        warmed = np.where(by == 1, values, expit(logit(np.clip(values, 0.0, 1.0)) / by))
        return pd.DataFrame(warmed, index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """All rows, or none where every class has temperature 1."""
        return all_or_none(table, (self._by_class(table) != 1).any(), "no class has a temperature other than 1")

    def _by_class(self, table) -> np.ndarray:
        """float64 [classes]"""
        of = self.temperature
        return np.array([of.get(name, of.get(self.group.get(name, ""), 1.0)) for name in table.columns], dtype=float)
