"""Which tap is best, and how sure that is: intervals, paired tests, probability of being best, rank agreement.

Conventions. `correct` maps each tap to bool [n], one entry a row (clip or window), the same rows in the same order for
every tap. Rows of one group (author, recording, site) are not independent, so groups are what is resampled and flipped;
without groups every row is its own. Accuracies are shares in 0..1; differences are tap minus reference.

- Interval: percentile bootstrap over groups (Efron & Tibshirani 1993, ch. 13); an accuracy is a ratio of sums, so
  groups may be of any size. It has no width where a tap is right, or wrong, on every row.
- Paired difference: the same draws for both taps.
- p: sign-flip permutation of each group's summed difference, two-sided, (1 + at least as large) / (1 + flips); all sign
  patterns when few groups differ. Family-wise p: the largest standardised statistic over all taps (max-T, Westfall &
  Young 1993), so picking the best tap first is paid for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ..features import InputError

COLUMNS = ("knn", "knn_lo", "knn_hi", "p_best", "vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p")
LEVEL = 0.95
_EXACT_GROUPS = 12  # 2^12 sign patterns: no more than the random flips would be
_CHUNK = 4_000_000  # entries of one draws x groups matrix


@dataclass(frozen=True, eq=False)
class Ranking:
    """The ranking of the taps of one probe.

    table: one row a tap, in the order given, columns COLUMNS; the reference's vs_last columns are 0, 0, 0 and p 1.
    best: the most accurate tap, the first of equals. best_p_adjusted: family-wise p of best against the reference (1 if
    it is the reference). tied: the taps, best among them, that no family-wise paired test at 5 % separates from best.
    draws: accuracy of every tap in every bootstrap draw, [n_boot, taps], for `agreement`.
    """

    table: pd.DataFrame
    best: str
    best_p_adjusted: float
    tied: tuple[str, ...]
    reference: str
    draws: np.ndarray
    n: int
    n_groups: int


@dataclass(frozen=True)
class Agreement:
    """Rank agreement of two scores over the same taps; nan where a score is constant."""

    spearman: float
    spearman_lo: float
    spearman_hi: float
    kendall: float  # tau-b
    kendall_lo: float
    kendall_hi: float
    n: int


def rank(
    correct: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    reference: str,
    n_boot: int = 2000,
    n_perm: int = 5000,
    seed: int = 0,
) -> Ranking:
    """Rank taps by the share of correct rows. Deterministic in `seed`.

    correct: tap -> bool [n]; groups [n] of any values, or None; reference: the tap that the others are compared with.
    InputError: no rows, lengths that differ, a reference that is not among the taps, a single group.
    """
    sums, sizes = _group_sums(correct, groups)
    taps = list(correct)
    if reference not in taps:
        raise InputError(f"ranking: reference {reference!r} found, one of {', '.join(taps)} wanted.")
    at, total = taps.index(reference), sizes.sum()
    accuracy = sums.sum(axis=1) / total  # [T]
    numerators, denominators = _bootstrap(sums, sizes, n_boot, np.random.default_rng([seed, 0]))
    draws = numerators / denominators[:, None]  # [B, T]
    winners = numerators == numerators.max(axis=1, keepdims=True)  # whole numbers: ties are exact
    p, adjusted = _sign_flip(sums - sums[at], n_perm, np.random.default_rng([seed, 1]))
    low, high = _interval(draws)
    difference_low, difference_high = _interval(draws - draws[:, [at]])
    table = pd.DataFrame(
        {
            "knn": accuracy,
            "knn_lo": low,
            "knn_hi": high,
            "p_best": (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0),
            "vs_last": accuracy - accuracy[at],
            "vs_last_lo": difference_low,
            "vs_last_hi": difference_high,
            "vs_last_p": p,
        },
        index=pd.Index(taps, name="tap"),
    )
    best = int(np.argmax(sums.sum(axis=1)))
    return Ranking(
        table=table,
        best=taps[best],
        best_p_adjusted=float(adjusted[best]),
        tied=tied(correct, groups, taps[best], n_perm=n_perm, seed=seed),
        reference=reference,
        draws=draws,
        n=int(total),
        n_groups=len(sizes),
    )


def tied(
    correct: Mapping[str, np.ndarray],
    groups: np.ndarray | None,
    tap: str,
    n_perm: int = 5000,
    seed: int = 0,
    level: float = 0.05,
) -> tuple[str, ...]:
    """Taps that the family-wise paired test at `level` does not separate from `tap`; `tap` is one of them. In order."""
    sums, _ = _group_sums(correct, groups)
    taps = list(correct)
    if tap not in taps:
        raise InputError(f"ranking: tap {tap!r} found, one of {', '.join(taps)} wanted.")
    _, adjusted = _sign_flip(sums - sums[taps.index(tap)], n_perm, np.random.default_rng([seed, 2]))
    return tuple(name for name, p in zip(taps, adjusted) if p >= level or name == tap)


def agreement(a, b, draws_a=None, draws_b=None, n_boot: int = 2000, seed: int = 0) -> Agreement:
    """Spearman's rho and Kendall's tau-b of two scores of the same taps, a [T] and b [T], with 95 % intervals.

    draws_a, draws_b [B, T]: bootstrap draws of either score (`Ranking.draws`); the taps are then fixed and the interval
    tells what the scores' own uncertainty does to the agreement. A score without draws counts as exact. With neither,
    taps are resampled, which supposes them to be a sample: with few taps that interval says little.
    InputError: lengths that differ, fewer than 3 taps.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3:
        raise InputError(f"rank agreement: scores {a.shape} and {b.shape} found, 3 or more of each wanted.")
    if draws_a is None and draws_b is None:
        chosen = np.random.default_rng([seed, 3]).integers(0, len(a), size=(n_boot, len(a)))
        many_a, many_b = a[chosen], b[chosen]
    else:
        given = [np.asarray(d, dtype=np.float64) for d in (draws_a, draws_b) if d is not None]
        n = min(len(d) for d in given)
        many_a = np.broadcast_to(a, (n, len(a))) if draws_a is None else np.asarray(draws_a, dtype=np.float64)[:n]
        many_b = np.broadcast_to(b, (n, len(b))) if draws_b is None else np.asarray(draws_b, dtype=np.float64)[:n]
        if many_a.shape != (n, len(a)) or many_b.shape != (n, len(a)):
            raise InputError(f"rank agreement: draws {many_a.shape}, {many_b.shape} found, [draws, {len(a)}] wanted.")
    spearman_lo, spearman_hi = _interval(spearman(many_a, many_b))
    kendall_lo, kendall_hi = _interval(_kendall(many_a, many_b))
    return Agreement(
        float(spearman(a[None], b[None])[0]),
        float(spearman_lo),
        float(spearman_hi),
        float(_kendall(a[None], b[None])[0]),
        float(kendall_lo),
        float(kendall_hi),
        len(a),
    )


