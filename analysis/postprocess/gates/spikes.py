"""Gates on the agreement of two members: spikes of one that the other does not support.

A spike of a member is a cell (window, class) whose percentile rank within the class is at least `high` in this member
and at most `low` in the other. Percentile ranks, because the members' scales differ.

Source: public descriptions of the dominant BirdCLEF+ 2026 chain: "SED-silent spikes of ProtoSSM damped (0.92 / 0.08);
continuity over +-3 windows (Student-t kernel, scale 1.2, 2 degrees of freedom) protected; SED-only spikes kept (0.88 /
0.12)". They give weights and kernel; `high`, `low` and the level of continuity are ours, as is the reading of the pairs
as the shares of the blend and of the second member.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd

from ....features import InputError
from .. import temporal
from ..step import Reach
from .mixing import values_of


@dataclass(frozen=True, eq=False)
class _Spikes:
    """p <- keep p + (1 - keep) s, s the second member's rank, in the spikes that a subclass names.

    Attributes:
        first, second: percentile ranks of the two members (`mixing.ranks`).
        keep: share of the table so far.
        high, low: the ranks that make a spike.
    """

    first: pd.DataFrame = field(repr=False)
    second: pd.DataFrame = field(repr=False)
    keep: float = 0.92
    high: float = 0.9
    low: float = 0.5
    stage: ClassVar[str] = "gate"
    title: ClassVar[str] = ""
    none: ClassVar[str] = ""  # why a table has no such spike

    def __post_init__(self):
        if not 0 < self.keep <= 1 or not 0 <= self.low < self.high <= 1:
            raise InputError(
                f"{self.title}: expected a share above 0 and at most 1, and low below high within 0 to 1, got "
                f"keep {self.keep:g}, low {self.low:g}, high {self.high:g}."
            )

    def __str__(self):
        return f"{self.title} {self.keep:g}/{1 - self.keep:.2g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64)
        second = values_of(self.second, table, self.title)
        mixed = np.where(self.cells(table), self.keep * values + (1 - self.keep) * second, values)
        return pd.DataFrame(np.clip(mixed, 0.0, 1.0), index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """Rows with a spike."""
        rows = int(self.cells(table).any(axis=1).sum())
        return Reach(rows, "" if rows else self.none)

    def cells(self, table: pd.DataFrame) -> np.ndarray:
        """bool [rows, classes]: the spikes."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class SilentSpikes(_Spikes):
    """Spikes of the first member in which the second is silent are damped: p <- 0.92 p + 0.08 s where f >= high and
    s <= low."""

    title: ClassVar[str] = "silent spikes"
    none: ClassVar[str] = "the second member supports every spike of the first"

    def cells(self, table: pd.DataFrame) -> np.ndarray:
        first, second = (values_of(one, table, self.title) for one in (self.first, self.second))
        return (first >= self.high) & (second <= self.low)


@dataclass(frozen=True, eq=False)
class SecondSpikes(_Spikes):
    """Spikes that only the second member has are kept: p <- 0.88 p + 0.12 s where s >= high and f <= low."""

    keep: float = 0.88
    title: ClassVar[str] = "second's spikes"
    none: ClassVar[str] = "the first member supports every spike of the second"

    def cells(self, table: pd.DataFrame) -> np.ndarray:
        first, second = (values_of(one, table, self.title) for one in (self.first, self.second))
        return (second >= self.high) & (first <= self.low)


@dataclass(frozen=True, eq=False)
class Continuity:
    """What `gate` damped is given back where the windows around say the same: p <- (p - (1 - keep) s) / keep.

    A cell is protected where c >= level, with c[t] = sum k(d) f[t + d] / sum k(d) over the other windows within +-reach
    of the same recording, f the first member's rank, and k(d) = (1 + (d / scale)^2 / dof)^(-(dof + 1) / 2), a
    Student-t density up to its constant. A window without neighbours is not protected. Belongs right behind its gate,
    so that both have an effect of their own in the report; together they are damping with protection.

    Attributes:
        gate: the damping that is partly undone.
        reach_windows, scale, dof: of the kernel, in windows.
        level: of c.
    """

    gate: SilentSpikes
    reach_windows: int = 3
    scale: float = 1.2
    dof: float = 2.0
    level: float = 0.75
    stage: ClassVar[str] = "gate"

    def __post_init__(self):
        if self.reach_windows < 1 or not self.scale > 0 or not self.dof > 0 or not 0 <= self.level <= 1:
            raise InputError(
                "continuity: expected one window or more, scale and dof above 0 and a level from 0 to 1, "
                f"got {self.reach_windows}, {self.scale:g}, {self.dof:g} and {self.level:g}."
            )

    def __str__(self):
        return f"continuity +-{self.reach_windows}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64)
        keep, second = self.gate.keep, values_of(self.gate.second, table, str(self))
        back = np.where(self._protected(table), (values - (1 - keep) * second) / keep, values)
        return pd.DataFrame(np.clip(back, 0.0, 1.0), index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """Rows with a protected cell."""
        rows = int(self._protected(table).any(axis=1).sum())
        return Reach(rows, "" if rows else "no damped spike has neighbours that say the same")

    def _protected(self, table) -> np.ndarray:
        first = pd.DataFrame(values_of(self.gate.first, table, str(self)), table.index, table.columns)
        around, _ = temporal.neighbour_mean(first, self._weight)
        return self.gate.cells(table) & (around >= self.level)

    def _weight(self, distance):
        inside = (distance != 0) & (abs(distance) <= self.reach_windows)
        kernel = (1 + (distance / self.scale) ** 2 / self.dof) ** (-(self.dof + 1) / 2)
        return np.where(inside, kernel, 0.0)
