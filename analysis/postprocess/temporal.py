"""Temporal smoothing: each window becomes a weighted mean of its neighbours in the same recording.

Rows are neighbours by their end seconds, not by their place in the table. Where a neighbour does not exist (before the
first window, after the last, at a missing one) its weight is shared among those that do: the weights of every window
are divided by their sum, so a constant stays that constant and nothing is drawn towards 0 at the edges.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ...features import InputError
from . import rows
from .step import Reach

TEXTURE = (0.35, 0.30, 0.35)  # insects and frogs that call for minutes
VOICE = (0.2, 0.6, 0.2)
TEXTURES = ("Amphibia", "Insecta")
_CUT = 4.0  # sigmas beyond which a Gaussian's weight counts as 0


@dataclass(frozen=True)
class Gaussian:
    """weight exp(-d^2 / 2 sigma^2), d the distance in windows. In use: sigma 1.0, also 0.65; 0 changes nothing.

    hop_s: seconds from window to window; by default the smallest distance of two rows in each recording.
    """

    sigma: float = 1.0
    hop_s: float | None = None
    stage: ClassVar[str] = "temporal"

    def __post_init__(self):
        if not 0 <= self.sigma < np.inf:
            raise InputError(f"Gaussian smoothing: expected sigma in windows from 0 on, got {self.sigma}.")
        _require_hop(self.hop_s)

    def __str__(self):
        return f"Gaussian {self.sigma:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.sigma == 0:
            return table.copy()
        return _smoothed(table, {self._weights: np.arange(table.shape[1])}, self.hop_s)

    def reach(self, table: pd.DataFrame) -> Reach:
        return _reach(table)

    def _weights(self, distance):
        return np.where(abs(distance) <= _CUT * self.sigma, np.exp(-0.5 * (distance / self.sigma) ** 2), 0.0)


@dataclass(frozen=True)
class Kernel:
    """weights: an odd number of them, the middle one for the window itself; in use (.1, .8, .1) and (.2, .6, .2).

    (0, 1, 0) changes nothing. per_class: (class, weights) where a class has other ones. hop_s: as in `Gaussian`.
    """

    weights: tuple[float, ...] = (0.1, 0.8, 0.1)
    per_class: tuple[tuple[str, tuple[float, ...]], ...] = ()
    hop_s: float | None = None
    stage: ClassVar[str] = "temporal"

    def __post_init__(self):
        object.__setattr__(self, "weights", _kernel(self.weights))
        object.__setattr__(self, "per_class", tuple((str(name), _kernel(ws)) for name, ws in self.per_class))
        _require_hop(self.hop_s)

    @classmethod
    def by_class(
        cls,
        groups: Mapping[str, str],
        textures: tuple[float, ...] = TEXTURE,
        weights: tuple[float, ...] = VOICE,
        which: tuple[str, ...] = TEXTURES,
    ) -> "Kernel":
        """`textures` for the classes whose group (class_name of the taxonomy) is one of `which`, `weights` for others.

        groups: class -> class_name, as `taxonomic.Taxonomic.read(path).group` has it.
        """
        return cls(weights, tuple((name, textures) for name, group in groups.items() if group in which))

    def __str__(self):
        more = f", {len(self.per_class)} classes otherwise" if self.per_class else ""
        return f"kernel {'/'.join(f'{weight:g}' for weight in self.weights)}{more}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        own = dict(self.per_class)
        kernels = [own.get(name, self.weights) for name in table.columns]
        columns = {}
        for kernel in dict.fromkeys(kernels):
            columns[_Taps(kernel)] = np.array([i for i, other in enumerate(kernels) if other == kernel])
        return _smoothed(table, columns, self.hop_s)

    def reach(self, table: pd.DataFrame) -> Reach:
        return _reach(table)


@dataclass(frozen=True)
class Adaptive:
    """p[t] <- (1 - a) p[t] + a m[t], with a = alpha (1 - max over classes of p[t]) and m the mean of the windows before
    and after: windows in which nothing is certain are smoothed most. In use: alpha 0.2.

    Attributes:
        alpha: 0 (nothing changes) to 1.
    """

    alpha: float = 0.2
    stage: ClassVar[str] = "temporal"

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

    def reach(self, table: pd.DataFrame) -> Reach:
        return _reach(table)


def neighbour_mean(table: pd.DataFrame, weigh: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of other windows of the same recording.

    Args:
        table: predictions.
        weigh: the weight of a window at a distance (whole windows, negative before); 0 where it does not count.

    Returns:
        The means, float64 [rows, classes], and where there was a window to take them from, bool [rows]; 0 elsewhere.
    """
    values, ends = table.to_numpy(dtype=np.float64), rows.ends(table.index)
    mean, known = np.zeros_like(values), np.zeros(len(values), dtype=bool)
    for at in rows.by_file(table.index):
        weights = weigh(np.rint((ends[at] - ends[at][:, None]) / _hop(ends[at])))
        total = weights.sum(axis=1)
        known[at] = total > 0
        mean[at] = (weights @ values[at]) / np.where(total > 0, total, 1.0)[:, None]
    return mean, known


