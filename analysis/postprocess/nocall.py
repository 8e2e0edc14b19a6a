"""No-call: windows in which probably nothing calls are lowered, all classes alike.

No public formula is agreed on; these are the two forms in use. Both move whole rows, so the order of classes within a
row stays and that of rows within a class moves.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ...features import InputError
from . import rows
from .step import Reach, all_or_none


@dataclass(frozen=True)
class Damping:
    """Rows (unit "window") or recordings ("file") whose maximum over all classes is below threshold, times factor.

    factor 1 changes nothing; with 0 a second time changes nothing more; between, it damps again each time.
    """

    threshold: float = 0.1
    factor: float = 0.5
    unit: str = "window"
    stage: ClassVar[str] = "no-call"

    def __post_init__(self):
        if not (0 <= self.threshold <= 1 and 0 <= self.factor <= 1) or self.unit not in ("window", "file"):
            raise InputError(
                "no-call damping: expected threshold and factor from 0 to 1, unit window or file, got "
                f"{self.threshold}, {self.factor} and {self.unit!r}."
            )

    def __str__(self):
        return f"no-call {self.unit} < {self.threshold:g}: x {self.factor:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64, copy=True)
        values[self._quiet(table)] *= self.factor
        return pd.DataFrame(values, index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        quiet = int(self._quiet(table).sum())
        reason = f"{len(table) - quiet} rows are of {self.unit}s with a value of {self.threshold:g} or more"
        return Reach(quiet, reason if quiet < len(table) else "")

    def _quiet(self, table) -> np.ndarray:
        """bool [rows]"""
        loudest = table.to_numpy(dtype=np.float64).max(axis=1, initial=0.0)
        if self.unit == "file":
            for at in rows.by_file(table.index):
                loudest[at] = loudest[at].max()
        return loudest < self.threshold


@dataclass(frozen=True)
class Class:
    """p <- p (1 - p_nocall), for a table with a column that says so. The column is dropped: no submission has it.

    Without the column nothing changes, so a second time is harmless; `reach` tells.
    """

    name: str = "nocall"
    stage: ClassVar[str] = "no-call"

    def __str__(self):
        return f"no-call class {self.name!r}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.name not in table.columns:
            return table.copy()
        rest = table.drop(columns=self.name)
        quiet = table[self.name].to_numpy(dtype=np.float64)[:, None]
        return pd.DataFrame(rest.to_numpy(dtype=np.float64) * (1 - quiet), index=rest.index, columns=rest.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        return all_or_none(table, self.name in table.columns, f"no column {self.name!r}")
