"""The atlas: backbones x data sets x taps x read-outs from finished sweeps, with an untrained control of each.

    RUN...  -> scored again from their stores -> taps.csv, scores.csv, cells.csv   what was measured
            -> `analysis.studies.atlas`       -> answers, distances, rules, ...    what it says
            -> `figures.comparisons.atlas`    -> the pictures

A folder of the first three tables does in place of the runs: the rest is made of them alone. The same stores, or
tables, give the same bytes.
"""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..analysis import readouts, transferability
from ..analysis.readout_ranking import rank_readouts
from ..analysis.runs import GAPS, Run, read_table
from ..analysis.scored_items import read_run
from ..analysis.studies import atlas as study
from ..features import InputError
from ..features.csv_files import write_csv
from ..features.files import sha256, write_json
from ..features.output_folder import Kind, OutputFolder
from ..features.progress import Log, Progress, listener
from ..features.schema import checked

MEASURED = ("cells", "taps", "scores")
MADE = ("answers", "distances", "regrets", "rules", "label_free", "controls")
FIGURES = ("curves", "depth", "rules", "controls")
FILES = (*(f"{name}.csv" for name in (*MEASURED, *MADE)), *(f"figures/{name}.png" for name in FIGURES), "index.json")
KIND = Kind("atlas", "an atlas", FILES, ("runs",), index="index.json")
SCORES = (
    *("backbone", "data", "control", "tap", "readout", "score", "lo", "hi", "corrected"),
    *("vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p_adjusted"),
)
TAPS = ("backbone", "data", "control", "tap", "position", "effective_rank", "logme", "macs")
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Atlas:
    """What atlas() wrote. cells: trained ones and controls. tables: by name, as in the folder."""

    path: Path
    cells: int
    controls: int
    tables: Tables

    def __repr__(self) -> str:
        return (
            f"{self.path}: {self.cells} cells, {self.controls} of them untrained controls; "
            f"{len(self.tables)} tables, {len(drawn(self.tables))} figures"
        )


@checked
def atlas(
    sources: Sequence[Path | str],
    output: Path | str,
    *,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Atlas:
    """Put finished sweeps of several backbones on several data sets together.

    Args:
        sources: run folders with their stores, each scored anew; or one folder of an atlas, whose measured tables are
            taken as they are. Sweeps of `randomise`d files are the controls of the same architecture.
        output: the folder to write: tables (CSV) and `figures/`.
        overwrite: replace an earlier atlas.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns:
        The tables.

    Raises:
        InputError: a folder that is neither; a run whose store no longer gives the scores in its table; two runs of one
            backbone on one data set; a control without its trained network.
    """
    from ..figures.comparisons import atlas as pictures
    from ..figures.style import save_png

    log = listener(log, progress)
    output, paths = Path(output), [Path(source) for source in sources]
    OutputFolder(output, KIND).check(overwrite)
    tables = read_tables(paths[0]) if is_atlas(paths) else score_runs(paths, progress, log)
    log("tables")
    tables |= summarise(tables)
    log("figures")
    with OutputFolder(output, KIND).replacing() as draft:
        for name, table in tables.items():
            write_csv(table, draft / f"{name}.csv", index=False)
        (draft / "figures").mkdir()
        for name in drawn(tables):
            save_png(getattr(pictures, name)(tables), draft / "figures" / f"{name}.png")
        write_index(draft, tables["cells"])
    cells = tables["cells"]
    return Atlas(output, len(cells), int(cells["control"].sum()), tables)


def drawn(tables: Tables) -> list[str]:
    """The figures that these tables fill: without a control beside its network there is no picture of controls."""
    return [name for name in FIGURES if name != "controls" or len(tables["controls"])]


def summarise(tables: Tables) -> Tables:
    """What the measured tables say, by the names of MADE."""
    cells, taps, scores = (tables[name] for name in MEASURED)
    found = study.answers(taps, scores, cells)
    cost = study.regrets(taps, scores)
    return {
        "answers": found,
        "distances": study.distances(found),
        "regrets": cost,
        "rules": study.rules(cost),
        "label_free": study.label_free(taps, scores),
        "controls": study.controls(scores, cells),
    }


def is_atlas(paths: Sequence[Path]) -> bool:
    """Whether this is one folder of measured tables."""
    return len(paths) == 1 and all((paths[0] / f"{name}.csv").is_file() for name in MEASURED)


def read_tables(folder: Path) -> Tables:
    """The measured tables of an atlas. InputError: a column that is not there."""
    wanted = {"scores": SCORES, "taps": TAPS}
    return {name: read_table(folder / f"{name}.csv", wanted.get(name, ()), na_values=GAPS) for name in MEASURED}


def score_runs(paths: Sequence[Path], progress: bool, log: Callable[[str], None]) -> Tables:
    """The measured tables of some runs, each scored anew from its store."""
    if not paths:
        raise InputError("atlas: at least one finished sweep wanted, got none.")
    named = name_runs([Run(path) for path in paths])
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in MEASURED}
    with Progress("scoring", len(named), "runs", wanted=progress) as bar:
        for key, run in named.items():
            log(f"scoring {run.folder}")
            for name, table in score_run(run).items():
                cell = pd.DataFrame({column: [value] * len(table) for column, value in zip(study.CELL, key)})
                found[name].append(cell.join(table))
            bar.advance(note=run.folder.name)
    tables = {name: pd.concat(parts, ignore_index=True).round(study.DIGITS) for name, parts in found.items()}
    known = {(name, where): far for name, entry in backbones().items() for where, far in entry["distance"].items()}
    places = zip(tables["cells"]["backbone"], tables["cells"]["data"])
    tables["cells"].insert(3, "distance", [known.get(place, "unknown") for place in places])
    return tables


