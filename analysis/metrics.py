"""Scores of multi-label predictions: macro ROC-AUC, class-mean average precision (cmAP), top-1; their intervals.

Conventions. y_true [n, K] bool: row i (a window or a clip) carries class k; several classes or none a row are fine.
scores [n, K]: real, larger is more certain; only top-1 compares classes with each other. A class is scored only where
that means something: ROC-AUC needs a positive and a negative row, average precision a positive one. Other classes are
nan per class, left out of the macro mean, and named by `evaluate`; they never count as 0. A mean over no class is nan.

Rows of one group (recording, author, site) are not independent, so groups are what the bootstrap draws. In a draw, a
class whose positives were not drawn is left out of that draw's mean, as it would be from a data set without them.

How every class is counted. The unique scores of its m distinct positive thresholds cut the line into 2m + 1 slots:
slot 2t lies below threshold t, slot 2t + 1 on it. Rows per slot hold all that AUC and AP need, ties included; in the
bootstrap and the jackknife, rows per slot are a sparse matrix [slots, groups] times the draws' multiplicities [groups,
draws], so nothing is sorted twice. Of the lowest slot, where a good class has most of its negatives, only the total
counts.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..features import InputError
from .resampling import bootstrap as bootstrap_groups
from .resampling import group_codes, percentile_interval

if TYPE_CHECKING:
    from scipy import sparse

_CHUNK = 4_000_000  # entries of one slots x draws matrix


def validate(y_true, scores) -> tuple[np.ndarray, np.ndarray]:
    """(y_true as bool [n, K], scores as float [n, K]).

    InputError: not two-dimensional, shapes that differ, no rows, truth other than 0 and 1, scores that are not finite.
    """
    y_true, scores = np.asarray(y_true), np.asarray(scores)
    if y_true.ndim != 2 or y_true.shape != scores.shape or not y_true.size:
        raise InputError(
            f"metrics: expected the same [rows, classes], got truth {y_true.shape} and scores {scores.shape}. "
            "Class numbers instead of one column a class?"
        )
    if y_true.dtype != bool:
        if not np.isin(y_true, (0, 1)).all():
            wrong = y_true[~np.isin(y_true, (0, 1))][0]
            raise InputError(f"metrics, truth: expected 0 or 1, got {wrong}. Are truth and predictions swapped?")
        y_true = y_true.astype(bool)
    if not np.issubdtype(scores.dtype, np.floating):
        scores = scores.astype(np.float64)
    bad = ~np.isfinite(scores)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise InputError(
            f"metrics, scores: {int(bad.sum())} values that are not finite found, the first in row {row}, column "
            f"{column}; expected numbers. A division by zero, or a logit of 0 or 1?"
        )
    return y_true, scores


def class_auc(y_true, scores) -> np.ndarray:
    """ROC-AUC per class, float64 [K] in 0..1; nan without a positive or without a negative row. Ties count one half."""
    y_true, scores = validate(y_true, scores)
    return _per_class(y_true, scores, _AUC)[:, 0]


def macro_auc(y_true, scores) -> float:
    """Mean ROC-AUC over the classes with positives and negatives: the BirdCLEF metric. nan when there is no such class.

    Equals scikit-learn's roc_auc_score(average="macro") on those columns.
    """
    return _mean(class_auc(y_true, scores))


def class_ap(y_true, scores) -> np.ndarray:
    """Average precision per class, float64 [K] in 0..1; nan without a positive row.

    The mean over the positives of the precision among rows scored at least as high: scikit-learn's, not interpolated.
    """
    y_true, scores = validate(y_true, scores)
    return _per_class(y_true, scores, _AP)[:, 0]


def cmap(y_true, scores) -> float:
    """cmAP of BirdSet (Rauch et al. 2025, arXiv 2403.10380): mean average precision over the classes with positives."""
    return _mean(class_ap(y_true, scores))


def top1(y_true, scores) -> float:
    """Share of the rows with a label whose highest-scored class (the first of equals) is one of their labels.

    BirdSet's T1-Acc; the usual accuracy where every row has one label. nan when no row has a label.
    """
    y_true, scores = validate(y_true, scores)
    labelled = y_true.any(axis=1)
    return float(_hits(y_true, scores)[labelled].mean()) if labelled.any() else float("nan")


def evaluate(y_true, scores, classes: Sequence[str]) -> dict:
    """All metrics of one table of predictions, as plain numbers and lists (JSON without conversion).

    Keys: macro_auc, cmap, top1; n (rows), n_labelled (rows with a label), n_classes, n_scored (classes in macro_auc);
    left_out (names of the classes without positives, in neither mean), all_positive (names of the classes without
    negatives, not in macro_auc).
    InputError: as `validate`; class names that are not one a column.
    """
    y_true, scores = validate(y_true, scores)
    if len(classes) != y_true.shape[1]:
        raise InputError(f"metrics: expected {y_true.shape[1]} class names, one a column, got {len(classes)}.")
    positives = y_true.sum(axis=0)
    left_out, full = positives == 0, positives == len(y_true)
    return {
        "macro_auc": macro_auc(y_true, scores),
        "cmap": cmap(y_true, scores),
        "top1": top1(y_true, scores),
        "n": len(y_true),
        "n_labelled": int(y_true.any(axis=1).sum()),
        "n_classes": len(classes),
        "n_scored": int((~left_out & ~full).sum()),
        "left_out": [str(name) for name, out in zip(classes, left_out) if out],
        "all_positive": [str(name) for name, out in zip(classes, full) if out],
    }


def bootstrap(
    metric: Callable, y_true, scores, groups=None, n_boot: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """(value, low, high): the metric and its 95 % percentile interval over draws of groups (see `draws`).

    Of cmap, the percentiles less the draws' mean excess over the value: a row drawn twice finds its double, so that
    average precision is too high in every draw, and plain percentiles may even miss the value.
    """
    value = float(metric(y_true, scores))
    low, high = interval(metric, value, draws(metric, y_true, scores, groups, n_boot, seed))
    return value, *((max(low, 0.0), min(high, 1.0)) if metric is cmap else (low, high))


def paired(
    metric: Callable, y_true, scores, others, groups=None, n_boot: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """(difference, low, high) of metric(scores) - metric(others), both measured on the same draws of groups."""
    value = float(metric(y_true, scores)) - float(metric(y_true, others))
    some, rest = (draws(metric, y_true, s, groups, n_boot, seed) for s in (scores, others))
    return value, *interval(metric, value, some - rest)


def draws(metric: Callable, y_true, scores, groups=None, n_boot: int = 1000, seed: int = 0) -> np.ndarray:
    """The metric in each of n_boot draws of groups with replacement, float64 [n_boot]; nan where it is undefined.

    metric(y_true, scores) -> float; macro_auc, cmap and top1 take a path that sorts once, any other is called on every
    draw's rows. groups [n] of any values, or None: every row its own. Equal seeds give equal draws for any metric and
    any scores of the same rows, so differences may be taken draw by draw.
    InputError: as `validate`; groups that do not match; a single group.
    """
    y_true, scores = validate(y_true, scores)
    codes = group_codes(groups, len(y_true), "metrics")
    values = np.empty(n_boot)
    for part, times in bootstrap_groups(int(codes.max()) + 1, n_boot, np.random.default_rng([seed, 4])):
        values[part] = resampled(metric, y_true, scores, codes, times)
    return values


def resampled(metric: Callable, y_true, scores, codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The metric of data sets that hold whole groups any number of times, float64 [B]; nan where it is undefined.

    y_true, scores [n, K], as `validate` returns them; codes int [n], each row's group, 0..G-1; times float64 [G, B],
    how often each data set holds each group. macro_auc, cmap and top1 take a path that sorts once; any other metric is
    called on every data set's rows.
    """
    if metric in (macro_auc, cmap):
        return _mean_defined(_per_class(y_true, scores, _AUC if metric is macro_auc else _AP, codes, times))
    if metric is top1:
        hits, labelled = label_hits(y_true, scores, codes, len(times))
        total = labelled @ times
        return np.divide(hits @ times, total, out=np.full(len(total), np.nan), where=total > 0)
    values = np.empty(times.shape[1])
    for i in range(len(values)):
        rows = np.repeat(np.arange(len(codes)), times[codes, i].astype(np.int64))
        values[i] = metric(y_true[rows], scores[rows])
    return values


