"""k nearest neighbours as class scores: the share of the neighbours that carry each class.

Votes are shares, so the first highest class is the majority and equal votes go to the first class, as scikit-learn's
`KNeighborsClassifier` has it. The search is `analysis.knn`'s: exact, equal distances to the row that comes first.
"""

import numpy as np

from .. import knn
from .standardise import standardise


def neighbours(x: np.ndarray, targets: np.ndarray, others: np.ndarray, k: int, metric: str) -> np.ndarray:
    """float64 [m, K]: shares of the k rows of x that are nearest to each of `others`."""
    return targets[knn.nearest(x, others, k, metric)].mean(axis=1)


def neighbours_out_of_fold(x: np.ndarray, targets: np.ndarray, folds: np.ndarray, k: int, metric: str) -> np.ndarray:
    """`neighbours` of every row outside its own fold, from one search over all pairs."""
    return targets[knn.neighbours(x, folds, k, metric)].mean(axis=1)


def standard_neighbours(x: np.ndarray, targets: np.ndarray, others: np.ndarray, k: int) -> np.ndarray:
    """`neighbours` by cosine after standardising every column with the mean and deviation of x."""
    return neighbours(*_placed(x, targets, others), k, "cosine")


def _placed(x: np.ndarray, targets: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    train, test = standardise(x, others)
    return train, targets, test
