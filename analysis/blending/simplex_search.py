"""The best weights on a grid: all points where they are few, else a climb from the best of some.

Weights are multiples of `step` that sum to 1. As long as there are at most MAX_POINTS every one is tried. Beyond, a
climb starts at the best of every member alone and (nearly) equal weights, and moves weight from one member to another,
one step or four at a time, as long as that gains. Ties go to the most uniform weights.
"""

from collections.abc import Callable
from itertools import permutations
from math import comb

import numpy as np

MAX_POINTS = 2000  # 4 members in steps of 0.05 are 1,771
_EQUAL = 1e-12  # differences of the objective below this are rounding


class Grid:
    """Weights of M members, in whole units of `step`, 1 over a whole number."""

    def __init__(self, n_members: int, step: float):
        self.n_members, self.units = n_members, round(1 / step)
        self.exhaustive = comb(self.units + n_members - 1, n_members - 1) <= MAX_POINTS

    def best(self, value: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, int]:
        """([P, M] the best weights for each of the P objectives, points evaluated). value: weights [M] -> [P]."""
        known: dict[tuple[int, ...], np.ndarray] = {}

        def at(point):
            if point not in known:
                known[point] = value(np.array(point) / self.units)
            return known[point]

        starts = [*self._alone(), self._equal()]
        n_objectives = len(at(starts[0]))
        if self.exhaustive:
            starts = list(_compositions(self.units, self.n_members))
        chosen = []
        for p in range(n_objectives):
            point = self._first(starts, at, p)
            # A climb sees nothing but its own objective: the points that the others tried are no candidates.
            while not self.exhaustive:
                moved = self._first([point, *self._moves(point)], at, p)
                if at(moved)[p] <= at(point)[p] + _EQUAL:
                    break
                point = moved
            chosen.append(point)
        return np.array(chosen) / self.units, len(known)

    def _first(self, points, at, p) -> tuple[int, ...]:
        """The best point for objective p; of equals the one nearest to equal weights, then the first."""
        values = np.array([at(point)[p] for point in points])
        equals = [points[i] for i in np.flatnonzero(values >= values.max() - _EQUAL)]
        return min(equals, key=lambda point: sum(units**2 for units in point))

    def _alone(self):
        return [tuple(self.units * (i == j) for j in range(self.n_members)) for i in range(self.n_members)]

    def _equal(self) -> tuple[int, ...]:
        each, rest = divmod(self.units, self.n_members)
        return tuple(each + (i < rest) for i in range(self.n_members))

    def _moves(self, point):
        for i, j in permutations(range(self.n_members), 2):
            for amount in sorted({1, min(4, point[i])}):
                if 0 < amount <= point[i]:
                    moved = list(point)
                    moved[i] -= amount
                    moved[j] += amount
                    yield tuple(moved)


def _compositions(total: int, parts: int):
    """Every way to write total as an ordered sum of so many whole numbers, 0 among them."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total, -1, -1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)
