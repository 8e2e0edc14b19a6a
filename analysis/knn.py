"""Exact k-nearest-neighbour probe, all folds from one search.

"Per-block kNN probing" (Yadav 2026, Table 1; its kNN-5 is `predict` with k = 5): every clip is labelled by a majority
vote of its k nearest clips *outside its own fold*. The result equals scikit-learn's
`KNeighborsClassifier(k).fit(other folds).predict(fold)`, but one pass over all pairs serves every fold.

How it stays both fast and exact. Squared distances come from one float32 matrix product, |y|^2/2 - x.y, which orders
the candidates of a row as the distance does. Rounding could swap two candidates at the k-th border, so each row carries
a bound on its rounding error; a row whose border lies within that bound is decided again from float64 differences. When
too many rows need that (tight clusters far from the centre), the whole search is repeated in float64.

Ties: equal votes go to the smallest label, as in scikit-learn. Exactly equal distances at the border go to the row that
comes first; scikit-learn leaves that case to the order in which its search happens to meet them.
"""

from itertools import pairwise

import numpy as np

from ..features import InputError

METRICS = ("euclidean", "cosine")
_CHUNK_BYTES = 48 << 20  # of one block of the distance matrix
_BLOCKS_PER_NEIGHBOUR = 16  # see _candidates
_BATCH_BYTES = 32 << 20  # of one batch of float64 rows


def predict(x, y, folds, k: int = 5, metric: str = "euclidean") -> np.ndarray:
    """Out-of-fold predicted labels [n], in the dtype of `y`.

    x [n, d] features of any real dtype; y [n] labels (anything np.unique sorts); folds [n], any values: equal value,
    same fold. metric: "euclidean" or "cosine" (1 - cosine similarity; an all-zero row is at distance 1 from every row).
    InputError: shapes that do not match, non-finite features, an unknown metric, a fold that leaves fewer than k rows.
    """
    x, y, folds = _checked(x, y, folds, k, metric)
    classes, codes = np.unique(y, return_inverse=True)
    return classes[vote(codes[_outside(x, folds, k, metric)])]


def correct(x, y, folds, k: int = 5, metric: str = "euclidean") -> np.ndarray:
    """bool [n]: was the row's out-of-fold prediction right? Its mean is the cross-validated top-1 accuracy."""
    return predict(x, y, folds, k, metric) == np.asarray(y)


def neighbours(x, folds, k: int = 5, metric: str = "euclidean") -> np.ndarray:
    """Row numbers of the k nearest rows outside each row's fold, int64 [n, k], in no particular order.

    Args, Raises: as `predict`.
    """
    x, _, folds = _checked(x, np.zeros(len(x)), folds, k, metric)
    return _outside(x, folds, k, metric)


def nearest(train, test, k: int = 5, metric: str = "euclidean") -> np.ndarray:
    """Row numbers in `train` [n, d] of the k rows nearest to each row of `test` [m, d], int64 [m, k].

    Decided as in `predict`, so a row's neighbours do not depend on the rows that are asked for with it.
    Raises: InputError as `predict`.
    """
    x = np.concatenate([train, test])
    sides = np.repeat([0, 1], [len(train), len(test)])
    _check_metric(metric)
    _check_finite(x)
    check_k(k, len(train))
    return _neighbours(x, sides, np.arange(len(x)), k, metric, first=len(train))


def closest(squared, k: int, rounding: float = 0.0) -> np.ndarray:
    """Columns of the k smallest of each row of distances [m, n], int64 [m, k]; equal distances: the first column.

    Distances within `rounding` of the k-th count as equal to it.
    """
    border = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
    rank = np.where(squared < border - rounding, 0, np.where(squared <= border + rounding, 1, 2)).astype(np.int8)
    return np.argsort(rank, axis=1, kind="stable")[:, :k]


def shares(targets, found) -> np.ndarray:
    """Share of a row's k neighbours that carry each class, float64 [m, K]: targets bool [n, K], found int64 [m, k]."""
    total = np.zeros((len(found), targets.shape[1]))
    for column in found.T:
        total += targets[column]
    return total / found.shape[1]


def _checked(x, y, folds, k, metric):
    x, y, folds = np.asarray(x), np.asarray(y), np.asarray(folds)
    _check_metric(metric)
    if x.ndim != 2 or not len(x) or y.shape != x.shape[:1] or folds.shape != x.shape[:1]:
        raise InputError(
            f"k-NN: expected [n, d], [n] and [n], got features {x.shape}, labels {y.shape}, folds {folds.shape}. "
            "Is the pooled feature still a map?"
        )
    _check_finite(x)
    check_k(k, len(x) - np.unique(folds, return_counts=True)[1].max())
    return x, y, folds


