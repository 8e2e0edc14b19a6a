"""What a sweep scores: the items of a store, clips or windows, with the classes that they carry."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...analysis.scored_items import Units, make_units
from ...features.store import FeatureStore
from .data import FoldedClips


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


def multi_hot(labels: Sequence[Sequence[str]], classes: Sequence[str]) -> np.ndarray:
    """bool [n, K]: which of the classes each item carries; labels outside them are not counted."""
    column = {name: i for i, name in enumerate(classes)}
    targets = np.zeros((len(labels), len(classes)), dtype=bool)
    for row, names in enumerate(labels):
        targets[row, [column[name] for name in names if name in column]] = True
    return targets
