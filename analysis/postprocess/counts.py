"""How often each class was heard at each site and hour of the day: all that priors are made from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ...features import InputError
from .. import predictions
from . import rows

HOURS = 24


@dataclass(frozen=True)
class Cell:
    """A site in an hour of the day (UTC): `n` labelled windows; `positives`, those with each class (a sum of shares if
    labels are soft), one number a class."""

    site: str
    hour: int
    n: int
    positives: tuple[float, ...]


@dataclass(frozen=True)
class Counts:
    """classes: in the order of the cells' positives. cells: by site and hour, only those with windows.

    left_out: labelled windows whose names tell no site and hour; they are in no cell.
    """

    classes: tuple[str, ...]
    cells: tuple[Cell, ...]
    left_out: int = 0

    @classmethod
    def of(cls, labels: pd.DataFrame) -> "Counts":
        """Of a table of labels (rows: row ids; bool, or shares 0..1).

        InputError: values outside 0..1, doubled rows, no row whose name tells site and hour.
        """
        predictions.require(labels, "labels for a prior")
        sites, hours = rows.places(labels.index)
        known = hours >= 0
        if not known.any():
            raise InputError(
                f"labels for a prior: no row id such as BC2026_Train_0001_S01_20260512_050000_5 found, e.g. "
                f"{labels.index[0] if len(labels) else '(no rows)'!r}; site and hour are read from it. Another dataset?"
            )
        values = labels.to_numpy(dtype=np.float64)
        cells = []
        for site, hour in sorted(set(zip(sites[known].tolist(), hours[known].tolist()))):
            here = values[(sites == site) & (hours == hour)]
            cells.append(Cell(site, hour, len(here), tuple(here.sum(axis=0).tolist())))
        return cls(tuple(map(str, labels.columns)), tuple(cells), int((~known).sum()))

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(sorted({cell.site for cell in self.cells}))

    @cached_property
    def n(self) -> np.ndarray:
        """Windows, float64 [sites, 24]."""
        return self._tables[0]

    @cached_property
    def positives(self) -> np.ndarray:
        """Windows with each class, float64 [sites, 24, classes]."""
        return self._tables[1]

    @cached_property
    def _tables(self):
        number = {site: i for i, site in enumerate(self.sites)}
        n = np.zeros((len(number), HOURS))
        positives = np.zeros((len(number), HOURS, len(self.classes)))
        for cell in self.cells:
            n[number[cell.site], cell.hour] = cell.n
            positives[number[cell.site], cell.hour] = cell.positives
        return n, positives

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and text; zeros are left out."""
        cells = [
            {
                "site": cell.site,
                "hour": cell.hour,
                "n": cell.n,
                "positives": {name: count for name, count in zip(self.classes, cell.positives) if count},
            }
            for cell in self.cells
        ]
        return {"classes": list(self.classes), "left_out": self.left_out, "cells": cells}

    @classmethod
    def from_json(cls, found: dict[str, Any], place: str = "prior") -> "Counts":
        """InputError, naming the place: what `to_json` does not write."""
        try:
            classes = tuple(map(str, found["classes"]))
            cells = []
            for cell in found["cells"]:
                heard = {str(name): float(count) for name, count in cell["positives"].items()}
                counts = tuple(heard.pop(name, 0.0) for name in classes)
                cells.append(Cell(str(cell["site"]), int(cell["hour"]), int(cell["n"]), counts))
                if heard:
                    raise ValueError(f"class {next(iter(heard))!r} is not among its classes")
                if not 0 <= cells[-1].hour < HOURS or not all(0 <= count <= cells[-1].n for count in counts):
                    raise ValueError(f"cell {cells[-1].site} {cells[-1].hour} h with impossible counts")
            if not cells or len({(cell.site, cell.hour) for cell in cells}) < len(cells):
                raise ValueError("no cell, or one twice")
            return cls(classes, tuple(cells), int(found["left_out"]))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise InputError(f"{place}: no table of sites and hours ({error}). Written by another program?") from error
