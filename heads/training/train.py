"""Train several heads over the folds of one or several stores, into a run folder.

    STORE... -> rows and targets -> folds -> per head: one model a fold -> out-of-fold logits -> scores, weights -> RUN

Every labelled row is predicted exactly once, by the model of the fold that held it out.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...analysis.resampling import narrow_percentiles
from ...analysis.studies.tap_selection import Selection
from ...features import InputError
from ...features.output_folder import OutputFolder
from ...features.progress import Progress
from ...features.recordings.taxonomy import read_groups
from ...features.spelling import counted
from ...features.store import FeatureStore
from ...finetune.checkpoint import save, versions
from ...finetune.losses import probabilities
from ..agreement import Agreed
from ..dataset import SOURCES, groups_of, load
from ..ensemble import load_members
from ..inputs import parse_tokens
from ..modules import parameters_count
from ..sequences.first_pass import BY_NAME, Naming, mapping_of, read_first_pass
from ..sequences.first_pass_origin import FirstPassOrigin
from . import pseudo_labels, results
from .finished_folds import FOLDER
from .folds import ALWAYS, make_folds
from .job import Job
from .loop import Fitted, Settings
from .scores import COLUMNS
from .specs import HeadSpec, parse_heads

DEFAULTS = Settings()


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: its folder, the rows of scores.csv, differences.csv and tap_weights.csv, the warnings; how the
    taps were chosen and how the heads agree with the probe, where `heads.api.train` was asked for it."""

    run: Path
    scores: pd.DataFrame
    differences: pd.DataFrame
    tap_weights: pd.DataFrame
    warnings: tuple[str, ...]
    selection: Selection | None = None
    agreement: Agreed | None = None

    def __repr__(self) -> str:
        scores = self.scores.to_string(index=False, float_format="{:.3f}".format)
        return "\n".join([f"{self.run}, out of fold:", scores, *(f"warning: {line}" for line in self.warnings)])


