"""Votes of the k nearest training rows: Euclidean, cosine, or cosine on standardised vectors."""

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
