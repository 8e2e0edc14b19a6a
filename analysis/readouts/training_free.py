"""Read-outs that learn nothing: votes of the k nearest training rows, and the cosine to each class's mean row."""

from collections.abc import Callable

import numpy as np

from .. import knn
from .split import Split, lengths

METRIC = {"knn": "euclidean", "knn-cosine": "cosine"}  # read-out -> distance of the raw vectors
ROUNDING = 1e-12  # of a cosine distance: rows within it are equally near


def neighbour_shares(metric: str) -> Callable[[Split, int], np.ndarray]:
    """(split, k) -> the share of the k nearest raw rows that carry each class, float64 [n, K]."""
    return lambda split, k: knn.shares(split.targets, knn.nearest(split.train, split.test, k, metric))


def standard_shares(split: Split, k: int) -> np.ndarray:
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


def centroid_scores(split: Split) -> np.ndarray:
    """Cosine similarity of each test row to the mean training row of each class, float64 [n, K]."""
    train, test = split.train.astype(np.float64), split.test.astype(np.float64)
    count = split.targets.sum(axis=0)
    means = split.targets.T.astype(np.float64) @ train / np.maximum(count, 1)[:, None]
    length = lengths(test)[:, None] * lengths(means)
    across = test @ means.T
    return np.divide(across, length, out=np.zeros_like(across), where=length > 0)
