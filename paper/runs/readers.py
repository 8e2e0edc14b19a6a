"""One run of each kind, read whole through the readers of the packages above which this one stands.

Each record's `of(path)` raises InputError for a run that is not whole.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ...analysis import runs
from ...analysis.predictions import comparison
from ...analysis.runs import Run
from ...features.files import check_file, read_json
from ...figures.predictions import agreement, experiments

# Arms as experiments named them before outcome.csv had a column `role`; of priors: (moderate, tuned).
OLD_ARMS = {"naive student": runs.NAIVE, "gated student": runs.GATED}
OLD_PRIORS = {
    "prior of other folds": (runs.MODERATE_HONEST, runs.TUNED_HONEST),
    "prior saw the windows": (runs.MODERATE_LEAKY, runs.TUNED_LEAKY),
}
BEFORE_PRIORS = "as predicted"
CONFIG, COMPARED = "config.json", "comparison.csv"
SCORES = (
    *("head", "source", "unit", "fold", "n", "accuracy", "acc_lo", "acc_hi"),
    *("macro_auc", "auc_lo", "auc_hi", "cmap", "n_scored", "parameters"),
)
GAINS = ("accuracy", "macro_auc")
DIFFERENCES = ("head", "baseline", *(f"{name}{end}" for name in GAINS for end in ("", "_lo", "_hi")))
SELECTION = ("step", "tap", *(f"{name}{end}" for name in ("score", "gain", "nested") for end in ("", "_lo", "_hi")))
LOG = ("epoch", "step", "lr", "loss", "macro_auc", "cmap", "accuracy", "seconds", "clips_per_s")
TEXT = dict.fromkeys(
    ("head", "baseline", "source", "unit", "fold", "tap", "arm", "against", "role"), str
)  # never numbers
# A file's stem -> the model's name. A preset is no name: it tells a contract, which stand-ins share.
MODELS = {"BirdNET_GLOBAL_6K_V2.4": "BirdNET V2.4", "wren": "Wren"}
PERCH_V2 = (  # sha256 of the two published ONNX files
    "bf0c8467a924cb074663970ca4a0ab1e143602121930209657d0dff5d5cefa1f",
    "4dcf71c18a147198545944bb5149697e89e3ad2e16637fa8f0edf6d13035a017",
)


@dataclass(frozen=True, eq=False)
class Recorded:
    """A run. path: its folder, of a comparison its CSV. config: its config.json; {} where a comparison has none."""

    name: str
    path: Path
    config: dict


@dataclass(frozen=True, eq=False)
class Sweep(Recorded):
    """ranking: ranking.csv indexed by tap, in graph order. run: predictions, counts, the answer. store: its features,
    None where they were removed."""

    ranking: pd.DataFrame
    run: Run
    store: Path | None

    @classmethod
    def of(cls, path: Path) -> "Sweep":
        run, store = Run(path), path / "features.h5"
        return cls(path.resolve().name, path, run.config, run.ranking, run, store if store.is_file() else None)

    @property
    def model(self) -> str:
        """The backbone's name; the file's stem where it is not one that we know."""
        stem = Path(self.config["model"]["path"]).stem
        return "Perch v2" if self.is_perch_v2 else MODELS.get(stem, stem)

    @property
    def data(self) -> str:
        """The name of the audio's folder or table."""
        return Path(self.config["audio"]["path"]).stem

    @property
    def is_perch_v2(self) -> bool:
        """Whether the model is one of the published files of Perch v2, not only one of its contract."""
        return self.config["model"]["sha256"] in PERCH_V2

    @property
    def blocks(self) -> pd.DataFrame:
        """The ranking's blocks alone, with `depth` in 0..1: index over that of the model's last block."""
        rows = self.ranking[self.ranking["index"].notna()]
        return rows.assign(depth=rows["index"].astype(float) / max(len(self.run.architecture["blocks"]) - 1, 1))


@dataclass(frozen=True, eq=False)
class Heads(Recorded):
    """A run of heads. weights: head, fold, tap, weight. tap_scores, agreement: probe against heads; selection: of taps
    `auto:N`; these are None where the run has none. oof: head -> its out-of-fold table; truth: what they are scored
    against."""

    scores: pd.DataFrame
    differences: pd.DataFrame
    weights: pd.DataFrame
    tap_scores: pd.DataFrame | None
    agreement: pd.DataFrame | None
    selection: pd.DataFrame | None
    oof: dict[str, Path]
    truth: Path | None

    @classmethod
    def of(cls, path: Path) -> "Heads":
        config = configuration(path / CONFIG, ("heads", "scored", "labels", "settings"))
        oof = {one.stem: one for one in sorted((path / "oof").glob("*.csv"))}
        probed = agreement.has_data(path)
        return cls(
            path.resolve().name,
            path,
            config,
            table(path / "scores.csv", SCORES),
            table(path / "differences.csv", DIFFERENCES, blank=True),  # one head has none to differ from
            table(path / "tap_weights.csv", ("head", "fold", "tap", "weight")).astype({"fold": int}),
            agreement.read(path, "tap_scores.csv") if probed else None,
            agreement.read(path, "agreement.csv") if probed else None,
            optional(path / "selection.csv", SELECTION),
            {name: one for name, one in oof.items() if name != "truth"},
            oof.get("truth"),
        )

    @property
    def pooled(self) -> pd.DataFrame:
        """The rows of scores over all folds, with intervals: one per head, source and unit."""
        return self.scores[self.scores["fold"] == "pooled"].reset_index(drop=True)

    @property
    def scored(self) -> pd.DataFrame:
        """The rows of `pooled` that the run is judged by, one per head."""
        wanted, rows = self.config["scored"], self.pooled
        return rows[(rows["source"] == wanted["source"]) & (rows["unit"] == wanted["unit"])].reset_index(drop=True)

    @property
    def counted(self) -> str:
        """On what it is judged, "1,200 soundscape clips"."""
        n = int(self.scored["n"].max()) if len(self.scored) else 0
        return f"{n:,} {self.config['scored']['source']} {self.config['scored']['unit']}s"

    @property
    def parameters(self) -> dict[str, int]:
        """head -> trained parameters."""
        return {str(head): int(rows["parameters"].iloc[0]) for head, rows in self.scores.groupby("head", sort=False)}


