"""Paired tests of any cells against any others, such as the best of one model against the best of another.

The one that looks best is picked from the data on both sides, so p is family-wise over every pair that could have been
picked: max-T over the family (Westfall & Young 1993), by sign flips of whole groups as everywhere else.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..significance import flip_pairs
from .cells import Cell
from .ranking import ReadoutRanking

COLUMNS = ("difference", "lo", "hi", "p", "p_adjusted")
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
    used, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    added, rng = jackknife.take(used).contributions, np.random.default_rng([ranking.seed, 3])
    p, adjusted = flip_pairs(added, *codes.reshape(2, -1), ranking.n_perm, rng, shown=len(pairs))
    differences = jackknife.take(first[shown]).minus(jackknife.take(second[shown]))
    low, high = differences.difference_interval()
    return pd.DataFrame(dict(zip(COLUMNS, (differences.value, low, high, p, adjusted))))
