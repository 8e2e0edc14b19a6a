"""Compare finished sweeps: every model x tap x read-out on the same clips and folds, one ranking, one conclusion.

RUNS -> paired clips -> read-outs of every model's taps, out of fold -> ranking -> conclusion -> RUN
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from ....analysis import readouts
from ....analysis.readout_ranking import Cell, rank_readouts
from ....analysis.runs import ANSWER, GAPS, READOUT_COLUMNS, read_table
from ....features import InputError
from ....features.csv_files import write_csv
from ....features.files import read_json, write_json, write_text
from ....features.output_folder import Kind, OutputFolder
from ....features.progress import Log, Progress, listener
from ....features.schema import Words, check_choice, checked, comma_text
from ....features.spelling import counted
from ...notebook import as_html
from ..items import score_cells
from ..result import Answer
from ..settings import Settings
from .conclusion import conclude_models
from .pairing import PairedRuns, Run, pair_runs, paths_of
from .rerun import content_of, differing
from .tables import VS_BEST_LAST, best_of_models, describe, page, readouts_table, short_summary, summary, taps_table

FIGURE = "models"
KIND = Kind(
    "compare",
    "a finished comparison",
    (
        "ranking.csv",
        "readouts.csv",
        "answer.json",
        "compare.md",
        *(f"figures/{FIGURE}.{end}" for end in ("png", "pdf")),
    ),
    (),
    says={"settings": dict, "models": [{"content": str}], "warnings": list},
)
PACKAGES = ("birdprobe", "numpy", "scikit-learn", "h5py")
TAP_COLUMNS = (
    *("model", "tap", "index", "stage", "dim", "last", "macs", "macs_per_s"),
    *(f"{use}{end}" for use in readouts.USES for end in ("", "_lo", "_hi", "_readout")),
)
TEXT = ("model", "tap", "readout", *(f"{use}_readout" for use in readouts.USES))


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several models on the same clips.

    table: one row a model, tap and read-out, `readouts.csv`. taps: one row a model and tap, with its cost and its best
    read-out for each use, `ranking.csv`. answer: `answer.json`. warnings: what was left out, and where the runs are
    less alike than they should be. path: the folder that was written, or None.
    """

    table: pd.DataFrame
    taps: pd.DataFrame
    answer: Answer
    warnings: tuple[str, ...] = ()
    path: Path | None = None

    @classmethod
    def open(cls, path: Path) -> "Comparison":
        """A finished one, from its folder. InputError: files that are damaged."""
        table = _numbers(path / "readouts.csv", ("model", *READOUT_COLUMNS, *VS_BEST_LAST))
        taps = _numbers(path / "ranking.csv", TAP_COLUMNS, index="Int64", stage="Int64", dim="int64")
        taps = taps.fillna({f"{use}_readout": "" for use in readouts.USES})
        warnings = read_json(path / "config.json", {"warnings": list[str]})["warnings"]
        return cls(table, taps, Answer(read_json(path / "answer.json", ANSWER | {"note": str})), tuple(warnings), path)

    @property
    def sentence(self) -> str:
        """The conclusion in words."""
        return str(self.answer["sentence"])

    @property
    def note(self) -> str:
        """What its scores, intervals and p-values are, in a line."""
        return str(self.answer["note"])

    @property
    def summary(self) -> str:
        """The best of every model for each use, as Markdown."""
        return summary(self.table, self.taps).to_markdown()

    def __repr__(self) -> str:
        best = [f"{use}:\n\n{table.to_markdown()}" for use, table in short_summary(self.table, self.taps).items()]
        warned = "\n".join(f"warning: {line}" for line in self.warnings)
        return "\n\n".join([self.sentence, self.note, *(part.rstrip() for part in best), *([warned] if warned else [])])

    def _repr_html_(self) -> str:
        told = (*self.answer.lines, self.note, *(f"warning: {line}" for line in self.warnings))
        shown = ["use", "model", "tap", "readout", "interval", "vs_last", "cost"]
        best = [part.assign(use=use)[shown] for use, part in best_of_models(self.table, self.taps).items()]
        named = {"interval": "score [95 %]", "vs_last": "vs last tap", "cost": "MMAC/s of audio"}
        return as_html(told, pd.concat(best).rename(columns=named))


def _numbers(path: Path, columns: tuple[str, ...], **kinds: str) -> pd.DataFrame:
    """A table of a comparison; kinds: of columns of other numbers. InputError: none, or not as it should be."""
    table = read_table(path, columns, dtype=dict.fromkeys(TEXT, str), na_values=GAPS)
    numbers = {name: "float64" for name in columns if name not in (*TEXT, "last")}
    try:
        return table.astype(numbers | kinds)
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: something else than numbers in it ({error}). Edited by hand?") from None


