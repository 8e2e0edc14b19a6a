"""Logistic regression on standardised vectors, in the training rows' own span where there are more columns than rows.

An L2 penalty does not see a rotation, so the vectors may be replaced by their coordinates along the eigenvectors of the
Gram matrix: [m, m] instead of [m, d], the same solution.
"""

import numpy as np
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from .split import Split

_C = 0.1  # stronger than scikit-learn's 1: often there are more standardised columns than rows
_TOLERANCE = 1e-5  # of the gradient: predictions as at 1e-8, in half the time of 1e-6
_MAX_STEPS = 5000


def logistic_scores(split: Split) -> np.ndarray:
    """float64 [t, K]: log-probabilities where every training row carries one class, else log odds a class."""
    train, test = _coordinates(split)
    targets = split.targets
    scores = np.zeros((len(test), targets.shape[1]))
    if split.single_label:
        present = np.flatnonzero(targets.any(axis=0))
        if len(present) > 1:
            decision = _fit(train, targets.argmax(axis=1)).decision_function(test)
            if decision.ndim == 1:  # two classes: the log odds of the second
                decision = np.stack([np.zeros_like(decision), decision], axis=1)
            scores[:, present] = log_softmax(decision, axis=1)
        return scores
    count, rows = targets.sum(axis=0), len(targets)
    for column in range(targets.shape[1]):
        if 0 < count[column] < rows:
            scores[:, column] = _fit(train, targets[:, column]).decision_function(test)
        else:  # one answer only: nothing to learn but how often it was seen
            scores[:, column] = np.log((count[column] + 0.5) / (rows - count[column] + 0.5))
    return scores


def _fit(train, y) -> LogisticRegression:
    return LogisticRegression(C=_C, tol=_TOLERANCE, max_iter=_MAX_STEPS).fit(train, y)


def _coordinates(split: Split) -> tuple[np.ndarray, np.ndarray]:
    if not split.wide:
        return split.standardised
    inside, across = split.products
    w, p = np.linalg.eigh(inside)
    keep = w > max(w[-1], 0.0) * len(w) * np.finfo(np.float64).eps
    if not keep.any():  # a dead tap
        return np.zeros((len(inside), 1)), np.zeros((len(across), 1))
    root = np.sqrt(w[keep])
    return p[:, keep] * root, across @ (p[:, keep] / root)
