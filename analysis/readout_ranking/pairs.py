"""Paired tests of any cells against any others, such as the best of one model against the best of another.

The one that looks best is picked from the data on both sides, so p is family-wise over every pair that could have been
picked: max-T over the family (Westfall & Young 1993), by sign flips of whole groups as everywhere else.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..resampling import Jackknife
from ..significance import share_at_least, sign_patterns
from .cells import Cell
from .ranking import ReadoutRanking

COLUMNS = ("difference", "lo", "hi", "p", "p_adjusted")
_ROUNDING = 1e-13
_CHUNK = 4_000_000

Pair = tuple[Cell, Cell]


def compare_pairs(ranking: ReadoutRanking, pairs: Sequence[Pair], family: Sequence[Pair] = ()) -> pd.DataFrame:
    """The first cell of each pair against the second, one row a pair, columns COLUMNS.

    family: all pairs among which they were picked; those of `pairs` count whether they are listed or not. difference,
    lo, hi: of the scores, with its 95 % interval; p: two-sided, of this pair alone; p_adjusted: family-wise.
    """
    place = {cell: i for i, cell in enumerate(ranking.cells)}
    every = [*pairs, *family]
    if not pairs:
        return pd.DataFrame(columns=list(COLUMNS), dtype=float)
    first, second = np.array([[place[one], place[other]] for one, other in every]).T
    shown = slice(0, len(pairs))
    jackknife = ranking.jackknife
    p, adjusted = _flip(jackknife, first, second, len(pairs), ranking.n_perm, np.random.default_rng([ranking.seed, 3]))
    differences = jackknife.take(first[shown]).minus(jackknife.take(second[shown]))
    low, high = differences.difference_interval()
    return pd.DataFrame(dict(zip(COLUMNS, (differences.value, low, high, p, adjusted))))


def _flip(
    jackknife: Jackknife, first: np.ndarray, second: np.ndarray, n_shown: int, n_perm: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(p, family-wise p) of the first n_shown pairs: `sign_flip` that holds cells x groups, not pairs x groups."""
    used, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = codes[: len(first)], codes[len(first) :]
    added = jackknife.take(used).contributions
    added = np.where(np.isfinite(added).all(axis=1, keepdims=True), added, 0.0)
    added = added[:, np.ptp(added, axis=0) > _ROUNDING]  # flipping where all cells agree changes no difference
    n_groups = added.shape[1]
    spread = np.empty(len(first))
    step = max(1, _CHUNK // max(1, n_groups))
    for i in range(0, len(first), step):
        part = slice(i, i + step)
        spread[part] = np.sqrt(((added[first[part]] - added[second[part]]) ** 2).sum(axis=1))
    spread[spread <= _ROUNDING] = np.inf
    totals = added.sum(axis=1)
    observed = (np.abs(totals[first] - totals[second]) / spread)[:n_shown]
    at_least, at_least_max, n = np.zeros(n_shown), np.zeros(n_shown), 0
    for signs in sign_patterns(n_groups, len(first), n_perm, rng):
        flipped = signs @ added.T
        statistic = np.abs(flipped[:, first] - flipped[:, second]) / spread
        at_least += (statistic[:, :n_shown] >= observed - 1e-12).sum(axis=0)
        at_least_max += (statistic.max(axis=1, keepdims=True) >= observed - 1e-12).sum(axis=0)
        n += len(signs)
    return share_at_least(at_least, n, n_groups), share_at_least(at_least_max, n, n_groups)
