"""Finished sweeps brought together: the clips that all of them ranked, in one order, under one name a model."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ....analysis.runs import block_of
from ....analysis.scored_items import Probed, read_run
from ....features import InputError
from ....features.store import FeatureStore
from ..items import multi_hot
from ..result import SweepResult
from ..score import last_before_classifier
from .stores import read_store

Run = Path | str | SweepResult


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One run of a comparison.

    name: unique among the runs. run: its folder. config: its config.json. probed: its vectors. rows: int [n], which of
    its items are compared, in the order of the first run. left_out: how many are not, since another run lacks them.
    """

    name: str
    run: Path
    config: dict
    probed: Probed
    rows: np.ndarray

    @property
    def taps(self) -> tuple[str, ...]:
        """Its taps, in graph order."""
        return tuple(self.probed.features)

    @property
    def reference(self) -> str:
        """Its own last tap before the classifier."""
        told = self.config.get("answer", {}).get("reference")
        return told if told in self.taps else last_before_classifier(self.taps)

    @property
    def window_s(self) -> float:
        """Seconds that a forward pass reads; nan where the run does not say."""
        return float(self.config["model"].get("window_s", "nan"))

    @property
    def left_out(self) -> int:
        return len(self.probed.table) - len(self.rows)

    def vectors(self, tap: str) -> np.ndarray:
        """float32 [n, d] of the compared items at a tap."""
        return self.probed.features[tap][self.rows]

    def block(self, tap: str) -> dict:
        """See `analysis.runs.block_of`."""
        return block_of(self.config, tap)


@dataclass(frozen=True, eq=False)
class PairedRuns:
    """Runs on the same items.

    models: in the order given. table: the items as the first run has them: file, start_s, label, group, fold. targets:
    bool [n, K]. classes: names of the K columns. warnings: what the reader should know.
    """

    models: tuple[ComparedModel, ...]
    table: pd.DataFrame
    targets: np.ndarray
    classes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def first(self) -> ComparedModel:
        """The run whose folds and neighbours are used for all."""
        return self.models[0]

    @property
    def unit(self) -> str:
        return self.first.probed.unit


def pair_runs(runs: Sequence[Run]) -> PairedRuns:
    """Read finished sweeps and keep the items that all of them ranked.

    Clips are paired by file name and group, and by start where a file holds several; windows by start too. Group,
    label and fold are those of the first run.

    Args:
        runs: folders of finished sweeps, or sweeps; after the first also stores, see `stores.read_store`.

    Raises:
        InputError: fewer than two runs, one twice, no finished sweep, clips with windows, windows of different lengths,
            labels that disagree, no item in common.
    """
    paths = [run.path if isinstance(run, SweepResult) else Path(run) for run in runs]
    if len(paths) < 2:
        raise InputError(f"compare: {len(paths)} run found, at least two wanted.")
    if len({path.resolve() for path in paths}) < len(paths):
        twice = next(path for path, n in Counter(p.resolve() for p in paths).items() if n > 1)
        raise InputError(f"{twice}: the same run is given twice, different ones wanted.")
    configs, probed, labels, told = read_all(paths)
    check_units(paths, configs, probed)
    rows = common_rows(paths, probed)
    labels = [one.iloc[kept].reset_index(drop=True) for one, kept in zip(labels, rows)]
    table = probed[0].table.iloc[rows[0]].reset_index(drop=True)
    check_labels(paths, labels, table)
    models = tuple(
        ComparedModel(*parts) for parts in zip(unique_names(paths, configs), paths, configs, probed, rows, strict=True)
    )
    classes = tuple(sorted(set(table["label"])))
    return PairedRuns(
        models, table, multi_hot(list(labels[0]["labels"]), classes), classes, (*told, *warnings_of(models, labels))
    )


def read_all(paths: Sequence[Path]) -> tuple[list[dict], list[Probed], list[pd.DataFrame], list[str]]:
    """(config, items, labels of the items) of every run, and warnings; stores are read as the first run's items."""
    if paths[0].is_file():
        raise InputError(
            f"{paths[0]}: a file, wanted the folder of a sweep first: clips, labels and folds are its. "
            "`birdprobe store rank` ranks stores alone."
        )
    configs: list[dict] = []
    probed: list[Probed] = []
    labels: list[pd.DataFrame] = []
    told: list[str] = []
    for path in paths:
        if path.is_file():
            config, one, names, warning = read_store(path, paths[0], probed[0], labels[0])
            config["score"] = configs[0].get("score", "top1")
            told += [warning] if warning else []
        else:
            config, one = SweepResult(path).config, read_run(path)
            names = labels_of(path, one)
        configs.append(config)
        probed.append(one)
        labels.append(names)
    return configs, probed, labels, told