def _check_metric(metric):
    if metric not in METRICS:
        raise InputError(f"k-NN metric: expected one of {', '.join(METRICS)}, got {metric!r}.")


def _check_finite(x):
    if not np.isfinite(np.min(x)) or not np.isfinite(np.max(x)):  # no n x d temporary; NaN propagates through both
        bad = int(np.count_nonzero(~np.isfinite(x).all(axis=1)))
        raise InputError(f"k-NN: {bad} of {len(x)} rows are not finite, expected numbers. Overflow in float16?")


def check_k(k: int, training: int) -> None:
    """InputError unless 1 <= k <= training, the rows left to learn from."""
    if not 1 <= k <= training:
        raise InputError(
            f"k-NN: k = {k}, but only {training} training rows are left outside the largest fold. "
            "Too few clips, or one fold only?"
        )


def _outside(x, folds, k, metric) -> np.ndarray:
    """`neighbours` of what was checked."""
    order = np.argsort(folds, kind="stable")  # a fold becomes a slice; ties keep the original order
    found = np.empty((len(x), k), dtype=np.int64)
    found[order] = order[_neighbours(x[order], folds[order], order, k, metric)]
    return found


def _neighbours(x, folds, identity, k, metric, first=0) -> np.ndarray:
    """int64 [n - first, k] row numbers of the k nearest rows outside the fold of each row from `first` on.

    x is sorted by fold.

    identity [n]: original row numbers, which decide exact ties.
    """
    zero = np.zeros(len(x), dtype=bool)
    if metric == "cosine":  # 1 - cos = |u - v|^2 / 2 for unit rows, so the Euclidean search serves both
        x = x.astype(np.float64)
        x /= np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)  # no overflow in the norm
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        zero = norm[:, 0] == 0
        x /= np.where(norm > 0, norm, 1.0)
    found = _search(x, folds, identity, zero, k, np.float32, first, max_pairs=8 * k * (len(x) - first))
    if found is None:
        found = _search(x, folds, identity, zero, k, np.float64, first, max_pairs=None)
        assert found is not None  # without a limit it finds
    return found


