"""Columns brought to mean 0 and deviation 1 by the training rows alone."""

import numpy as np


def standardise(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardise both by the statistics of the first.

    Args:
        train: [n, d].
        test: [m, d].

    Returns:
        Both in float64, less the training mean, over the training standard deviation; a column that is constant in
        `train` becomes zero in both. Equals scikit-learn's StandardScaler but for such columns.
    """
    first = train[0].astype(np.float64)
    train = train - first  # so that a constant column becomes exactly zero, not a column of rounding errors
    shift = train.mean(axis=0)
    train -= shift
    mean = first + shift
    deviation = np.sqrt(np.einsum("ij,ij->j", train, train) / len(train))
    constant = deviation <= len(train) * np.finfo(np.float64).eps * np.abs(mean)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    train *= factor
    return train, (test - mean) * factor
