"""The read-outs of pooled vectors, and one of maps: class scores of rows from other rows.

knn           share of the k nearest raw vectors (Euclidean) that carry the class: the published protocol, Table 1 of
              Yadav 2026
knn-cosine    the same by cosine distance
knn-standard  the same by cosine distance of standardised vectors
centroid      cosine similarity of the raw vector to the mean raw vector of the class's rows
linear        one-vs-rest ridge on standardised vectors, the penalty chosen inside the training rows
              (`analysis.readouts.linear`)
logistic      logistic regression on standardised vectors, inverse penalty C = 0.1: multinomial where
              every training row carries one class (scores: log-probabilities), else one-vs-rest (scores: log odds)
attentive     of maps [n, positions, d]: a learned query chooses where to look (`analysis.readouts.attentive`)

Standardising takes means and deviations from the training rows alone. Scores are finite and compare within a row and,
within a class, between rows; the first highest score of a row is its predicted class. A class without a training row
scores just below every other class of the row.

"linear" equals scikit-learn's RidgeClassifierCV; ours stays because it shares its inner products with "knn-standard".
"""

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from ...features import InputError
from .. import knn
from . import linear
from .split import Split, lengths

TRAINING_FREE = ("knn", "knn-cosine", "knn-standard", "centroid")
LINEAR = ("linear", "logistic")
DEFAULT = (*TRAINING_FREE, "linear")
ALL = (*TRAINING_FREE, *LINEAR)
USES = {"training_free": TRAINING_FREE, "linear": LINEAR}  # what a read-out serves -> those that do
ATTENTIVE = "attentive"  # reads maps, not vectors
METRIC = {"knn": "euclidean", "knn-cosine": "cosine"}  # read-out -> distance of the raw vectors
ROUNDING = 1e-12  # of a cosine distance: rows within it are equally near


def parse(text: str) -> tuple[str, ...]:
    """Names of read-outs from `--readout`, each once: comma-separated; `all` stands for the cheap ones, DEFAULT.

    InputError: a name that is not one of ALL, or none.
    """
    names: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        names += DEFAULT if name == "all" else [name] if name else []
    unknown = [name for name in names if name not in (*ALL, ATTENTIVE)]
    if unknown or not names:
        got = repr(unknown[0]) if unknown else "none"
        raise InputError(f"`--readout` must be `all` or name some of {', '.join((*ALL, ATTENTIVE))}, got {got}.")
    return tuple(dict.fromkeys(names))


def out_of_fold(readout: str, x, targets, folds, k: int = 5) -> np.ndarray:
    """Class scores float64 [n, K] of every row from the rows outside its fold.

    x [n, d], or of ATTENTIVE maps [n, positions, d]; targets bool [n, K]; folds [n], equal value, same fold; k:
    neighbours. InputError: an unknown name, shapes that do not match, features that are not finite, fewer than two
    folds, a fold that leaves fewer than k rows.
    """
    return out_of_fold_all((readout,), x, targets, folds, k)[readout]


def predict(readout: str, x, labels, folds, k: int = 5) -> np.ndarray:
    """Out-of-fold labels [n], in the dtype of `labels` [n]: the first highest class. Else as `out_of_fold`."""
    classes, codes = np.unique(labels, return_inverse=True)
    targets = codes[:, None] == np.arange(len(classes))
    return classes[out_of_fold(readout, x, targets, folds, k).argmax(axis=1)]


def out_of_fold_all(readouts: Sequence[str], x, targets, folds, k: int = 5) -> dict[str, np.ndarray]:
    """`out_of_fold` of several read-outs of the same x, which share what they can: {read-out: float64 [n, K]}."""
    x, targets = _checked(readouts, x, targets)
    folds = np.asarray(folds)
    if folds.shape != (len(x),) or len(np.unique(folds)) < 2:
        raise InputError(
            f"read-outs: expected one fold a row, two or more in all, got {folds.shape} for {len(x)} rows."
        )
    scores = {name: np.empty(targets.shape) for name in readouts}
    with threadpool_limits(1):  # the products are small: threads cost more than they bring, and change last bits
        found = {name: knn.neighbours(x, folds, k, METRIC[name]) for name in readouts if name in METRIC}
        for fold in np.unique(folds):
            held = folds == fold
            split = Split(x[~held], targets[~held], x[held])
            for name in readouts:
                if name in found:
                    part = knn.shares(targets, found[name][held])
                else:
                    part = _READ[name](split, k)
                scores[name][held] = _below(part, split.targets)
    return scores


