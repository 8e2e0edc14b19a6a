"""What a sweep scores: the items of a store, clips or windows, with the classes that they carry."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from ...analysis.scored_items import Units, make_units
from ...features.store import FeatureStore
from ..runtime.cores import cores
from .data import FoldedClips

AT_ONCE = 4  # taps at most: each holds its vectors and their inner products in memory
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Items:
    """The scored rows of an open store: its units, the names of the K classes, and bool [n, K] which item has which."""

    store: FeatureStore
    units: Units
    classes: tuple[str, ...]
    targets: np.ndarray

    @classmethod
    def of(cls, store: FeatureStore, clips: FoldedClips, classes: tuple[str, ...], unit: str) -> "Items":
        """unit: "clip" or "window"."""
        units = make_units(store.rows(), clips.table, unit)
        targets = multi_hot([clips.labels[clip] for clip in units.table["clip"]], classes)
        return cls(store, units, classes, targets)

    @property
    def taps(self) -> tuple[str, ...]:
        return self.store.taps

    def column(self, name: str) -> np.ndarray:
        """A column of the items' table: label, group, fold, file, ..."""
        return self.units.table[name].to_numpy()

    def vectors(self, tap: str) -> np.ndarray:
        """float32 [n, d]"""
        return self.units.vectors(self.store.read(tap))

    def maps(self, tap: str) -> np.ndarray:
        """float32 [n, positions, d]"""
        return self.units.maps(self.store.read(tap))


def per_tap(
    taps: Sequence[str], compute: Callable[[str], Result], progress: Callable[[str], None] = lambda tap: None
) -> dict[str, Result]:
    """{tap: compute(tap)}, in the order of `taps`; one tap a core at a time, each with linear algebra on one thread.

    Matrices of a tap are small: threads inside a product wait for each other longer than they work.
    """
    found = {}
    with threadpool_limits(1), ThreadPoolExecutor(min(cores(), AT_ONCE), thread_name_prefix="rank") as pool:
        for tap, result in zip(taps, pool.map(compute, taps)):
            found[tap] = result
            progress(tap)
    return found


def score_cells(
    taps: Sequence[str],
    score: Callable[[str], dict[str, np.ndarray]],
    progress: Callable[[str], None] = lambda tap: None,
) -> dict[tuple[str, str], np.ndarray]:
    """{(tap, read-out): class scores}, as `per_tap`; score(tap): {read-out: class scores}."""
    found = per_tap(taps, score, progress)
    return {(tap, readout): scores for tap, by_readout in found.items() for readout, scores in by_readout.items()}


def multi_hot(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """bool [n, K]: which of the classes each item carries; labels outside them are not counted."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, names in enumerate(labels):
        targets[row, [column[name] for name in names if name in column]] = True
    return targets
