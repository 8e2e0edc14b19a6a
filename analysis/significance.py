"""Paired test of differences by flipping the signs of whole groups, and what few groups can show at all.

G groups, C things that are compared (taps, read-outs). Each group's contribution to a difference keeps or changes its
sign, two-sided: p = (1 + at least as large) / (1 + flips), or of all sign patterns where few groups differ. Family-wise
p: the largest standardised statistic over all comparisons (max-T, Westfall & Young 1993), which corrects for picking
the best first.
"""

from collections.abc import Iterator

import numpy as np

_EXACT_GROUPS = 12  # 2^12 sign patterns: no more than the random flips would be
_CHUNK = 4_000_000  # entries of one matrix of patterns
_ROUNDING = 1e-13  # differences below this are rounding errors


def sign_flip(
    contributions: np.ndarray, n_perm: int, rng: np.random.Generator, inflation: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """(two-sided p, family-wise p), each [C], that differences are zero, by flipping the signs of whole groups.

    contributions: float64 [C, G], what each group adds to each difference (`Jackknife.contributions`, or summed
    differences of rows); a row of zeros, or one with nan, has p 1. n_perm: random sign patterns; all are taken instead
    where at most 12 groups differ. inflation: by how much the differences spread more than independent groups would,
    see `fold_inflation`.
    """
    zero, n = np.zeros((1, contributions.shape[1])), len(contributions)
    return flip_pairs(np.vstack([contributions, zero]), np.arange(n), np.full(n, n), n_perm, rng, inflation)


def flip_pairs(
    contributions: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    n_perm: int,
    rng: np.random.Generator,
    inflation: float = 1.0,
    shown: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """`sign_flip` of the differences of pairs: rows `first` [P] of the contributions less rows `second` [P].

    It holds things x groups, not pairs x groups. shown: so many pairs, the first ones, get their p; None: all of them.
    """
    added = np.where(np.isfinite(contributions).all(axis=1, keepdims=True), contributions, 0.0)
    added = added[:, np.ptp(added, axis=0) > _ROUNDING]  # flipping where all agree changes no difference
    n_groups = added.shape[1]
    spread = np.empty(len(first))  # the statistics' standard deviation over all sign patterns
    step = max(1, _CHUNK // max(1, n_groups))
    for i in range(0, len(first), step):
        part = slice(i, i + step)
        spread[part] = np.sqrt(((added[first[part]] - added[second[part]]) ** 2).sum(axis=1))
    spread[spread <= _ROUNDING] = np.inf
    totals = added.sum(axis=1)
    observed = (np.abs(totals[first] - totals[second]) / spread / inflation)[:shown]
    at_least, at_least_max, n = np.zeros(len(observed)), np.zeros(len(observed)), 0
    for signs in sign_patterns(n_groups, len(first), n_perm, rng):
        flipped = signs @ added.T
        statistic = np.abs(flipped[:, first] - flipped[:, second]) / spread
        at_least += (statistic[:, :shown] >= observed - 1e-12).sum(axis=0)
        at_least_max += (statistic.max(axis=1, keepdims=True) >= observed - 1e-12).sum(axis=0)
        n += len(signs)
    return share_at_least(at_least, n, n_groups), share_at_least(at_least_max, n, n_groups)


def fold_inflation(n_folds: int | None) -> float:
    """How much wider a difference of cross-validated scores spreads than its groups alone tell.

    Folds share training rows, so that out-of-fold results of two groups depend on each other. With equal folds the
    standard deviation is larger by sqrt(1 + n_test / n_train) = sqrt(1 + 1 / (n_folds - 1)) (Nadeau & Bengio 2003,
    "Inference for the generalization error"). 1 without folds.
    """
    return 1.0 if n_folds is None or n_folds < 2 else float(np.sqrt(1.0 + 1.0 / (n_folds - 1)))


def sign_patterns(n_groups: int, width: int, n_perm: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Signs of groups, some patterns at a time: float64 [b, G] of -1 and 1.

    All 2^G patterns where there are at most 12 groups, else n_perm random ones. width: statistics a pattern, which sets
    how many patterns come at a time.
    """
    exact = n_groups <= _EXACT_GROUPS
    n = 2**n_groups if exact else n_perm
    step = max(1, _CHUNK // max(1, n_groups, width))
    for i in range(0, n, step):
        if exact:
            bits = np.arange(i, min(i + step, n))[:, None] >> np.arange(n_groups) & 1
        else:
            bits = rng.integers(0, 2, size=(min(step, n - i), n_groups), dtype=np.int8)
        yield 1.0 - 2.0 * bits


def share_at_least(counted: np.ndarray, n: int, n_groups: int) -> np.ndarray:
    """p from how many of n sign patterns gave at least the observed statistic."""
    if n_groups <= _EXACT_GROUPS:  # the observed pattern is among those counted
        return counted / n
    return (1 + counted) / (1 + n)


def smallest_p(n_groups: int) -> float:
    """The least two-sided p that sign flips of n_groups groups allow: all groups one way, 2 of 2^G patterns.

    6 groups: p cannot fall below 0.03.
    """
    return min(1.0, 2.0 ** (1 - n_groups))