def _group_sums(correct, groups):
    """(correct rows per tap and group [T, G], rows per group [G]), float64 whole numbers, so sums are exact."""
    if not correct:
        raise InputError("ranking: no taps found, at least one wanted.")
    lengths = {tap: np.shape(rows) for tap, rows in correct.items()}
    shape = next(iter(lengths.values()))
    for tap, found in lengths.items():
        if len(found) != 1 or not found[0] or found != shape:
            raise InputError(f"ranking, tap {tap}: {found} rows found, {shape} wanted, the same rows for every tap.")
    hits = np.array([np.asarray(rows, dtype=bool) for rows in correct.values()], dtype=np.float64)
    if groups is None:
        codes = np.arange(shape[0])
    else:
        if np.shape(groups) != shape:
            raise InputError(f"ranking: groups {np.shape(groups)} found, {shape} wanted, one a row.")
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    if len(sizes) < 2:
        raise InputError("ranking: 1 group found, at least two wanted. Are all clips of one recording?")
    return np.array([np.bincount(codes, weights=row, minlength=len(sizes)) for row in hits]), sizes


def _bootstrap(sums, sizes, n_boot, rng):
    """Correct rows [B, T] and rows [B] of each draw of G groups with replacement."""
    n_groups = len(sizes)
    numerators, denominators = np.empty((n_boot, len(sums))), np.empty(n_boot)
    step = max(1, _CHUNK // n_groups)
    for i in range(0, n_boot, step):
        n = min(step, n_boot - i)
        drawn = rng.integers(0, n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * n_groups).reshape(n, n_groups).astype(np.float64)
        numerators[i : i + n] = times @ sums.T
        denominators[i : i + n] = times @ sizes
    return numerators, denominators


def _sign_flip(difference, n_perm, rng):
    """(two-sided p, family-wise p), each [T], of the summed group differences [T, G]. A row of zeros: p 1 in both."""
    difference = difference[:, np.any(difference != 0, axis=0)]  # flipping a zero changes nothing
    n_groups = difference.shape[1]
    spread = np.sqrt((difference**2).sum(axis=1))  # the statistic's standard deviation over all sign patterns
    spread[spread == 0] = np.inf
    observed = np.abs(difference.sum(axis=1)) / spread
    exact = n_groups <= _EXACT_GROUPS
    n = 2**n_groups if exact else n_perm
    at_least, at_least_max = np.zeros(len(difference)), np.zeros(len(difference))
    step = max(1, _CHUNK // max(1, n_groups))
    for i in range(0, n, step):
        if exact:
            bits = np.arange(i, min(i + step, n))[:, None] >> np.arange(n_groups) & 1
        else:
            bits = rng.integers(0, 2, size=(min(step, n - i), n_groups), dtype=np.int8)
        signs = 1.0 - 2.0 * bits
        statistic = np.abs(signs @ difference.T) / spread
        at_least += (statistic >= observed - 1e-12).sum(axis=0)
        at_least_max += (statistic.max(axis=1, keepdims=True) >= observed - 1e-12).sum(axis=0)
    if exact:  # the observed pattern is among those counted
        return at_least / n, at_least_max / n
    return (1 + at_least) / (1 + n), (1 + at_least_max) / (1 + n)


def _interval(draws):
    """(low, high) percentiles of draws [B, ...] along the first axis; nan draws are left out, all nan gives nan."""
    tail = 50 * (1 - LEVEL)
    if np.isnan(draws).any():
        draws = draws[~np.isnan(draws)]  # only the one-dimensional draws of an agreement can hold any
        if not len(draws):
            return np.nan, np.nan
    return tuple(np.percentile(draws, (tail, 100 - tail), axis=0))


def spearman(a, b):
    """rho [B] of a, b [B, T]: the correlation of mean ranks."""
    a, b = rankdata(a, axis=1), rankdata(b, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)


def _kendall(a, b):
    """tau-b [B] of a, b [B, T], over all pairs of taps."""
    i, j = np.triu_indices(a.shape[1], 1)
    a, b = np.sign(a[:, i] - a[:, j]), np.sign(b[:, i] - b[:, j])
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(a), np.nan), where=scale > 0)
