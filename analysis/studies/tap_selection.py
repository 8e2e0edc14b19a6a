"""Taps chosen for you: greedy forward selection on concatenated taps.

Each step adds the tap whose concatenation with those already chosen is read best, by cross-validated top-1 accuracy of
the 5-NN. Nothing is concatenated in fact: squared distances of concatenated vectors are sums over the taps, so each tap
is turned into one [n, n] matrix once, and a candidate costs one addition of two and one read-out.

Taps are put on one scale without labels, over all rows: centred and divided by the root mean square length of the
rows, so that every tap adds the same mean squared distance, whatever its width. One tap alone is read as
`analysis.knn` reads it.

What the scores mean. The score of a step is the best of all candidates on the rows that chose it, so it errs upwards.
The nested estimate is not inflated by the choice: the taps of a fold are chosen on the other folds alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...features import InputError
from .. import knn
from ..resampling import bootstrap_ratio, group_sums, percentile_interval
from ..vectors import check_taps

NEIGHBOURS = 5
MAX_ROWS = 2000  # a tap takes time n^2: half a minute for 28 taps, nested too
N_BOOT = 2000
COLUMNS = (
    *("step", "tap", "score", "score_lo", "score_hi"),
    *("gain", "gain_lo", "gain_hi", "nested", "nested_lo", "nested_hi"),
)


@dataclass(frozen=True, eq=False)
class Selection:
    """The taps in the order in which they were added, and what each added.

    table: one row a step, columns COLUMNS. score: cross-validated accuracy of the taps so far; gain: score less that of
    the step before (nan in the first), over the same bootstrap draws; nested: accuracy when each fold is read with as
    many taps chosen without it (nan where it cannot be had); lo and hi: 95 % bootstrap intervals
    over groups, the taps taken as given. nested_taps: each fold's own choice, in fold order. n: rows used.
    """

    taps: tuple[str, ...]
    table: pd.DataFrame
    nested_taps: tuple[tuple[str, ...], ...]
    n: int


def forward_select(
    features: Mapping[str, np.ndarray], y, folds, groups=None, n_taps: int = 3, seed: int = 0
) -> Selection:
    """Choose n_taps taps greedily; equal scores go to the tap that comes first. Deterministic in `seed`.

    features: tap -> [n, d_t], the same rows. Of more rows than MAX_ROWS so many are drawn, the classes in turn, which
    evens them out; `Selection.n` tells. y, folds [n]; groups [n] or None, what the bootstrap draws. What the choice is
    worth on rows it never saw is estimated too, from three folds on. InputError: fewer than n_taps taps, shapes that
    differ, features that are not finite, one fold, one group, too few rows outside a fold.
    """
    y, folds, groups = _checked(features, y, folds, groups, n_taps)
    rows = _thinned(y, MAX_ROWS, seed)
    codes, folds, groups = (np.unique(part[rows], return_inverse=True)[1] for part in (y, folds, groups))
    _check_thinned(folds, groups)
    parts = {tap: distances(np.asarray(x)[rows]) for tap, x in features.items()}
    taps, correct = _greedy(parts, codes, folds, n_taps)
    nested_taps, nested_correct = (), None
    if folds.max() >= 2 and len(folds) - np.sort(np.bincount(folds))[-2:].sum() >= NEIGHBOURS:
        nested_taps, nested_correct = _nested(parts, codes, folds, n_taps)
    return Selection(taps, _table(taps, correct, nested_correct, groups, seed), nested_taps, len(rows))


def distances(x) -> np.ndarray:
    """Squared distances float32 [n, n] of x [n, d], centred, at a root mean square length of 1."""
    x = x.astype(np.float64)
    x -= x[0]  # so that a constant column becomes exactly zero, not rounding errors
    x -= x.mean(axis=0)
    norm2 = np.einsum("ij,ij->i", x, x)
    scale = norm2.mean() or 1.0  # a dead tap adds nothing
    squared = (norm2[:, None] + norm2 - 2 * (x @ x.T)) / scale
    return np.maximum(squared, 0.0).astype(np.float32)


def _read(squared, codes, columns) -> np.ndarray:
    """Labels [rows] by the nearest of some columns; ties as in `knn`. squared [rows, columns]."""
    return knn.vote(codes[columns][knn.closest(squared, NEIGHBOURS)])


def _greedy(parts, codes, folds, n_taps):
    """(taps in the order chosen, bool [n_taps, n]: rows that were right after each step)."""
    taps, correct, total = [], [], 0.0
    inside = folds[:, None] == folds
    for _ in range(n_taps):
        best = None
        for tap, part in parts.items():
            if tap in taps:
                continue
            right = _read(np.where(inside, np.float32(np.inf), total + part), codes, slice(None)) == codes
            if best is None or right.sum() > best[1].sum():
                best = tap, right
        taps.append(best[0])
        correct.append(best[1])
        total = total + parts[best[0]]
    return tuple(taps), np.array(correct)


def _nested(parts, codes, folds, n_taps):
    """(each fold's own choice, bool [n_taps, n]: rows that were right when read by taps chosen without their fold)."""
    chosen, correct = [], np.zeros((n_taps, len(codes)), dtype=bool)
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = {tap: part[np.ix_(train, train)] for tap, part in parts.items()}
        taps, _ = _greedy(inner, codes[train], folds[train], n_taps)
        total = 0.0
        for step, tap in enumerate(taps):
            total = total + parts[tap][np.ix_(test, train)]
            correct[step, test] = _read(total, codes, train) == codes[test]
        chosen.append(taps)
    return tuple(chosen), correct


def _table(taps, correct, nested, groups, seed) -> pd.DataFrame:
    """The steps with their intervals: one set of draws of groups for all columns, so that differences are paired."""
    n_groups, steps = int(groups.max()) + 1, len(taps)
    sizes = np.bincount(groups).astype(np.float64)
    rows = correct if nested is None else np.concatenate([correct, nested])
    sums = group_sums(rows, groups, n_groups)
    draws = bootstrap_ratio(sums, sizes, N_BOOT, np.random.default_rng([seed, 5]))
    score = rows.mean(axis=1)
    gain, gain_draws = np.diff(score[:steps]), np.diff(draws[:, :steps], axis=1)
    none = np.full(steps, np.nan)
    low, high = percentile_interval(draws)
    gain_low, gain_high = percentile_interval(gain_draws) if steps > 1 else ([], [])
    table = pd.DataFrame(
        {
            "step": np.arange(1, steps + 1),
            "tap": list(taps),
            "score": score[:steps],
            "score_lo": low[:steps],
            "score_hi": high[:steps],
            "gain": np.r_[np.nan, gain],
            "gain_lo": np.r_[np.nan, gain_low],
            "gain_hi": np.r_[np.nan, gain_high],
            "nested": none if nested is None else score[steps:],
            "nested_lo": none if nested is None else low[steps:],
            "nested_hi": none if nested is None else high[steps:],
        }
    )
    return table[list(COLUMNS)]


def _thinned(y, max_rows, seed) -> np.ndarray:
    """Row numbers, sorted: all, or max_rows of them at random, one of each class in turn."""
    if len(y) <= max_rows:
        return np.arange(len(y))
    shuffled = np.random.default_rng([seed, 6]).permutation(len(y))
    turn = pd.Series(y[shuffled]).groupby(y[shuffled]).cumcount().to_numpy()
    return np.sort(shuffled[np.argsort(turn, kind="stable")][:max_rows])


def _checked(features, y, folds, groups, n_taps):
    y, folds = np.asarray(y), np.asarray(folds)
    groups = np.arange(len(y)) if groups is None else np.asarray(groups)
    if not 1 <= n_taps <= len(features):
        raise InputError(f"tap selection: expected 1 to {len(features)} taps, all that there are, got {n_taps}.")
    check_taps(features, "tap selection", len(y))
    return y, folds, groups


def _check_thinned(folds, groups):
    if folds.max(initial=0) < 1:
        raise InputError("tap selection: expected at least two folds, got 1.")
    if groups.max() < 1:
        raise InputError("tap selection: expected at least two groups, got 1. Are all clips of one recording?")
    training = len(folds) - np.bincount(folds).max()
    if training < NEIGHBOURS:
        raise InputError(
            f"tap selection: {training} rows outside the largest fold, expected {NEIGHBOURS}. Too few clips?"
        )
