"""A run folder as the figures and the report read it: `config.json` and the tables beside it, checked once."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features import InputError
from ..features.csv_files import read_csv
from ..features.files import check_run, read_json

RANKING_COLUMNS = (
    *("tap", "index", "stage", "dim", "knn", "knn_lo", "knn_hi", "p_best", "vs_last", "vs_last_lo", "vs_last_hi"),
    *("vs_last_p", "linear", "logme", "ms_per_window"),
)
READOUT_COLUMNS = (
    *("tap", "readout", "score", "lo", "hi", "corrected", "p_best"),
    *("vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p", "vs_last_p_adjusted"),
)
CONTROL_COLUMNS = ("tap", "knn", "knn_lo", "knn_hi", "linear")
PREDICTION_COLUMNS = ("file", "label", "group", "fold")
_BLOCK = {"name": str, "index?": int, "kind?": str, "stage?": int, "channels?": int, "map?": list[int], "macs?": int}
# What config.json must say for a picture or a page to be made of it.
NEEDED = {
    "model": {
        "path?": str,
        "sha256?": str,
        "architecture": {"blocks": [_BLOCK], "stem?": _BLOCK, "embedding?": _BLOCK, "logits?": _BLOCK},
    },
    "answer": {"best": str, "reference": str, "chance": float, "tied?": list[str]},
    "conclusion?": {"metric?": str, "lines?": list[str], "parts?": dict[str, str]},
    "settings": {"k": int, "metric": str, "unit": str, "projection?": str},
    "folds": {"n": int, "description?": str},
    "audio": {"path?": str, "units": int, "groups": int, "classes": int, "clips?": int, "windows?": int},
    "grouping?": str,
}
ANSWER = {
    "sentence": str,
    "lines?": list[str],
    "training_free?": dict,
    "linear?": dict,
    "published?": dict,
    "agree?": bool,
}
GAPS = ["", "nan", "NaN"]  # in columns of numbers
PROJECTION_COLUMNS = ("tap", "item", "label", "x", "y")
WORDS = ("tap", "item", "label", "readout", "method", "stage")  # columns of text, or of numbers with gaps
# What an arm of an experiment is for, the last column of outcome.csv; "" where it is only compared with. A prior is
# "leaky" where it saw the labels of the windows that are scored, "honest" where it was learned from other folds.
NAIVE, GATED, RESIDUAL = "naive", "gated", "residual"
MODERATE_HONEST, MODERATE_LEAKY = "moderate-honest", "moderate-leaky"
TUNED_HONEST, TUNED_LEAKY = "tuned-honest", "tuned-leaky"
INNER, TIME, BLEND, LATE = "inner-blocks", "time", "blend", "late"  # what is new against the arm beside
SHOT_COLUMNS = ("tap", "readout", "shots", "score", "lo", "hi", "n_draws", "n_test", "n_classes")
PLANE_COLUMNS = ("tap", "knn", "knn_lo", "knn_hi", "silhouette", "silhouette_lo", "silhouette_hi", "method", "seeds")


@dataclass(frozen=True)
class Run:
    """A run folder. Tables are read when first asked for; InputError when a file is missing or not as it should be."""

    folder: Path

    @cached_property
    def config(self) -> dict:
        return read_json(self._need("config.json"), NEEDED)

    @cached_property
    def ranking(self) -> pd.DataFrame:
        """`ranking.csv`, one row a tap in graph order, indexed by tap."""
        table = self._table("ranking.csv", RANKING_COLUMNS)
        for tap in (self.best, self.reference):
            if tap not in set(table.tap):
                raise InputError(f"{self.folder / 'ranking.csv'}: no row for {tap}, which config.json names")
        if (twice := table.tap[table.tap.duplicated()]).size:
            raise InputError(f"{self.folder / 'ranking.csv'}: tap {twice.iloc[0]} is there twice. Edited by hand?")
        return table.set_index("tap", drop=False)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """`predictions.csv`, one row a clip or window: true label and, per tap, the label predicted out of fold."""
        return self._table("predictions.csv", (*PREDICTION_COLUMNS, *self.ranking.tap), text=True)

    @cached_property
    def readouts(self) -> pd.DataFrame:
        """`readouts.csv`, one row a tap and read-out; runs of the first edition have none."""
        return self._table("readouts.csv", READOUT_COLUMNS)

    @cached_property
    def control(self) -> pd.DataFrame | None:
        """`control.csv`, one row a tap of the same network with random weights; None where there was no control."""
        return self._table("control.csv", CONTROL_COLUMNS) if (self.folder / "control.csv").is_file() else None

    @property
    def has_readouts(self) -> bool:
        """Whether the run ranked more than the published read-out."""
        return (self.folder / "readouts.csv").is_file()

    @cached_property
    def projection(self) -> pd.DataFrame:
        """`projection.csv`: x, y of every item at the last blocks, all in one joint space."""
        return self._points("projection.csv")

    @cached_property
    def planes(self) -> pd.DataFrame:
        """`planes.csv`: x, y of every item at each tap, every tap in a plane of its own."""
        return self._points("planes.csv")

    @cached_property
    def plane_scores(self) -> pd.DataFrame:
        """`plane_scores.csv`: one row a tap, what is left of the labels in its plane."""
        return self._table("plane_scores.csv", PLANE_COLUMNS)

    @cached_property
    def shots(self) -> pd.DataFrame:
        """`shots.csv`: one row a tap, read-out and number of training clips a class."""
        return self._table("shots.csv", SHOT_COLUMNS)

    @cached_property
    def cka(self) -> pd.DataFrame:
        """`cka.csv`: linear CKA between taps, [taps, taps]."""
        table = self._table("cka.csv", ("tap",)).set_index("tap")
        if list(table.columns) != list(table.index):
            raise InputError(
                f"{self.folder / 'cka.csv'}: rows and columns differ; expected the same taps on both sides."
            )
        if not all(map(pd.api.types.is_any_real_numeric_dtype, table.dtypes)):
            raise InputError(f"{self.folder / 'cka.csv'}: something else than numbers in it. Was it edited by hand?")
        return table

    @property
    def model_name(self) -> str:
        """The model file's name, without its ending."""
        return Path(self.config["model"]["path"]).stem

    @property
    def architecture(self) -> dict:
        return self.config["model"]["architecture"]

    def macs(self, tap: str) -> float:
        """Multiply-accumulates of a window up to a tap; nan where the run does not tell."""
        return float(block_of(self.config, tap).get("macs") or np.nan)

    @property
    def answer(self) -> dict:
        return self.config["answer"]

    @property
    def best(self) -> str:
        return self.answer["best"]

    @property
    def reference(self) -> str:
        return self.answer["reference"]

    @property
    def tied(self) -> tuple[str, ...]:
        """Taps that the data cannot tell from the best, the best left out."""
        return tuple(tap for tap in self.answer.get("tied", ()) if tap != self.best)

    @property
    def neighbours(self) -> str:
        """The probe's name, "5-NN"."""
        return f"{self.config['settings']['k']}-NN"

    @property
    def n_classes(self) -> int:
        return int(self.config["audio"]["classes"])

    @property
    def n_units(self) -> int:
        return int(self.config["audio"]["units"])

    @property
    def unit(self) -> str:
        return {"window": "windows"}.get(self.config["settings"]["unit"], "clips")

    @property
    def n_groups(self) -> int | None:
        """Groups of clips that were never split, or None when no grouping was known."""
        return None if self.config.get("grouping", "none") == "none" else int(self.config["audio"]["groups"])

    @property
    def chance(self) -> float:
        """Accuracy of always naming the largest class; 1 / classes when they are balanced."""
        return float(self.answer["chance"])

    @property
    def counted(self) -> str:
        """What every accuracy of this run was measured on and how: "400 clips in 367 groups, 10 classes; 5-NN, ..."."""
        settings = self.config["settings"]
        groups = f" in {self.n_groups:,} groups" if self.n_groups else ""
        metric = {"euclidean": "Euclidean"}.get(settings["metric"], settings["metric"])
        counts = f"{self.n_units:,} {self.unit}{groups}, {self.n_classes} classes"
        return f"{counts}; {self.neighbours}, {metric} distance"

    @property
    def has_paths(self) -> bool:
        """Whether the run followed its items through two taps or more."""
        return (self.folder / "projection.csv").is_file() and self.projection.tap.nunique() > 1

    def _need(self, name: str) -> Path:
        check_run(self.folder, "sweep", name)
        return self.folder / name

    def _points(self, name: str) -> pd.DataFrame:
        table = self._table(name, PROJECTION_COLUMNS)
        if not np.isfinite(table[["x", "y"]].to_numpy(dtype=float)).all():
            raise InputError(f"{self.folder / name}: x or y is missing or infinite in some rows. Edited by hand?")
        return table

    def _table(self, name: str, columns: tuple[str, ...], text: bool = False) -> pd.DataFrame:
        path = self._need(name)
        kinds = str if text else {"label": str, "item": str, "tap": str}
        table = read_table(path, columns, dtype=kinds, na_values=None if text else GAPS)
        if table.empty:
            raise InputError(f"{path}: no rows. Was the sweep cut off?")
        for column in [name for name in ("tap", "readout") if name in columns]:
            if table[column].isna().any():
                raise InputError(f"{path}: a row without a {column}. Was it edited by hand?")
        for column in () if text else [name for name in columns if name not in WORDS]:
            if not pd.api.types.is_any_real_numeric_dtype(table[column]):
                raise InputError(f"{path}: column {column} holds something else than numbers. Was it edited by hand?")
        return table


def read_table(path: Path, columns: Collection[str], **options: Any) -> pd.DataFrame:
    """A CSV of a run; labels such as "NA" are names, not gaps. options: of `pandas.read_csv`.

    InputError: not there, no table, or without one of its columns.
    """
    try:
        table = read_csv(path, keep_default_na=False, **options)
    except (OSError, ValueError) as fault:
        cause = getattr(fault, "strerror", None) or fault
        raise InputError(f"{path}: not a CSV table ({cause}). Was the run cut off?") from None
    if missing := [name for name in columns if name not in table]:
        raise InputError(f"{path}: lacks column {', '.join(missing)}. Was it written by another version?")
    return table


def block_of(config: dict, tap: str) -> dict:
    """What the block table of a sweep's `config.json` tells of a tap: index, stage, macs, ...; {} where it has none."""
    table = config["model"]["architecture"]
    rows = [*table["blocks"], *(table[key] for key in ("stem", "embedding", "logits") if table.get(key))]
    return next((row for row in rows if row["name"] in (tap, tap.partition("/")[0])), {})
