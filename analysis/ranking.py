"""Which tap is best, and how sure that is: intervals, paired tests, probability of being best, rank agreement.

Conventions. `correct` maps each tap to bool [n], one entry a row (clip or window), the same rows in the same order for
every tap. Rows of one group (author, recording, site) are not independent, so groups are what is resampled and flipped;
without groups every row is its own. Accuracies are shares in 0..1; differences are tap minus reference.

Intervals of accuracies and of paired differences leave each group out in turn, p flips the signs of the groups' summed
differences, and the family-wise p is over all taps: see `resampling`. An accuracy is a ratio of sums, so groups may
be of any size. P(best) and `Ranking.draws` are a bootstrap over groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..features import InputError
from .readout_ranking import best_index
from .resampling import bootstrap_ratio, group_codes, group_sums, jackknife_ratio, percentile_interval
from .significance import sign_flip

COLUMNS = ("knn", "knn_lo", "knn_hi", "p_best", "vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p")


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
    InputError: a single group.
    """
    sums, sizes = _group_sums(correct, groups)
    taps = list(correct)
    at, total = taps.index(reference), sizes.sum()
    accuracies = jackknife_ratio(sums, sizes)
    differences = accuracies.minus(accuracies.take([at]))
    draws = bootstrap_ratio(sums, sizes, n_boot, np.random.default_rng([seed, 0]))
    winners = draws == draws.max(axis=1, keepdims=True)  # whole numbers over the same rows: ties are exact
    p, adjusted = sign_flip(sums - sums[at], n_perm, np.random.default_rng([seed, 1]))
    low, high = accuracies.score_interval()
    difference_low, difference_high = differences.difference_interval()
    table = pd.DataFrame(
        {
            "knn": accuracies.value,
            "knn_lo": low,
            "knn_hi": high,
            "p_best": (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0),
            "vs_last": differences.value,
            "vs_last_lo": difference_low,
            "vs_last_hi": difference_high,
            "vs_last_p": p,
        },
        index=pd.Index(taps, name="tap"),
    )
    best = best_index(sums.sum(axis=1), np.array(taps) == reference)
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
) -> tuple[str, ...]:
    """Taps that the family-wise paired test at 5 % does not separate from `tap`; `tap` is one of them. In order."""
    sums, _ = _group_sums(correct, groups)
    taps = list(correct)
    _, adjusted = sign_flip(sums - sums[taps.index(tap)], n_perm, np.random.default_rng([seed, 2]))
    return tuple(name for name, p in zip(taps, adjusted) if p >= 0.05 or name == tap)


def agreement(a, b, draws_a=None, draws_b=None, n_boot: int = 2000, seed: int = 0) -> Agreement:
    """Spearman's rho and Kendall's tau-b of two scores of the same taps, a [T] and b [T], with 95 % intervals.

    draws_a, draws_b [B, T]: bootstrap draws of either score (`Ranking.draws`); the taps are then fixed and the interval
    tells what the scores' own uncertainty does to the agreement. A score without draws counts as exact. With neither,
    taps are resampled, which supposes them to be a sample: with few taps that interval says little.
    InputError: lengths that differ, fewer than 3 taps.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3:
        raise InputError(f"rank agreement: expected 3 or more of each, got scores {a.shape} and {b.shape}.")
    if draws_a is None and draws_b is None:
        chosen = np.random.default_rng([seed, 3]).integers(0, len(a), size=(n_boot, len(a)))
        many_a, many_b = a[chosen], b[chosen]
    else:
        given = [np.asarray(d, dtype=np.float64) for d in (draws_a, draws_b) if d is not None]
        n = min(len(d) for d in given)
        many_a = np.broadcast_to(a, (n, len(a))) if draws_a is None else np.asarray(draws_a, dtype=np.float64)[:n]
        many_b = np.broadcast_to(b, (n, len(b))) if draws_b is None else np.asarray(draws_b, dtype=np.float64)[:n]
    spearman_lo, spearman_hi = percentile_interval(spearman(many_a, many_b))
    kendall_lo, kendall_hi = percentile_interval(_kendall(many_a, many_b))
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
    hits = np.array(list(correct.values()), dtype=np.float64)
    codes = group_codes(groups, hits.shape[1], "ranking")
    sizes = np.bincount(codes).astype(np.float64)
    return group_sums(hits, codes, len(sizes)), sizes


def spearman(a, b):
    """rho [B] of a, b [B, T]: the correlation of mean ranks; nan where one is constant."""
    from scipy.stats import rankdata  # slow to import, and ranking needs none of it

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