def train(
    stores: Sequence[Path],
    run: Path,
    settings: Settings = DEFAULTS,
    *,
    taps: str = "all",
    heads: str = "attention",
    labels: Sequence[str] | None = None,
    naming: Naming = BY_NAME,
    first_pass: str | None = None,
    pseudo_from: Path | None = None,
    pseudo_head: str | None = None,
    pseudo_gate: pseudo_labels.Gate | None = None,
    overwrite: bool = False,
    command: str = "",
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Trained:
    """What `heads.api.train` calls, whose arguments these are.

    labels: the classes in order (a taxonomy). pseudo_gate: what lets the third store's labels through; None: all.
    InputError for anything wrong with what the user gave.
    """
    started, run = time.perf_counter(), Path(run)
    results.check(run, overwrite)
    specs = wanted_heads(stores[0], heads, taps, first_pass)
    teacher = load_members(pseudo_from, pseudo_head) if pseudo_from else None
    tokens = dict.fromkeys([*(t for spec in specs for t in spec.tokens), *pseudo_labels.tokens_of(teacher)])
    data, origin, outputs = load(stores, list(tokens), labels=labels), None, None
    if first_pass is not None:
        given = read_first_pass(first_pass, data, stores, naming, log)
        data = replace(data, first_pass=torch.from_numpy(given))
        origin = FirstPassOrigin.of(first_pass, stores[0], data.labels, naming)
    if teacher:
        data = pseudo_labels.label(data, teacher, pseudo_gate)
    folds = make_folds(data, settings.folds, settings.fold_by, settings.seed)
    n_groups = len(set(groups_of(data.rows[folds.of_row != ALWAYS])))
    warnings = (*data.warnings, *folds.warnings, *narrow_percentiles(n_groups))
    log(f"{counted(len(data.rows), 'window')}, {counted(len(data.labels), 'class')}, {folds.said}")
    for warning in warnings:
        log(f"warning: {warning}")
    if any(spec.maps_logits for spec in specs):
        mapping = mapping_of(stores[0], data.labels, naming)
        log(f"logits: {mapping}")
        outputs = mapping.outputs
    job = Job(data, folds, settings, read_groups(naming.taxonomy) if naming.taxonomy else None, origin, outputs)
    results.check(run, overwrite, [spec.name for spec in specs], folds.n)
    fitted = fit_heads(job, specs, run / FOLDER, log, progress)
    trained = trained_of(run, job, fitted, warnings)
    config = {
        "command": command,
        "stores": [{"path": str(path), "source": name} for path, name in zip(stores, SOURCES)],
        **job.about(specs),
        "pseudo_gate": asdict(pseudo_gate) if teacher and pseudo_gate else None,
        "warnings": list(warnings),
        "versions": versions(),
        "seconds": round(time.perf_counter() - started, 2),
    }
    write(trained, job, fitted, config)
    shutil.rmtree(run / FOLDER, ignore_errors=True)  # folds of other settings too
    return trained


def wanted_heads(store: Path, heads: str, taps: str, first_pass: str | None) -> tuple[HeadSpec, ...]:
    """What to train on the taps of a store. InputError: see `parse_heads`; a first pass that no head reads."""
    with FeatureStore.open(store) as opened:
        stored = opened.taps
    specs = parse_heads(heads, parse_tokens(taps, stored), stored, first_pass is not None)
    if first_pass is not None and not any(spec.over_time for spec in specs):
        raise InputError("`--first-pass`: only heads over time read one, got none of them. Add --head protossm?")
    return specs


@dataclass(frozen=True, eq=False)
class FittedHead:
    """One head: its model a fold, their out-of-fold logits float32 [n, K], its number of parameters."""

    spec: HeadSpec
    folds: list[Fitted]
    logits: np.ndarray
    parameters: int


def fit_heads(
    job: Job, specs: Sequence[HeadSpec], folder: Path, log: Callable[[str], None], progress: bool
) -> list[FittedHead]:
    """Each head in turn, over all folds."""
    found = []
    total = len(specs) * job.folds.n * job.settings.epochs
    with Progress("training", total, "epochs", wanted=progress) as bar:
        for spec in specs:
            module, fitted = job.fit(spec, bar, folder)
            found.append(FittedHead(spec, fitted, job.out_of_fold(fitted), parameters_count(module)))
            log(f"{spec.name}: {found[-1].parameters:,} parameters, epochs kept {[one.epoch for one in fitted]}")
    return found


def trained_of(run: Path, job: Job, fitted: Sequence[FittedHead], warnings: tuple[str, ...]) -> Trained:
    """The tables of a run."""
    scores = [row for head in fitted for row in job.scores(head.spec, head.parameters, head.logits)]
    weights = [
        row for head in fitted for fold, one in enumerate(head.folds) for row in job.tap_weights(head.spec, fold, one)
    ]
    differences = job.differences({head.spec.name: head.logits for head in fitted}, [head.spec for head in fitted])
    return Trained(
        run, pd.DataFrame(scores, columns=list(COLUMNS)), pd.DataFrame(differences), pd.DataFrame(weights), warnings
    )


def write(trained: Trained, job: Job, fitted: Sequence[FittedHead], config: dict) -> None:
    """The run's folder: checkpoints, out-of-fold probabilities, tables; config.json last."""
    kept = job.folds.of_row != ALWAYS
    rows = job.data.rows[kept].assign(fold=job.folds.of_row[kept])
    predicted = {
        head.spec.name: probabilities(torch.from_numpy(head.logits[kept]), job.settings.activation).numpy()
        for head in fitted
    }
    with OutputFolder(trained.run, results.KIND).replacing() as draft:
        for head in fitted:
            for fold, one in enumerate(head.folds):
                description = job.describe(head.spec, fold, one)
                save(draft / "heads" / f"{head.spec.name}-fold{fold}", one.module, description)
        tables = trained.scores, trained.differences, trained.tap_weights
        results.write(draft, config, rows, predicted, job.data.labels, *tables)
