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
from ....features.spelling import counted
from ....features.store import FeatureStore
from ..items import multi_hot
from ..result import SweepResult
from ..score import last_before_classifier
from .stores import read_store

Run = Path | str | SweepResult


@dataclass(frozen=True, eq=False)
class Source:
    """A run as it was read: its folder, or the store. config: what config.json says. probed: its items.

    labels: of each item all labels, the primary one first, and the hash of its audio.
    """

    path: Path
    config: dict
    probed: Probed
    labels: pd.DataFrame

    @property
    def unit(self) -> str:
        return self.probed.unit


@dataclass(frozen=True, eq=False)
class ComparedModel(Source):
    """One run of a comparison.

    name: unique among the runs. rows: int [n], which of its items are compared, in the order of the first run; labels
    are theirs. left_out: how many are not, since another run lacks them.
    """

    name: str
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
        return self.first.unit


def pair_runs(runs: Sequence[Run]) -> PairedRuns:
    """Read finished sweeps, after the first also stores, and keep the items that all of them ranked.

    Clips are paired by file name and group, and by start where a file holds several; windows by start too. Group,
    label and fold are those of the first run. InputError: fewer than two runs, one twice, no finished sweep, clips with
    windows, windows of different lengths, labels that disagree, no item in common.
    """
    paths = paths_of(runs)
    if len(paths) < 2:
        raise InputError(f"compare: {counted(len(paths), 'run')} found, at least two wanted.")
    read = Counter((path / "features.h5" if path.is_dir() else path).resolve() for path in paths)
    if twice := next((path for path, n in read.items() if n > 1), None):
        raise InputError(f"{twice}: the same run is given twice (a run's own store is the run), different ones wanted.")
    sources, told = read_all(paths)
    check_units(sources)
    rows = common_rows(sources)
    models = tuple(
        ComparedModel(one.path, one.config, one.probed, one.labels.iloc[kept].reset_index(drop=True), name, kept)
        for one, kept, name in zip(sources, rows, unique_names(sources), strict=True)
    )
    table = sources[0].probed.table.iloc[rows[0]].reset_index(drop=True)
    check_labels(models, table)
    classes = tuple(sorted(set(table["label"])))
    targets = multi_hot(list(models[0].labels["labels"]), classes)
    return PairedRuns(models, table, targets, classes, (*told, *warnings_of(models)))


def paths_of(runs: Sequence[Run]) -> list[Path]:
    """Where the runs are. InputError: one that is neither a sweep nor a path."""
    if odd := [run for run in runs if not isinstance(run, str | Path | SweepResult)]:
        raise InputError(f"`runs` must be sweeps or paths, got {type(odd[0]).__name__}.")
    return [run.path if isinstance(run, SweepResult) else Path(run) for run in runs]


def read_all(paths: Sequence[Path]) -> tuple[list[Source], list[str]]:
    """The runs, and warnings; stores are read as the first run's items."""
    if paths[0].is_file():
        raise InputError(
            f"{paths[0]}: a file, wanted the folder of a sweep first: clips, labels and folds are its. "
            "`birdprobe store rank` ranks stores alone."
        )
    found: list[Source] = []
    told: list[str] = []
    for path in paths:
        if path.is_file():
            first = found[0]
            config, items, labels, warning = read_store(path, first.path, first.probed, first.labels)
            config["score"] = first.config.get("score", "top1")
            found.append(Source(path, config, items, labels))
            told += [warning] if warning else []
        else:
            config, items = SweepResult(path).config, read_run(path)
            found.append(Source(path, config, items, labels_of(path, items)))
    return found, told


def check_units(sources: Sequence[Source]) -> None:
    """Refuse to pair clips with windows, or windows of different lengths."""
    first = sources[0]
    for one in sources[1:]:
        if one.unit != first.unit:
            raise InputError(
                f"{one.path}: {one.unit}s are ranked, {first.unit}s in {first.path}; the same unit wanted. "
                f"Sweep again with --unit {first.unit}?"
            )
        length, wanted = (source.config["model"].get("window_s") for source in (one, first))
        if one.unit == "window" and one.path.is_dir() and length != wanted:
            raise InputError(
                f"{one.path}: windows of {length} s are ranked, of {wanted} s in {first.path}; equal ones wanted. "
                "Sweep both with --unit clip?"
            )


