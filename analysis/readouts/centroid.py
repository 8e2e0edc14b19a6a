"""Nearest class mean by cosine: the read-out of few-shot classification."""

import numpy as np

from .split import Split, lengths


def centroid_scores(split: Split) -> np.ndarray:
    """Cosine similarity of each test row to the mean training row of each class, float64 [n, K]."""
    train, test = split.train.astype(np.float64), split.test.astype(np.float64)
    count = split.targets.sum(axis=0)
    means = split.targets.T.astype(np.float64) @ train / np.maximum(count, 1)[:, None]
    length = lengths(test)[:, None] * lengths(means)
    across = test @ means.T
    return np.divide(across, length, out=np.zeros_like(across), where=length > 0)
