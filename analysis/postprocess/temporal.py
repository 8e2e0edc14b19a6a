"""Temporal smoothing: each window becomes a weighted mean of its neighbours in the same recording.

Rows are neighbours by their end seconds, not by their place in the table. Where a neighbour does not exist (before the
first window, after the last, at a missing one) its weight is shared among those that do: the weights of every window
are divided by their sum, so a constant stays that constant and nothing is drawn towards 0 at the edges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ...features import InputError
from . import rows
from .step import Reach

_CUT = 4.0  # sigmas beyond which a Gaussian's weight counts as 0


class _Smoothing:
    stage: ClassVar[str] = "temporal"

    def reach(self, table: pd.DataFrame) -> Reach:
        """Rows with a neighbour."""
        alone = sum(len(at) == 1 for at in rows.by_file(table.index))
        return Reach(len(table) - alone, f"windows alone in their recording: {alone}" if alone else "")


@dataclass(frozen=True)
class Gaussian(_Smoothing):
    """weight exp(-d^2 / 2 sigma^2), d the distance in windows, the smallest of two rows in each recording being one.

    In use: sigma 1.0, also 0.65; 0 changes nothing.
    """

    sigma: float = 1.0

    def __post_init__(self):
        if not 0 <= self.sigma < np.inf:
            raise InputError(f"Gaussian smoothing: expected sigma in windows from 0 on, got {self.sigma}.")

    def __str__(self):
        return f"Gaussian {self.sigma:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        return table.copy() if self.sigma == 0 else _smoothed(table, self._weights)

    def _weights(self, distance):
        return np.where(abs(distance) <= _CUT * self.sigma, np.exp(-0.5 * (distance / self.sigma) ** 2), 0.0)


@dataclass(frozen=True)
class Kernel(_Smoothing):
    """weights: an odd number of them, the middle one for the window itself; in use (.1, .8, .1) and (.2, .6, .2).

    (0, 1, 0) changes nothing.
    """

    weights: tuple[float, ...] = (0.1, 0.8, 0.1)

    def __post_init__(self):
        weights = tuple(float(weight) for weight in self.weights)
        if len(weights) % 2 == 0 or not all(0 <= weight < np.inf for weight in weights) or not sum(weights):
            raise InputError(
                f"kernel smoothing: expected an odd number of weights, none negative, not all 0, got {weights}."
            )
        object.__setattr__(self, "weights", weights)

    def __str__(self):
        return f"kernel {'/'.join(f'{weight:g}' for weight in self.weights)}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        return _smoothed(table, self._weights)

    def _weights(self, distance):
        """That of the nearest whole number of windows, 0 beyond the kernel's ends."""
        middle = len(self.weights) // 2
        at = np.rint(distance).astype(np.int64) + middle
        inside = (at >= 0) & (at < len(self.weights))
        return np.where(inside, np.array(self.weights)[np.where(inside, at, 0)], 0.0)


@dataclass(frozen=True)
class Adaptive(_Smoothing):
    """p[t] <- (1 - a) p[t] + a m[t], with a = alpha (1 - max over classes of p[t]) and m the mean of the windows before
    and after: windows in which nothing is certain are smoothed most. In use: alpha 0.2.

    Attributes:
        alpha: 0 (nothing changes) to 1.
    """

    alpha: float = 0.2

    def __post_init__(self):
        if not 0 <= self.alpha <= 1:
            raise InputError(f"adaptive smoothing: expected alpha from 0 to 1, got {self.alpha:g}.")

    def __str__(self):
        return f"adaptive {self.alpha:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        values = table.to_numpy(dtype=np.float64)
        mean, known = neighbour_mean(table, lambda distance: np.where(abs(distance) == 1, 1.0, 0.0))
        share = self.alpha * (1 - values.max(axis=1, initial=0.0)) * known
        out = values + share[:, None] * (mean - values)
        return pd.DataFrame(np.clip(out, 0.0, 1.0), index=table.index, columns=table.columns)


def neighbour_mean(table: pd.DataFrame, weigh: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(weighted mean of the other windows of the recording, float64 [rows, classes]; where there are any, bool [rows]).

    weigh: the weight of a window at a distance (whole windows, negative before); 0 where it does not count.
    """
    values, ends = table.to_numpy(dtype=np.float64), rows.ends(table.index)
    mean, known = np.zeros_like(values), np.zeros(len(values), dtype=bool)
    for at in rows.by_file(table.index):
        weights = weigh(np.rint((ends[at] - ends[at][:, None]) / _hop(ends[at])))
        total = weights.sum(axis=1)
        known[at] = total > 0
        mean[at] = (weights @ values[at]) / np.where(total > 0, total, 1.0)[:, None]
    return mean, known


def _smoothed(table: pd.DataFrame, weigh: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """weigh: the weight of a window at a distance, in windows."""
    values = table.to_numpy(dtype=np.float64)
    ends, out = rows.ends(table.index), values.copy()
    cache: dict[tuple[float, ...], np.ndarray] = {}
    for at in rows.by_file(table.index):
        if len(at) < 2:
            continue
        key = tuple(ends[at] - ends[at[0]])  # 600 files of one length share one matrix
        if key not in cache:
            cache[key] = _matrix(weigh, ends[at])
        out[at] = cache[key] @ values[at]
    return pd.DataFrame(np.clip(out, 0.0, 1.0), index=table.index, columns=table.columns)


def _matrix(weigh, ends) -> np.ndarray:
    """[n, n] weights of the windows of one recording, each row summing to 1."""
    weights = weigh((ends - ends[:, None]) / _hop(ends))  # of window j for window i: how far after i it ends
    total = weights.sum(axis=1, keepdims=True)
    # a kernel without middle weight has nothing to say about a window without neighbours, which stays
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), np.eye(len(ends)))


def _hop(ends) -> float:
    """Seconds from window to window: the smallest distance of two rows of a recording, their ends ascending."""
    gaps = np.diff(ends)
    return float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0