@checked
def compare(
    runs: Sequence[Run],
    output: Path | str | None = None,
    *,
    readout: Words = "all",
    score: str = "auto",
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
    command: str = "",
    draw: bool = True,
) -> Comparison:
    """Rank the taps of several models, or of one model under several settings, on the clips that all of them swept.

    Args:
        runs: folders of finished sweeps, or sweeps: at least two, on the same clips. Folds and neighbours are the
            first one's. After it also stores, such as imported ones: of each clip the mean over the windows that
            share time with it.
        output: the folder to write, or None. A finished comparison there is returned where it is the very same.
        readout: read-outs as `--readout` takes them: "all", or names with commas or in a list.
        score: "top1", "auc" or "cmap"; "auto" takes what the runs were ranked by, where they agree, else top-1 for
            clips with one label each and macro ROC-AUC for others.
        seed: of every random choice.
        overwrite: replace a finished comparison.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.
        command: what is recorded as the command that made it.
        draw: also draw accuracy against cost, where there is an `output`.

    Returns:
        The comparison.

    Raises:
        InputError: runs that cannot be compared, see `pair_runs`; an unknown read-out or score; a folder with other
            results.
    """
    log = listener(log, progress)
    readout = comma_text("readout", readout)
    names = check_options(readout, score)
    paths = paths_of(runs)
    folder = None if output is None else OutputFolder(Path(output), KIND)
    asked = {"readout": readout, "score": score, "seed": seed}
    if folder is not None:
        if folder.done(overwrite, lambda there: differing(there, asked, paths), log):
            return Comparison.open(folder.path)
        folder.check(overwrite)
    log(f"reading {counted(len(paths), 'run')}")
    paired = pair_runs(paths)
    metric = metric_of(score, paired)
    what = f"{counted(len(paired.table), paired.unit)} of {counted(len(paired.classes), 'class')}"
    log(f"{what} in {len(paired.models)} runs")
    scores, cells = score_models(paired, names, progress)
    references = {
        f"{model.name}/{tap}": f"{model.name}/{model.reference}" for model in paired.models for tap in model.taps
    }
    log("ranking")
    ranking = rank_readouts(
        scores, paired.targets, paired.table["group"].to_numpy(), references, metric, seed=seed,
        n_folds=len(np.unique(paired.table["fold"])),
    )  # fmt: skip
    resampled = f"{paired.unit}s" if paired.first.probed.grouping == "none" else "groups"
    answer = Answer(conclude_models(ranking, cells, paired.first.probed.k, resampled).to_json())
    table = readouts_table(ranking, cells)
    found = Comparison(table, taps_table(paired, table), answer, paired.warnings, folder.path if folder else None)
    if folder is None:
        return found
    settings = asked | {"k": paired.first.probed.k, "unit": paired.unit}
    write(folder, found, paired, command, {"settings": settings, "readouts": list(names), "score": metric})
    if draw:
        from ....figures.gallery import save

        log("drawing")
        save(folder.path, [FIGURE])
    return found


def check_options(readout: str, score: str) -> tuple[str, ...]:
    """The read-outs to rank; InputError for a read-out or a score that a comparison cannot have."""
    names = readouts.parse(readout)
    if readouts.ATTENTIVE in names:
        raise InputError("`--readout` must name read-outs of pooled vectors, got attentive. Leave it out.")
    check_choice("--score", score, Settings.CHOICES["score"])
    return names


def write(folder: OutputFolder, found: Comparison, paired: PairedRuns, command: str, asked: dict) -> None:
    """The files of a comparison. asked: what was asked for and how it was understood, for config.json."""
    config = {
        "command": command,
        "models": [describe(model) | {"content": content_of(model.path)} for model in paired.models],
        **asked,
        "items": {name: found.answer[name] for name in ("n", "n_groups")} | {"classes": len(paired.classes)},
        "grouping": paired.first.probed.grouping,
        "folds": int(paired.table["fold"].nunique()),
        "warnings": list(paired.warnings),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }
    with folder.replacing() as draft:
        write_csv(found.table, draft / "readouts.csv", index=False, float_format="%.6g")
        write_csv(found.taps, draft / "ranking.csv", index=False, float_format="%.10g")
        write_text(
            draft / "compare.md", page(found.table, found.taps, [*found.answer["lines"], found.note], paired.models)
        )
        write_json(draft / "answer.json", found.answer)
        write_json(draft / "config.json", config)


def metric_of(score: str, paired: PairedRuns) -> str:
    """What the cells are ranked by."""
    if score != "auto":
        return score
    told = {model.config.get("score", "top1") for model in paired.models}
    if len(told) == 1:
        return str(told.pop())
    return "auc" if (paired.targets.sum(axis=1) > 1).any() else "top1"


def score_models(
    paired: PairedRuns, names: Sequence[str], progress: bool = True
) -> tuple[dict[Cell, np.ndarray], dict[str, tuple[str, str]]]:
    """((model/tap, read-out) -> scores float64 [n, K] by the first run's folds, model/tap -> (model, tap))."""
    folds, k = paired.table["fold"].to_numpy(), paired.first.probed.k
    vectors = {f"{model.name}/{tap}": (model, tap) for model in paired.models for tap in model.taps}

    def score(cell: str) -> dict[str, np.ndarray]:
        model, tap = vectors[cell]
        return readouts.out_of_fold_all(names, model.vectors(tap), paired.targets, folds, k)

    with Progress("reading out", len(vectors), "taps", wanted=progress) as bar:
        scores = score_cells(tuple(vectors), score, lambda cell: bar.advance(note=cell))
    return scores, {cell: (model.name, tap) for cell, (model, tap) in vectors.items()}
