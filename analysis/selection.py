"""Taps chosen for you: greedy forward selection on concatenated taps.

Each step adds the tap whose concatenation with those already chosen is read best, by cross-validated top-1 accuracy.
Nothing is concatenated in fact: distances and inner products add, so a candidate costs one addition of two [n, n]
matrices and one read-out.

Taps are put on one scale without labels, over all rows: see `analysis.pairwise`.

What the scores mean. The score of a step is the best of all candidates on the rows that chose it, so it errs upwards.
The nested estimate is not inflated by the choice: taps (and penalty) of a fold are chosen on the other folds alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..features import InputError
from . import pairwise
from .resampling import bootstrap, percentile_interval

PROBES = {
    "knn": (pairwise.distances, pairwise.read_knn, pairwise.apply_knn),
    "linear": (pairwise.gram, pairwise.read_linear, pairwise.apply_linear),
}
MAX_ROWS = {"knn": 2000, "linear": 600}  # a tap takes time n^2 and n^3: half a minute for 28 taps, nested too
COLUMNS = (
    *("step", "tap", "score", "score_lo", "score_hi"),
    *("gain", "gain_lo", "gain_hi", "nested", "nested_lo", "nested_hi"),
)


@dataclass(frozen=True, eq=False)
class Selection:
    """The taps in the order in which they were added, and what each added.

    table: one row a step, columns COLUMNS. score: cross-validated accuracy of the taps so far; gain: score less that of
    the step before (nan in the first), over the same bootstrap draws; nested: accuracy when each fold is read with as
    many taps chosen without it (nan where it was not asked for or cannot be had); lo and hi: 95 % bootstrap intervals
    over groups, the taps taken as given. nested_taps: each fold's own choice, in fold order. n: rows used.
    """

    taps: tuple[str, ...]
    table: pd.DataFrame
    nested_taps: tuple[tuple[str, ...], ...]
    probe: str
    n: int
    n_groups: int


def forward_select(
    features: Mapping[str, np.ndarray],
    y,
    folds,
    groups=None,
    n_taps: int = 3,
    probe: str = "knn",
    seed: int = 0,
    n_boot: int = 2000,
    max_rows: int | None = None,
    nested: bool = True,
) -> Selection:
    """Choose n_taps taps greedily; equal scores go to the tap that comes first. Deterministic in `seed`.

    features: tap -> [n, d_t] of any widths, the same rows; y [n] labels; folds [n]; groups [n] or None (what the
    bootstrap draws). probe: "knn" (5 neighbours) or "linear" (ridge on +-1 targets). max_rows: of more rows so many are
    drawn, the classes in turn, which evens out the classes; `Selection.n` tells. Unless given: MAX_ROWS of the probe.
    nested: also estimate what the choice is worth on rows it never saw; needs three folds, takes a few times longer.
    InputError: no taps or fewer than n_taps; shapes that differ; features that are not finite; one fold; one group; an
    unknown probe; too few rows outside a fold.
    """
    y, folds, groups = _checked(features, y, folds, groups, n_taps, probe)
    rows = _thinned(y, MAX_ROWS[probe] if max_rows is None else max_rows, seed)
    codes = np.unique(y[rows], return_inverse=True)[1]
    folds = np.unique(folds[rows], return_inverse=True)[1]
    groups = np.unique(groups[rows], return_inverse=True)[1]
    _check_thinned(folds, groups, probe)
    prepare, read, apply = PROBES[probe]
    parts = {tap: prepare(np.asarray(x)[rows]) for tap, x in features.items()}
    taps, correct = _greedy(parts, codes, folds, n_taps, read)
    nested_taps, nested_correct = (), None
    if nested and folds.max() >= 2 and len(folds) - np.sort(np.bincount(folds))[-2:].sum() >= pairwise.NEIGHBOURS:
        nested_taps, nested_correct = _nested(parts, codes, folds, n_taps, read, apply)
    table = _table(taps, correct, nested_correct, groups, n_boot, seed)
    return Selection(taps, table, nested_taps, probe, len(rows), int(groups.max()) + 1)


def _greedy(parts, codes, folds, n_taps, read):
    """(taps in the order chosen, bool [n_taps, n]: rows that were right after each step)."""
    taps, correct, total = [], [], 0.0
    for _ in range(n_taps):
        best = None
        for tap, part in parts.items():
            if tap in taps:
                continue
            right = read(total + part, codes, folds)[0] == codes
            if best is None or right.sum() > best[1].sum():
                best = tap, right
        taps.append(best[0])
        correct.append(best[1])
        total = total + parts[best[0]]
    return tuple(taps), np.array(correct)


def _nested(parts, codes, folds, n_taps, read, apply):
    """(each fold's own choice, bool [n_taps, n]: rows that were right when read by taps chosen without their fold)."""
    chosen, correct = [], np.zeros((n_taps, len(codes)), dtype=bool)
    for fold in range(folds.max() + 1):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = {tap: part[np.ix_(train, train)] for tap, part in parts.items()}
        taps, _ = _greedy(inner, codes[train], folds[train], n_taps, read)
        total, inner_total = 0.0, 0.0
        for step, tap in enumerate(taps):
            total, inner_total = total + parts[tap], inner_total + inner[tap]
            setting = read(inner_total, codes[train], folds[train])[1]
            correct[step, test] = apply(total, codes, train, test, setting) == codes[test]
        chosen.append(taps)
    return tuple(chosen), correct


def _table(taps, correct, nested, groups, n_boot, seed) -> pd.DataFrame:
    """The steps with their intervals: one set of draws of groups for all columns, so that differences are paired."""
    n_groups, steps = int(groups.max()) + 1, len(taps)
    sizes = np.bincount(groups).astype(np.float64)
    rows = correct if nested is None else np.concatenate([correct, nested])
    sums = np.array([np.bincount(groups, weights=row, minlength=n_groups) for row in rows])  # [R, G]
    draws = np.empty((n_boot, len(rows)))
    for part, times in bootstrap(n_groups, n_boot, np.random.default_rng([seed, 5])):
        draws[part] = ((sums @ times) / (sizes @ times)).T
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


def _checked(features, y, folds, groups, n_taps, probe):
    y, folds = np.asarray(y), np.asarray(folds)
    groups = np.arange(len(y)) if groups is None else np.asarray(groups)
    if probe not in PROBES:
        raise InputError(f"tap selection, probe: expected one of {', '.join(PROBES)}, got {probe!r}.")
    if not 1 <= n_taps <= len(features):
        raise InputError(f"tap selection: expected 1 to {len(features)} taps, all that there are, got {n_taps}.")
    if y.ndim != 1 or not len(y) or folds.shape != y.shape or groups.shape != y.shape:
        raise InputError(
            f"tap selection: expected one each a row, got labels {y.shape}, folds {folds.shape}, groups {groups.shape}."
        )
    for tap, x in features.items():
        x = np.asarray(x)
        if x.ndim != 2 or not x.size or len(x) != len(y):
            raise InputError(f"tap selection, tap {tap}: expected [{len(y)}, d], got features {x.shape}. A map?")
        if not np.isfinite(np.min(x)) or not np.isfinite(np.max(x)):
            raise InputError(f"tap selection, tap {tap}: values that are not finite found. Overflow in float16?")
    return y, folds, groups


def _check_thinned(folds, groups, probe):
    if folds.max(initial=0) < 1:
        raise InputError("tap selection: expected at least two folds, got 1.")
    if groups.max() < 1:
        raise InputError("tap selection: expected at least two groups, got 1. Are all clips of one recording?")
    training = len(folds) - np.bincount(folds).max()
    if probe == "knn" and training < pairwise.NEIGHBOURS:
        raise InputError(
            f"tap selection: {training} rows outside the largest fold, expected {pairwise.NEIGHBOURS}. Too few clips?"
        )