def common_rows(sources: Sequence[Source]) -> list[np.ndarray]:
    """Of each run the rows that all have, in the order of the first."""
    first, unit = sources[0], sources[0].unit
    with_start = unit == "window" or any(one.probed.table["file"].duplicated().any() for one in sources)
    indices = []
    for one in sources:
        table = one.probed.table
        parts = [table["file"], table["group"].astype(str)]
        index = pd.MultiIndex.from_arrays([*parts, table["start_s"].round(3)] if with_start else parts)
        if not index.is_unique:
            name = index[index.duplicated()][0][0]
            raise InputError(f"{one.path}: {name} is there twice with one start and group, so it cannot be paired.")
        indices.append(index)
    common = indices[0]
    for index in indices[1:]:
        common = common[common.isin(index)]
    if not len(common):
        grouping = " and ".join(dict.fromkeys(repr(one.probed.grouping) for one in sources))
        raise InputError(
            f"{sources[1].path}: no {unit} in common with {first.path}, by file name and group "
            f"(grouped by {grouping}). "
            "Are they runs on the same folder with the same --group-regex?"
        )
    return [index.get_indexer(common) for index in indices]


def labels_of(path: Path, probed: Probed) -> pd.DataFrame:
    """See `Source.labels`."""
    with FeatureStore.open(path / "features.h5") as store:
        rows = store.rows().drop_duplicates("clip").set_index("clip").loc[probed.table["clip"]]
    primary = probed.table["label"].astype(str)
    every = [tuple(text.split(";")) for text in rows["labels"].astype(str)]
    labels = [names if names[0] == name else (name,) for names, name in zip(every, primary)]
    return pd.DataFrame({"labels": labels, "sha256": rows["sha256"].to_numpy()})


def check_labels(models: Sequence[ComparedModel], table: pd.DataFrame) -> None:
    """Refuse runs that call the same clip by different labels."""
    first = models[0]
    for model in models[1:]:
        pairs = list(zip(model.labels["labels"], first.labels["labels"]))
        different = [i for i, (ours, theirs) in enumerate(pairs) if set(ours) != set(theirs)]
        if different:
            found, wanted = map(";".join, pairs[different[0]])
            raise InputError(
                f"{model.path}: {table['file'].iloc[different[0]]} is labelled {found!r}, in {first.path} {wanted!r} "
                f"({len(different)} of {len(table)} differ); the same labels wanted. Were they swept on different data?"
            )


def warnings_of(models: Sequence[ComparedModel]) -> tuple[str, ...]:
    """What was left out, and where the runs are less alike than they should be."""
    said = []
    first = models[0]
    for model in models:
        if model.left_out:
            said.append(
                f"{model.name}: {model.left_out} of {len(model.probed.table)} {first.unit}s left out, not in every run."
            )
        hashes = model.labels["sha256"]
        other = int((hashes.notna() & (hashes != first.labels["sha256"])).sum())
        if other:
            said.append(f"{model.name}: {other} {first.unit}s have the names of {first.name}'s, but other audio.")
        if model.probed.k != first.probed.k:
            said.append(f"{model.name}: swept with --k {model.probed.k}; compared with {first.probed.k} neighbours.")
    return tuple(said)


def unique_names(sources: Sequence[Source]) -> list[str]:
    """A name a run: the model's file name without its ending; of a model that is there twice, the run's folder."""
    stems = [Path(str(one.config["model"].get("path", one.path.name))).stem for one in sources]
    names: list[str] = []
    for stem, one in zip(stems, sources):
        name = wanted = one.path.resolve().name if stems.count(stem) > 1 else stem
        number = 2
        while name in names:
            name, number = f"{wanted} {number}", number + 1
        names.append(name)
    return names
