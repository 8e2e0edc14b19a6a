"""One training set and the rows to score, with what several read-outs need of them computed once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import linear


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to score.

    train [m, d] and test [t, d]: features; targets bool [m, K]: classes of the training rows. No statistic is taken
    from the test rows, and no test row's numbers depend on another test row.
    """

    train: np.ndarray
    targets: np.ndarray
    test: np.ndarray

    @cached_property
    def standardised(self) -> tuple[np.ndarray, np.ndarray]:
        """(train, test) in float64 with the training rows' column means and deviations; constant columns are 0."""
        return linear.standardised(self.train, self.test)

    @cached_property
    def wide(self) -> bool:
        """Are there at least as many columns as training rows, so that inner products are the smaller problem?"""
        return self.train.shape[1] >= len(self.train)

    @cached_property
    def products(self) -> tuple[np.ndarray, np.ndarray]:
        """Inner products of the standardised rows: train with train [m, m] and test with train [t, m]."""
        train, test = self.standardised
        return train @ train.T, test @ train.T

    @cached_property
    def single_label(self) -> bool:
        """Does every training row carry exactly one class?"""
        return bool(np.all(self.targets.sum(axis=1) == 1))


def lengths(x: np.ndarray) -> np.ndarray:
    """Euclidean length of each row."""
    return np.sqrt(np.einsum("ij,ij->i", x, x))