def label_hits(y_true, scores, codes: np.ndarray, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows whose first highest-scored class is true, rows with a label), float64 [G] each: top-1 is their ratio."""
    hits = np.bincount(codes, weights=_hits(y_true, scores), minlength=n_groups)
    return hits, np.bincount(codes, weights=y_true.any(axis=1), minlength=n_groups)


def _per_class(y_true, scores, metric, codes=None, times=None) -> np.ndarray:
    """The metric of every class and draw, float64 [K, B]. codes [n]: group of a row; times [G, B]: groups in a draw.

    Without codes: one draw that holds every row once.
    """
    if codes is None:
        codes, times = np.zeros(len(y_true), dtype=np.int64), np.ones((1, 1))
    cumulated, measure = metric
    n_groups, n_draws = times.shape
    rows = np.bincount(codes, minlength=n_groups) @ times  # [B] of each draw
    values = np.full((y_true.shape[1], n_draws), np.nan)
    scored = np.flatnonzero(y_true.any(axis=0))
    counts = y_true[:, scored].sum(axis=0)  # at least the thresholds of each class
    batch = np.cumsum(counts) * 2 * min(n_draws, 1000) // _CHUNK  # classes that are counted at once
    for i in np.unique(batch):
        some = scored[batch == i]
        starts, above, higher = _slots(y_true[:, some], scores[:, some], codes, n_groups)
        step = max(1, _CHUNK // higher.shape[0])
        if few_groups := n_groups < n_draws and higher.shape[0] * n_groups < _CHUNK:  # cumulated once, for all draws
            by_group = cumulated(above.toarray(), higher.toarray(), starts)
        for j in range(0, n_draws, step):
            part = times[:, j : j + step]
            counts = [one @ part for one in by_group] if few_groups else cumulated(above @ part, higher @ part, starts)
            values[some, j : j + step] = measure(*counts, rows[j : j + step], starts)
    return values


def _slots(y_true, scores, codes, n_groups) -> "tuple[np.ndarray, sparse.csr_array, sparse.csr_array]":
    """(first threshold of each class [K], positives on each threshold [m, G], negatives in each slot but the lowest
    [2m, G]), the m thresholds of all classes one below the other."""
    starts, above, higher, n = [], [], [], 0
    for positive, score in zip(y_true.T, scores.T):
        thresholds = np.unique(score[positive])
        slot = np.searchsorted(thresholds, score, "left") + np.searchsorted(thresholds, score, "right")
        counted = ~positive & (slot > 0)
        starts.append(n)
        above.append((n + slot[positive] // 2, codes[positive]))
        higher.append((2 * n + slot[counted] - 1, codes[counted]))
        n += len(thresholds)
    return np.array(starts), _count(above, (n, n_groups)), _count(higher, (2 * n, n_groups))


def _count(parts, shape) -> "sparse.csr_array":
    """Rows per slot and group, from (slots, codes) of each class; duplicates add up."""
    from scipy import sparse  # reading a table of predictions needs none of it

    slots, codes = (np.concatenate(side) for side in zip(*parts))
    return sparse.csr_array(sparse.coo_array((np.ones(len(slots)), (slots, codes)), shape=shape))


def _from_the_top(counts, starts) -> np.ndarray:
    """Sums of counts [m, B] from each row to the last of its class."""
    sums = np.cumsum(counts[::-1], axis=0)[::-1]  # whole numbers: exact
    below = np.concatenate([sums, np.zeros_like(sums[:1])])[np.append(starts[1:], len(sums))]
    return sums - np.repeat(below, np.diff(np.append(starts, len(sums))), axis=0)


def _auc_counts(positive, negative, starts) -> tuple:
    """[m, B] each, linear in the counts of `_slots`: positives on each threshold, and negatives above it, ties half."""
    return positive, _from_the_top(negative[::2] + negative[1::2], starts) - negative[::2] / 2


def _auc_of(positive, higher, rows, starts) -> np.ndarray:
    """[K, B] of `_auc_counts`; rows [B], all; starts [K], the first threshold of each class. nan if undefined.

    The share of (positive, negative) pairs in the right order, ties one half (Mann & Whitney 1947).
    """
    total = np.add.reduceat(positive, starts, axis=0)
    wrong = np.add.reduceat(positive * higher, starts, axis=0)
    pairs = total * (rows - total)
    return np.divide(pairs - wrong, pairs, out=np.full(pairs.shape, np.nan), where=pairs > 0)


def _ap_counts(positive, negative, starts) -> tuple:
    """[m, B] each: positives on each threshold, positives on it or above, negatives on it or above."""
    return positive, _from_the_top(positive, starts), _from_the_top(negative[::2] + negative[1::2], starts)


def _ap_of(positive, hits, false, _, starts) -> np.ndarray:
    """[K, B] of `_ap_counts`: mean over the positives of (positives / rows) scored at least as high."""
    total = np.add.reduceat(positive, starts, axis=0)
    precision = np.divide(hits, hits + false, out=np.zeros_like(hits), where=hits > 0)
    found = np.add.reduceat(positive * precision, starts, axis=0)
    return np.divide(found, total, out=np.full(total.shape, np.nan), where=total > 0)


_AUC, _AP = (_auc_counts, _auc_of), (_ap_counts, _ap_of)


def _hits(y_true, scores) -> np.ndarray:
    """bool [n]: is the first highest-scored class of the row true?"""
    return y_true[np.arange(len(y_true)), np.argmax(scores, axis=1)]


def _mean(values) -> float:
    """Mean of the values that are not nan; nan if there are none."""
    return float(_mean_defined(values[:, None])[0])


def _mean_defined(values) -> np.ndarray:
    """values [K, B] -> [B], mean over K without nan."""
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    total = np.where(defined, values, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def interval(metric, value, values) -> tuple[float, float]:
    """(low, high): the 95 % percentiles of a metric's `draws`, or of differences between two, around its value.

    Draws that are nan are left out; nan if there are no others. See `bootstrap` on cmap.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = percentile_interval(values)
    excess = values.mean() - value if metric is cmap else 0.0
    return float(low - excess), float(high - excess)