def transfer(readout: str, x, targets, x_test, k: int = 5) -> np.ndarray:
    """Class scores float64 [m, K] of other rows x_test [m, d] from all rows of x, else as `out_of_fold`.

    A row's scores do not depend on the rows beside it.
    """
    x, targets = _checked((readout,), x, targets)
    x_test = np.asarray(x_test)
    if x_test.shape[1:] != x.shape[1:] or not np.isfinite(x_test).all():
        wanted = ", ".join(map(str, x.shape[1:]))
        raise InputError(
            f"read-out {readout}: expected finite [m, {wanted}], got test features {x_test.shape}. Another tap?"
        )
    return _below(_READ[readout](Split(x, targets, x_test), k), targets)


def _checked(readouts, x, targets):
    for name in readouts:
        if name not in _READ:
            raise InputError(f"read-out: expected one of {', '.join(_READ)}, got {name!r}.")
    x, targets = np.asarray(x), np.asarray(targets)
    maps = ATTENTIVE in readouts
    if x.ndim != 2 + maps or not x.size or targets.ndim != 2 or len(targets) != len(x) or targets.dtype != bool:
        place, form = ("attentive", "[n, positions, d]") if maps else ("read-outs", "[n, d]")
        cause = "Was the map pooled? It takes `--pool grid:HxW`." if maps else "Labels instead of one column a class?"
        raise InputError(
            f"{place}: expected features {form} and targets bool [n, K], got {x.shape} and {targets.dtype} "
            f"{targets.shape}. {cause}"
        )
    if x.dtype.kind not in "fiub":
        raise InputError(f"read-outs: expected features that are real numbers, got {x.dtype}.")
    if not np.isfinite(x).all():
        raise InputError("read-outs: expected numbers, got features that are not finite. Overflow in float16?")
    return x, targets


def _below(scores, targets) -> np.ndarray:
    """The scores, those of classes without a training row just below the row's smallest other score."""
    present = targets.any(axis=0)
    if present.any() and not present.all():
        lowest = scores[:, present].min(axis=1, keepdims=True)
        scores = np.where(present, scores, np.nextafter(lowest, -np.inf))
    return scores


def _neighbour_shares(metric: str) -> Callable[[Split, int], np.ndarray]:
    """(split, k) -> the share of the k nearest raw rows that carry each class, float64 [n, K]."""
    return lambda split, k: knn.shares(split.targets, knn.nearest(split.train, split.test, k, metric))


def _standard_shares(split: Split, k: int) -> np.ndarray:
    """The same by cosine distance of vectors standardised by the training rows."""
    knn.check_k(k, len(split.train))
    train, test = split.standardised
    if split.wide:
        across = split.products[1]
    else:
        across = test @ train.T
    length = lengths(test)[:, None] * lengths(train)
    distance = 1.0 - np.divide(across, length, out=np.zeros_like(across), where=length > 0)
    return knn.shares(split.targets, knn.closest(distance, k, ROUNDING))


def _centroid_scores(split: Split, _: int) -> np.ndarray:
    """Cosine similarity of each test row to the mean training row of each class, float64 [n, K]."""
    train, test = split.train.astype(np.float64), split.test.astype(np.float64)
    count = split.targets.sum(axis=0)
    means = split.targets.T.astype(np.float64) @ train / np.maximum(count, 1)[:, None]
    length = lengths(test)[:, None] * lengths(means)
    across = test @ means.T
    return np.divide(across, length, out=np.zeros_like(across), where=length > 0)


def _linear(split: Split, _: int) -> np.ndarray:
    inside, across = split.products if split.wide else (None, None)
    train, test = split.standardised
    return linear.ridge(train, np.where(split.targets, 1.0, -1.0), test, inside=inside, across=across)


def _logistic(split: Split, _: int) -> np.ndarray:
    from .logistic import logistic_scores  # scikit-learn is slow to import, and the default needs none of it

    return logistic_scores(split)


def _attentive(split: Split, _: int) -> np.ndarray:
    from .attentive import attentive_scores  # as above, SciPy's optimisers

    return attentive_scores(split)


_READ: dict[str, Callable[[Split, int], np.ndarray]] = {
    "knn": _neighbour_shares("euclidean"),
    "knn-cosine": _neighbour_shares("cosine"),
    "knn-standard": _standard_shares,
    "centroid": _centroid_scores,
    "linear": _linear,
    "logistic": _logistic,
    ATTENTIVE: _attentive,
}