def check_units(paths: Sequence[Path], configs: Sequence[dict], probed: Sequence[Probed]) -> None:
    """Refuse to pair clips with windows, or windows of different lengths."""
    for path, config, one in zip(paths[1:], configs[1:], probed[1:]):
        if one.unit != probed[0].unit:
            raise InputError(
                f"{path}: {one.unit}s are ranked, {probed[0].unit}s in {paths[0]}; the same unit wanted. "
                f"Sweep again with --unit {probed[0].unit}?"
            )
        lengths = config["model"].get("window_s"), configs[0]["model"].get("window_s")
        if one.unit == "window" and path.is_dir() and lengths[0] != lengths[1]:
            raise InputError(
                f"{path}: windows of {lengths[0]} s are ranked, of {lengths[1]} s in {paths[0]}; equal ones wanted. "
                "Sweep both with --unit clip?"
            )


def common_rows(paths: Sequence[Path], probed: Sequence[Probed]) -> list[np.ndarray]:
    """Of each run the rows that all have, in the order of the first."""
    tables = [one.table for one in probed]
    with_start = probed[0].unit == "window" or any(table["file"].duplicated().any() for table in tables)
    indices = []
    for path, table in zip(paths, tables):
        parts = [table["file"], table["group"].astype(str)]
        index = pd.MultiIndex.from_arrays([*parts, table["start_s"].round(3)] if with_start else parts)
        if not index.is_unique:
            name = index[index.duplicated()][0][0]
            raise InputError(f"{path}: {name} is there twice with one start and group, so it cannot be paired.")
        indices.append(index)
    common = indices[0]
    for index in indices[1:]:
        common = common[common.isin(index)]
    if not len(common):
        grouping = " and ".join(dict.fromkeys(repr(one.grouping) for one in probed))
        raise InputError(
            f"{paths[1]}: no {probed[0].unit} in common with {paths[0]}, by file name and group "
            f"(grouped by {grouping}). "
            "Are they runs on the same folder with the same --group-regex?"
        )
    return [index.get_indexer(common) for index in indices]


def labels_of(path: Path, probed: Probed) -> pd.DataFrame:
    """Every item's file, labels (all of them, the primary one first) and the hash of its audio."""
    with FeatureStore.open(path / "features.h5") as store:
        rows = store.rows().drop_duplicates("clip").set_index("clip").loc[probed.table["clip"]]
    primary = probed.table["label"].astype(str)
    every = [tuple(text.split(";")) for text in rows["labels"].astype(str)]
    labels = [names if names[0] == name else (name,) for names, name in zip(every, primary)]
    return pd.DataFrame({"labels": labels, "sha256": rows["sha256"].to_numpy()})


def check_labels(paths: Sequence[Path], labels: Sequence[pd.DataFrame], table: pd.DataFrame) -> None:
    """Refuse runs that call the same clip by different labels."""
    for path, one in zip(paths[1:], labels[1:]):
        different = [i for i, (a, b) in enumerate(zip(one["labels"], labels[0]["labels"])) if set(a) != set(b)]
        if different:
            i = different[0]
            found, wanted = (";".join(part["labels"].iloc[i]) for part in (one, labels[0]))
            raise InputError(
                f"{path}: {table['file'].iloc[i]} is labelled {found!r}, in {paths[0]} {wanted!r} "
                f"({len(different)} of {len(table)} differ); the same labels wanted. Were they swept on different data?"
            )


def warnings_of(models: Sequence[ComparedModel], labels: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """What was left out, and where the runs are less alike than they should be."""
    said = []
    unit = models[0].probed.unit
    for model, one in zip(models, labels):
        if model.left_out:
            said.append(
                f"{model.name}: {model.left_out} of {len(model.probed.table)} {unit}s left out, not in every run."
            )
        other = int((one["sha256"].notna() & (one["sha256"] != labels[0]["sha256"])).sum())
        if other:
            said.append(f"{model.name}: {other} {unit}s have the names of {models[0].name}'s, but other audio.")
        if model.probed.k != models[0].probed.k:
            said.append(
                f"{model.name}: swept with --k {model.probed.k}; compared with {models[0].probed.k} neighbours."
            )
    return tuple(said)


def unique_names(paths: Sequence[Path], configs: Sequence[dict]) -> list[str]:
    """A name a run: the model's file name without its ending; of a model that is there twice, the run's folder."""
    stems = [Path(str(config["model"].get("path", path.name))).stem for path, config in zip(paths, configs)]
    shared = {stem for stem, n in Counter(stems).items() if n > 1}
    names: list[str] = []
    for stem, path in zip(stems, paths):
        name = wanted = path.resolve().name if stem in shared else stem
        number = 2
        while name in names:
            name, number = f"{wanted} {number}", number + 1
        names.append(name)
    return names