@dataclass(frozen=True, eq=False)
class Experiment(Recorded):
    """outcome: outcome.csv, one row an arm; gains: those of them that are compared with another. grid: None where none
    was searched."""

    outcome: pd.DataFrame
    gains: pd.DataFrame
    grid: pd.DataFrame | None

    @classmethod
    def of(cls, path: Path) -> "Experiment":
        config = configuration(path / CONFIG, ("experiment", "measured", "sentence"))
        outcome = with_roles(table(path / "outcome.csv", experiments.COLUMNS), config["experiment"])
        gains = outcome[outcome["against"].notna()].reset_index(drop=True)
        return cls(path.resolve().name, path, config, outcome, gains, optional(path / "grid.csv", ()))

    @property
    def kind(self) -> str:
        """pseudo, residual, priors or members."""
        return self.config["experiment"]

    @property
    def sentence(self) -> str:
        return self.config["sentence"]


@dataclass(frozen=True, eq=False)
class Comparison(Recorded):
    """frame: one row a cell (member, step). config: of the blend beside it."""

    frame: pd.DataFrame

    @classmethod
    def of(cls, path: Path) -> "Comparison":
        """path: the CSV of a comparison, or of the submission beside which it lies."""
        beside = path.with_name(f"{path.stem}-{COMPARED}")
        path = beside if beside.is_file() else path
        if path.name == COMPARED:
            name, about = path.resolve().parent.name, path.with_name(CONFIG)
        else:
            name = path.name.removesuffix(".csv").removesuffix("-comparison")
            about = path.with_name(f"{name}.json")
        frame = comparison.read(path)
        return cls(name, path, configuration(about) if about.is_file() else {}, frame)


@dataclass(frozen=True, eq=False)
class Member(Recorded):
    """A fine-tuned model. logs: fold -> a row an epoch. finished: the folds that are. oof, truth: the held-out
    windows of all finished folds and their labels, None before the first."""

    logs: dict[int, pd.DataFrame]
    finished: tuple[int, ...]
    oof: Path | None
    truth: Path | None

    @classmethod
    def of(cls, path: Path) -> "Member":
        config = configuration(path / CONFIG, ("member", "labels", "settings", "data"))
        numbers = sorted(int(match[1]) for one in path.glob("fold*") if (match := re.fullmatch(r"fold(\d+)", one.name)))
        logs = {n: table(log, LOG) for n in numbers if (log := path / f"fold{n}" / "log.csv").is_file()}
        finished = tuple(n for n in logs if (path / "oof" / f"fold{n}.csv").is_file())
        stem = re.sub(r"[^\w.-]", "-", config["member"])
        oof, truth = (one if one.is_file() else None for one in (path / "oof" / f"{n}.csv" for n in (stem, "truth")))
        return cls(path.resolve().name, path, config, logs, finished, oof, truth)

    @property
    def member(self) -> str:
        """Its name among the members, such as birdmae-large."""
        return self.config["member"]

    @property
    def recipe(self) -> dict:
        """What it was trained with, fields as in a member's recipe."""
        return self.config["settings"]["recipe"]


def with_roles(outcome: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The arms of an experiment with their column `role`; of one from before there was such a column, by their names.

    Args:
        outcome: outcome.csv.
        kind: pseudo, residual or priors.
    """
    if "role" in outcome:
        return outcome.fillna({"role": ""})
    return outcome.assign(role=[_old_role(*pair, kind) for pair in zip(outcome["arm"], outcome["against"].fillna(""))])


def _old_role(arm: str, against: str, kind: str) -> str:
    if kind == "residual":
        return runs.RESIDUAL if against else ""
    for ending, (moderate, tuned) in OLD_PRIORS.items():
        if arm.endswith(ending):
            return moderate if against == BEFORE_PRIORS else tuned
    return OLD_ARMS.get(arm, "")


# ---- files


def configuration(path: Path, needed: Sequence[str] = ()) -> dict:
    """A run's JSON. InputError: not there, no JSON, or without one of the keys `needed`."""
    check_file(path, "the configuration of a run")
    return read_json(path, dict.fromkeys(needed, Any))


def table(path: Path, columns: Sequence[str], blank: bool = False) -> pd.DataFrame:
    """A run's CSV; blank: one without even a header is a table without rows.

    InputError: not there, no table, or without one of its columns.
    """
    if blank and path.is_file() and not path.read_bytes().strip():
        return pd.DataFrame(columns=list(columns))
    return runs.read_table(path, columns, dtype=TEXT, na_values=["", "nan"])


def optional(path: Path, columns: Sequence[str]) -> pd.DataFrame | None:
    return table(path, columns) if path.is_file() else None
