"""Nearest class mean by cosine: what few labels allow, and what retrieval by an average example does."""

import numpy as np


def centroid(x: np.ndarray, targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Cosine of each row to each class mean.

    Args:
        x: [n, d] training vectors, as they are.
        targets: bool [n, K]; the mean of a class is over the rows that carry it.
        others: [m, d].

    Returns:
        float64 [m, K] in -1..1; 0 for a row or a mean of length zero. (Snell et al. 2017, prototypical networks.)
    """
    counts = targets.sum(axis=0)
    means = targets.T.astype(np.float64) @ x.astype(np.float64) / np.maximum(counts, 1)[:, None]
    return _unit(others.astype(np.float64)) @ _unit(means).T


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)