def _search(x, folds, identity, zero, k, dtype, first, max_pairs) -> np.ndarray | None:
    """One exact search with products in `dtype`; None when more than max_pairs distances would need float64."""
    n, d = x.shape
    n_blocks = _BLOCKS_PER_NEIGHBOUR * k if n >= 2 * _BLOCKS_PER_NEIGHBOUR * k else n
    n_padded = -(-n // n_blocks) * n_blocks
    left, right, norm2 = _factors(x, n_padded, dtype)
    unit = np.finfo(dtype).eps / 2 * (d + 16)  # rounding of a dot product of d terms (Higham 2002, eq. 3.5), and of x
    bounds = np.flatnonzero(np.r_[True, folds[1:] != folds[:-1], True])
    result = np.empty((n - first, k), dtype=np.int64)
    step = max(1, min(n, _CHUNK_BYTES // (n_padded * left.itemsize)))
    pairs = 0
    for start in range(first, n, step):
        stop = min(start + step, n)
        rows = slice(start, stop)
        score = left[rows] @ right.T  # [c, n_padded], |y|^2/2 - x.y = (distance^2 - |x|^2) / 2
        if zero.any():  # cosine distance 1 is a squared distance of 2
            to_unit = (1.0 - norm2[rows] / 2).astype(dtype)
            score[:, :n][:, zero] = to_unit[:, None]
            score[zero[rows], :n] = to_unit[zero[rows], None]
        for low, high in pairwise(bounds.tolist()):
            inside = slice(max(low, start) - start, max(min(high, stop), start) - start)
            score[inside, low:high] = np.inf
        value, column = _candidates(score, n_blocks, k, norm2[rows], unit)
        value_k = value[:, k - 1].astype(np.float64)
        near = value <= (value_k + _slack(value_k, norm2[rows], unit))[:, None]
        unclear = np.flatnonzero(np.count_nonzero(near, axis=1) != k)
        pairs += np.count_nonzero(near[unclear])
        if max_pairs is not None and pairs > max_pairs:
            return None
        result[start - first : stop - first] = column[:, :k]
        row, place = np.nonzero(near[unclear])
        some = column[unclear[row], place]
        distance = _squared_distances(x, start + unclear[row], some, zero)
        by_row = np.lexsort((identity[some], distance, row))
        begin = np.searchsorted(row, np.arange(len(unclear)))
        result[start - first + unclear] = some[by_row[begin[:, None] + np.arange(k)]]
    return result


def _factors(x, n_padded, dtype):
    """left [n, d + 1] and right [n_padded, d + 1], whose product holds |y|^2/2 - x.y, and |x|^2 as float64 [n].

    The rows are centred, which takes the common offset out of the cancellation. Any centre serves, so it is rounded
    freely, but it is summed from differences to the first row: constant columns become exactly zero. Features of an
    extreme scale are brought to 1, so that squares stay inside float32. The last column carries |y|^2/2: one matrix
    product and no second pass. Padding is infinitely far.
    """
    n, d = x.shape
    x_dtype = np.result_type(x.dtype, dtype)  # float32 rows are centred in float32, which errs like the product does
    first = x[0].astype(x_dtype)
    step = max(1, _BATCH_BYTES // (8 * max(d, 1)))
    total, peak = np.zeros(d, dtype=x_dtype), 0.0
    for i in range(0, n, step):
        difference = x[i : i + step] - first
        total += difference.sum(axis=0)
        peak = max(peak, float(difference.max(initial=0.0)), -float(difference.min(initial=0.0)))
    centre = first + total / n
    left = np.ones((n, d + 1), dtype=dtype)
    right = np.zeros((n_padded, d + 1), dtype=dtype)
    norm2 = np.empty(n)
    for i in range(0, n, step):
        rows = slice(i, min(i + step, n))
        difference = x[rows] - centre
        left[rows, :d] = difference if 1e-9 < peak < 1e9 or not peak else difference / x_dtype.type(peak)
        np.negative(left[rows, :d], out=right[rows, :d])
        norm2[rows] = np.einsum("ij,ij->i", left[rows, :d], left[rows, :d], dtype=np.float64)
    right[:, d] = np.inf
    right[:n, d] = norm2 / 2
    return left, right, norm2


def _slack(score, norm2, unit) -> np.ndarray:
    """How far above the k-th smallest computed score a true neighbour's can lie, float64 [c].

    A score errs by at most unit * (|x||y| + |y|^2/2), two of them by unit * (|x|^2 + 2 |y|^2). A competitor y lies
    within about the k-th distance D of x, so |y|^2 <= 2 |x|^2 + 2 D, where D = 2 score + |x|^2.
    """
    return unit * (5 * norm2 + 4 * np.maximum(2 * score + norm2, 0.0)) + 1e-33  # the last: underflow


def _candidates(score, n_blocks, k, norm2, unit):
    """(scores, columns), both [c, m] ascending along the row, m >= k: all that may be among the k smallest.

    The k-th smallest of the block minima is an upper bound of the k-th smallest score, and one vectorised pass finds
    it; np.partition of whole rows takes 30 times as long. Only about k scores lie below it.
    """
    minima = score.reshape(len(score), -1, n_blocks).min(axis=1)
    bound = np.partition(minima, k - 1, axis=1)[:, k - 1].astype(np.float64)
    bound = np.minimum(bound, np.finfo(score.dtype).max / 8)  # fewer than k blocks reach outside the fold: take all
    bound = np.nextafter((bound + _slack(bound, norm2, unit)).astype(score.dtype), np.inf, dtype=score.dtype)
    flat = np.flatnonzero(score <= bound[:, None])
    row, column = np.divmod(flat, score.shape[1])
    count = np.bincount(row, minlength=len(score))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(count) - count, count)
    value = np.full((len(score), count.max()), np.inf, dtype=score.dtype)
    columns = np.zeros(value.shape, dtype=np.int64)
    value[row, place] = score.reshape(-1)[flat]
    columns[row, place] = column
    order = np.argsort(value, axis=1, kind="stable")
    return np.take_along_axis(value, order, axis=1), np.take_along_axis(columns, order, axis=1)


def _squared_distances(x, rows, others, zero) -> np.ndarray:
    """float64 [pairs] between x[rows] and x[others]: right to the last bits, and bit-equal for equal rows."""
    step = max(1, _BATCH_BYTES // (8 * max(x.shape[1], 1)))
    distance = np.empty(len(rows))
    for i in range(0, len(rows), step):
        pairs = slice(i, i + step)
        distance[pairs] = ((x[rows[pairs]].astype(np.float64) - x[others[pairs]]) ** 2).sum(axis=1)
    distance[zero[others] | zero[rows]] = 2.0
    return distance


def vote(labels) -> np.ndarray:
    """int64 [n]: the most frequent of labels [n, k], the smallest of the most frequent."""
    ranked = np.sort(labels, axis=1)
    n, k = ranked.shape
    best = np.zeros(n, dtype=np.int64)
    best_count = np.zeros(n, dtype=np.int64)
    run = np.zeros(n, dtype=np.int64)
    for i in range(k):  # k steps over n rows: no n x n_classes table
        run = np.where(ranked[:, i] == ranked[:, i - 1], run + 1, 1) if i else run + 1
        better = run > best_count  # strictly: an equal count of a larger label loses
        best, best_count = np.where(better, ranked[:, i], best), np.where(better, run, best_count)
    return best
