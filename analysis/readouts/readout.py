"""Class scores of rows that a read-out never saw, whatever the read-out: out of fold, or on other recordings."""

from collections.abc import Callable

import numpy as np

from ...features import InputError
from .. import knn
from .centroid import centroid
from .linear import logistic, ridge
from .neighbours import neighbours, neighbours_out_of_fold, standard_neighbours

TRAINING_FREE = ("knn", "knn-cosine", "knn-standard", "centroid")
LINEAR = ("linear", "logistic")
READOUTS = (*TRAINING_FREE, *LINEAR, "attentive")
DEFAULT = (*TRAINING_FREE, "linear")  # logistic regression takes longer than extraction, attention wants maps

# (x [n, d], targets bool [n, K], others [m, d], k) -> scores float64 [m, K]
Scorer = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
SCORERS: dict[str, Scorer] = {
    "knn": lambda x, targets, others, k: neighbours(x, targets, others, k, "euclidean"),
    "knn-cosine": lambda x, targets, others, k: neighbours(x, targets, others, k, "cosine"),
    "knn-standard": standard_neighbours,
    "centroid": lambda x, targets, others, k: centroid(x, targets, others),
    "linear": lambda x, targets, others, k: ridge(x, targets, others),
    "logistic": lambda x, targets, others, k: logistic(x, targets, others),
}


def parse(text: str) -> tuple[str, ...]:
    """The read-outs that `--readout` names.

    Args:
        text: names with commas; "all" stands for the cheap ones, DEFAULT.

    Returns:
        The names, each once, in the order given.

    Raises:
        InputError: a name that is none of READOUTS.
    """
    names: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        names += DEFAULT if name == "all" else (name,)
    if unknown := [name for name in names if name not in READOUTS]:
        raise InputError(f"--readout must be all or some of {', '.join(READOUTS)}, got {unknown[0]!r}.")
    return tuple(dict.fromkeys(names))


def out_of_fold(readout: str, x: np.ndarray, targets: np.ndarray, folds: np.ndarray, k: int = 5) -> np.ndarray:
    """Class scores of every row, from the rows outside its fold alone.

    Args:
        readout: one of SCORERS.
        x: [n, d] pooled vectors.
        targets: bool [n, K]: the labels of each row, any number of them.
        folds: [n], any values: equal value, same fold.
        k: neighbours that vote, for the k-NN read-outs.

    Returns:
        float64 [n, K], larger is more certain. The first highest class of a row is its predicted label. A class that no
        row outside the fold carries gets the row's lowest score.

    Raises:
        InputError: shapes that do not match, features that are not finite, too few rows outside a fold.
    """
    x, targets = _checked(readout, x, targets)
    folds = np.unique(np.asarray(folds), return_inverse=True)[1]
    if folds.shape != x.shape[:1]:
        raise InputError(f"read-out {readout}: folds {folds.shape} found, {x.shape[:1]} wanted, one a row.")
    if readout in ("knn", "knn-cosine"):
        scores = neighbours_out_of_fold(x, targets, folds, k, "cosine" if readout == "knn-cosine" else "euclidean")
        for fold in range(folds.max() + 1):
            held = folds == fold
            scores[held] = _absent_last(scores[held], targets[~held])
        return scores
    scores = np.empty(targets.shape)
    for fold in range(folds.max() + 1):
        held = folds == fold
        scores[held] = _score(readout, x[~held], targets[~held], x[held], k)
    return scores


def transfer(readout: str, x: np.ndarray, targets: np.ndarray, others: np.ndarray, k: int = 5) -> np.ndarray:
    """Class scores of other rows, from all rows of x.

    Args:
        readout, x, targets, k: as in `out_of_fold`.
        others: [m, d], rows of other recordings.

    Returns:
        float64 [m, K].

    Raises:
        InputError: as `out_of_fold`.
    """
    x, targets = _checked(readout, x, targets)
    others = np.asarray(others)
    if others.ndim != 2 or others.shape[1] != x.shape[1]:
        raise InputError(f"read-out {readout}: vectors {others.shape} found, [m, {x.shape[1]}] wanted.")
    return _score(readout, x, targets, others, k)


def _score(readout: str, x: np.ndarray, targets: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    return _absent_last(SCORERS[readout](x, targets, others, k), targets)


def _absent_last(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Scores with the classes that no training row carries at the row's lowest; a row's other classes come first."""
    absent = ~targets.any(axis=0)
    if not absent.any() or absent.all():
        return scores
    scores = np.array(scores)
    lowest = scores[:, ~absent].min(axis=1, keepdims=True)
    scores[:, absent] = lowest - np.maximum(1.0, np.abs(lowest))
    return scores


def _checked(readout: str, x: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if readout not in SCORERS:
        raise InputError(f"read-out must be one of {', '.join(SCORERS)}, got {readout!r}.")
    x, targets = np.asarray(x), np.asarray(targets, dtype=bool)
    if x.ndim != 2 or not x.size or targets.ndim != 2 or len(targets) != len(x):
        raise InputError(
            f"read-out {readout}: vectors {x.shape}, targets {targets.shape} found; [n, d] and [n, K] wanted. A map?"
        )
    knn.require_finite(x)
    return x, targets