@dataclass(frozen=True)
class _Taps:
    """A kernel's weight at a distance: that of the nearest whole number of windows, 0 beyond its ends."""

    weights: tuple[float, ...]

    def __call__(self, distance):
        middle = len(self.weights) // 2
        at = np.rint(distance).astype(np.int64) + middle
        inside = (at >= 0) & (at < len(self.weights))
        return np.where(inside, np.array(self.weights)[np.where(inside, at, 0)], 0.0)


def _smoothed(table, columns, hop_s) -> pd.DataFrame:
    """columns: weight function -> positions of the columns it is for."""
    values = table.to_numpy(dtype=np.float64)
    ends, out, cache = rows.ends(table.index), values.copy(), {}
    for at in rows.by_file(table.index):
        if len(at) < 2:
            continue
        for weigh, chosen in columns.items():
            key = (weigh, tuple(ends[at] - ends[at[0]]))  # 600 files of one length share one matrix
            if key not in cache:
                cache[key] = _matrix(weigh, ends[at], hop_s)
            block = np.ix_(at, chosen)
            out[block] = cache[key] @ values[block]
    return pd.DataFrame(np.clip(out, 0.0, 1.0), index=table.index, columns=table.columns)


def _matrix(weigh, ends, hop_s) -> np.ndarray:
    """[n, n] weights of the windows of one recording, each row summing to 1."""
    weights = weigh((ends - ends[:, None]) / (hop_s or _hop(ends)))  # of window j for window i: how far after i it ends
    total = weights.sum(axis=1, keepdims=True)
    # a kernel without middle weight has nothing to say about a window without neighbours, which stays
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), np.eye(len(ends)))


def _hop(ends) -> float:
    """Seconds from window to window: the smallest distance of two rows of a recording, their ends ascending."""
    gaps = np.diff(ends)
    return float(gaps[gaps > 0].min()) if (gaps > 0).any() else 1.0


def _reach(table) -> Reach:
    alone = sum(len(at) == 1 for at in rows.by_file(table.index))
    return Reach(len(table) - alone, f"windows alone in their recording: {alone}" if alone else "")


def _kernel(weights) -> tuple[float, ...]:
    weights = tuple(float(weight) for weight in weights)
    if len(weights) % 2 == 0 or not all(0 <= weight < np.inf for weight in weights) or not sum(weights):
        raise InputError(
            f"kernel smoothing: expected an odd number of weights, none negative, not all 0, got {weights}."
        )
    return weights


def _require_hop(hop_s):
    if hop_s is not None and not 0 < hop_s < np.inf:
        raise InputError(f"smoothing: expected hop_s in seconds above 0, got {hop_s}.")