def name_runs(runs: Sequence[Run]) -> dict[tuple[str, str, bool], Run]:
    """(backbone, data, control) -> run, trained cells first. A control is called as what has its taps is called."""
    about = {entry["file"]: name for name, entry in backbones().items()}
    data = {id(run): Path(run.config["audio"]["path"]).name for run in runs}
    trained: dict[str, str] = {}
    named: dict[tuple[str, str, bool], Run] = {}
    for run in sorted(runs, key=is_control):
        stem, graph = run.model_name, repr(run.architecture["blocks"])
        if is_control(run):
            if graph not in trained:
                raise InputError(
                    f"{run.folder}: an untrained control, but no run of the trained network is among these."
                )
            name = trained[graph]
        else:
            name = trained[graph] = about.get(stem, stem)
        key = (name, data[id(run)], is_control(run))
        if key in named:
            raise InputError(f"{run.folder}, {named[key].folder}: two runs of {key[0]} on {key[1]}. Give one of them.")
        named[key] = run
    known = backbones()
    order = {(name, where): (i, j) for i, name in enumerate(known) for j, where in enumerate(known[name]["distance"])}
    last = (len(known), 0)
    return {key: named[key] for key in sorted(named, key=lambda key: (key[2], *order.get(key[:2], last)))}


def is_control(run: Run) -> bool:
    return run.config["model"].get("random_weights") is not None


def score_run(run: Run) -> Tables:
    """The measured tables of one run, without its name. InputError: its store gives other scores than its table."""
    probed, names = read_run(run.folder), list(dict.fromkeys(run.readouts["readout"]))
    names = [name for name in names if name != readouts.ATTENTIVE]  # it reads maps
    classes, codes = np.unique(probed.labels, return_inverse=True)
    targets = codes[:, None] == np.arange(len(classes))
    scores: dict[tuple[str, str], np.ndarray] = {}
    for tap, x in probed.features.items():
        found = readouts.out_of_fold_all(names, x, targets, probed.folds, probed.k)
        scores |= {(tap, name): found[name] for name in names}
    n_folds = len(np.unique(probed.folds))
    table = rank_readouts(scores, targets, probed.groups, run.reference, n_folds=n_folds).table
    check_same(run, table)
    taps = pd.DataFrame(
        {
            "tap": list(probed.features),
            "position": range(len(probed.features)),
            "effective_rank": [transferability.effective_rank(x) for x in probed.features.values()],
            "logme": [transferability.logme(x, probed.labels) for x in probed.features.values()],
            "macs": [run.macs(tap) for tap in probed.features],
        }
    )
    cell = {
        "n": len(codes),
        "groups": len(np.unique(probed.groups)),
        "classes": len(classes),
        "unit": probed.unit,
        "folds": n_folds,
        "chance": np.bincount(codes).max() / len(codes),
    }
    return {"cells": pd.DataFrame([cell]), "taps": taps, "scores": table[list(SCORES[3:])]}


def check_same(run: Run, table: pd.DataFrame) -> None:
    """InputError: other scores than those that the sweep wrote."""
    key = ["tap", "readout"]
    wrote = run.readouts.set_index(key)["score"]
    differ = (table.set_index(key)["score"] - wrote.reindex(table.set_index(key).index)).abs()
    if not differ.max() <= 0.005:  # a row may fall to another class in the last bit of another processor
        where = table[key].iloc[int(differ.to_numpy().argmax())]
        raise InputError(f"{run.folder}: {' by '.join(where)} scores otherwise than in readouts.csv. Another store?")


@lru_cache(maxsize=1)
def backbones() -> dict[str, dict[str, Any]]:
    """What is known of the published atlas's backbones, `atlas.toml`: file, title, trained_on, distance."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def write_index(folder: Path, cells: pd.DataFrame) -> None:
    """Whose folder it is, and of which runs."""
    names = [f"{row.backbone}-{row.data}{'-control' if row.control else ''}" for row in cells.itertuples()]
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*.*"))}
    write_json(folder / KIND.index, {"runs": names, "files": files}, indent=1)
