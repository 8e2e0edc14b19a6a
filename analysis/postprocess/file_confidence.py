"""File-level confidence ("power"): windows of a recording in which a class was never certain are lowered.

p <- p * (mean of the recording's `top` highest values of that class) ^ exponent. In use: top 2 with exponent 0.4 (also
0.5 to 0.65), and the rank-aware form top 1, the recording's maximum. Recordings with fewer windows have all of them in
the mean. The order of a class's windows inside a recording stays; across recordings it moves, which is the point.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ...features import InputError
from . import rows
from .step import Reach


@dataclass(frozen=True)
class Power:
    """exponent: 0 changes nothing. top: windows, 1 or more."""

    exponent: float = 0.4
    top: int = 2
    stage: ClassVar[str] = "power"

    def __post_init__(self):
        if not 0 <= self.exponent < np.inf or self.top != int(self.top) or self.top < 1:
            raise InputError(
                f"file power: expected 0 or more, 1 window or more, got exponent {self.exponent}, top {self.top}."
            )

    def __str__(self):
        return f"power {self.exponent:g}, top {self.top}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64)
        out = values.copy()
        for at in rows.by_file(table.index):
            confidence = np.sort(values[at], axis=0)[-self.top :].mean(axis=0)  # [K]
            out[at] = values[at] * confidence**self.exponent
        return pd.DataFrame(np.clip(out, 0.0, 1.0), index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        return Reach(len(table))
