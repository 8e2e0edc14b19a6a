"""What is ranked: clips (the mean over their windows) or single windows, and the finished sweep they are read from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features import InputError
from ..features.files import check_run, read_json
from ..features.store import FeatureStore
from .runs import read_table

_COLUMNS = ("clip", "file", "label", "group", "fold")


@dataclass(frozen=True)
class Units:
    """The rows that are ranked: clips (mean over their windows) or single windows.

    `table` has one row a unit: clip, file, start_s, end_s, label, group, fold; `rows` [rows of the store] is each row's
    unit, ascending because a store keeps the rows of a clip together.
    """

    table: pd.DataFrame
    rows: np.ndarray

    def vectors(self, features: np.ndarray) -> np.ndarray:
        """[rows, dims] or maps [rows, dims, ...] of a store -> float32 [units, dims].

        The mean over the positions of a map and over a unit's rows.
        """
        if features.ndim > 2:
            features = features.mean(axis=tuple(range(2, features.ndim)), dtype=np.float64).astype(np.float32)
        return self._means(features)

    def maps(self, features: np.ndarray) -> np.ndarray:
        """Maps [rows, dims, ...] of a store -> float32 [units, positions, dims]: the mean over a unit's rows.

        A vector [rows, dims] is a map of one position.
        """
        dims = features.shape[1]
        flat = self._means(features.reshape(len(features), -1))
        return np.ascontiguousarray(flat.reshape(len(self.table), dims, -1).transpose(0, 2, 1))

    def _means(self, flat: np.ndarray) -> np.ndarray:
        """[rows, d] -> float32 [units, d], the mean over a unit's rows."""
        if len(self.table) == len(flat):
            return flat.astype(np.float32, copy=False)
        counts = np.bincount(self.rows)
        if np.all(counts == counts[0]):  # the same sums in the same order, in a fifth of the time
            sums = flat.reshape(len(counts), counts[0], -1).sum(axis=1, dtype=np.float64)
        else:
            first = np.cumsum(counts) - counts  # where each unit's rows begin
            sums = np.add.reduceat(flat, first, axis=0, dtype=np.float64)
        return (sums / counts[:, None]).astype(np.float32)


def make_units(rows: pd.DataFrame, clips: pd.DataFrame, unit: str) -> Units:
    """Rows of the store -> what is ranked. Label, group and fold come from `clips`, so that all agree on one split."""
    if unit == "clip":
        ids, of_row = np.unique(rows["clip"].to_numpy(), return_inverse=True)
        spans = rows.groupby("clip").agg(file=("file", "first"), start_s=("start_s", "min"), end_s=("end_s", "max"))
        table = spans.loc[ids].reset_index(names="clip")
    else:
        of_row = np.arange(len(rows))
        table = rows[["clip", "file", "start_s", "end_s"]].reset_index(drop=True)
    return Units(table.join(clips, on="clip"), of_row)


@dataclass(frozen=True, eq=False)
class Probed:
    """A finished sweep as arrays: what the k-NN probe read, and how.

    features: tap -> float32 [units, dims], in graph order; table: one row a unit with label (str), group (str), fold;
    grouping: where groups come from, in words ("none": every clip stands alone); unit: "clip" or "window".
    """

    features: dict[str, np.ndarray]
    table: pd.DataFrame
    k: int
    metric: str
    unit: str
    grouping: str

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    @property
    def groups(self) -> np.ndarray:
        return self.table["group"].to_numpy()

    @property
    def folds(self) -> np.ndarray:
        return self.table["fold"].to_numpy()

    @property
    def how(self) -> dict[str, Any]:
        """k, metric, unit and grouping, as studies of the run take them."""
        return {"k": self.k, "metric": self.metric, "unit": self.unit, "grouping": self.grouping}


def read_run(run: Path | str) -> Probed:
    """The vectors, labels, groups and folds that a sweep ranked, from the files of its folder.

    InputError: a folder that is no finished sweep, or features.h5 and predictions.csv that are of different clips.
    """
    run = Path(run)
    check_run(run, "sweep", "config.json", "predictions.csv", "features.h5")
    config = read_json(run / "config.json", {"settings": {"k": int, "metric": str, "unit": str}, "grouping?": str})
    k, metric, unit = (config["settings"][name] for name in ("k", "metric", "unit"))
    text = {name: str for name in _COLUMNS if name not in ("clip", "fold")}
    table = read_table(run / "predictions.csv", _COLUMNS, dtype=text)
    if wrong := [name for name in ("clip", "fold") if not pd.api.types.is_integer_dtype(table[name])]:
        raise InputError(f"{run / 'predictions.csv'}: {wrong[0]} is not a number in every row. Was the table edited?")
    with FeatureStore.open(run / "features.h5") as store:
        rows = store.rows()
        clips = table.drop_duplicates("clip").set_index("clip")[["label", "group", "fold"]]
        clips = clips.join(rows.drop_duplicates("clip").set_index("clip")["labels"])
        units = make_units(rows.drop(columns=["label", "labels", "group", "fold"]), clips, unit)
        if len(units.table) != len(table) or units.table["label"].isna().any():
            raise InputError(
                f"{run}: {len(units.table)} {unit}s in features.h5, {len(table)} in predictions.csv. "
                "Was the sweep run again and cut off?"
            )
        features = {tap: units.vectors(store.read(tap)) for tap in store.taps}
    return Probed(features, units.table, k, metric, unit, config.get("grouping", "none"))
