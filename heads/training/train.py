"""Train several heads over the folds of one or several stores, into a run folder.

    STORE... -> rows and targets -> folds -> per head: one model a fold -> out-of-fold logits -> scores, weights -> RUN

Every labelled row is predicted exactly once, by the model of the fold that held it out.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from ...analysis.selection import Selection
from ...features import InputError
from ...features.progress import Progress
from ...features.recordings.taxonomy import read_groups
from ...features.store import FeatureStore
from ...finetune.checkpoint import save, versions
from ...finetune.losses import probabilities
from ..agreement import Agreed
from ..dataset import SOURCES, load
from ..ensemble import load_members
from ..finished_folds import FinishedFolds
from ..inputs import parse_tokens
from ..modules import parameters_count
from ..sequences.first_pass import mapping_of, read_first_pass
from ..sequences.first_pass_origin import FirstPassOrigin
from . import pseudo_labels, results
from .folds import ALWAYS, make_folds
from .job import Job
from .loop import Settings
from .scores import COLUMNS
from .specs import parse_heads

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


def train(
    stores: Sequence[Path],
    run: Path,
    settings: Settings = DEFAULTS,
    *,
    taps: str = "all",
    heads: str = "attention",
    labels: Sequence[str] | None = None,
    taxonomy: Path | None = None,
    first_pass: str | None = None,
    backbone_labels: Path | None = None,
    renames: Path | None = None,
    names: Sequence[str] = SOURCES,
    pseudo_from: Path | None = None,
    pseudo_head: str | None = None,
    pseudo_gate: pseudo_labels.Gate | None = None,
    overwrite: bool = False,
    command: str = "",
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Trained:
    """Train `heads` (see `parse_heads`) on `taps` of one store per source. labels: the classes in order (a taxonomy).
    taxonomy: a taxonomy.csv, for the groups and names in it. first_pass, backbone_labels, renames: see
    `sequences.first_pass.read_first_pass`.

    With several stores the second (soundscapes) is what early stopping watches and the table shows; a third
    (pseudo-labelled) is never scored. pseudo_from: the run whose head `pseudo_head` labels that third store, through
    `pseudo_gate` if there is one.
    InputError for anything wrong with what the user gave.
    """
    started, run = time.perf_counter(), Path(run)
    results.check(run, overwrite)
    with FeatureStore.open(stores[0]) as store:
        stored = store.taps
    specs = parse_heads(heads, parse_tokens(taps, stored), stored, first_pass is not None)
    if first_pass is not None and not any(spec.over_time for spec in specs):
        raise InputError("`--first-pass`: only heads over time read one, got none of them. Add --head protossm?")
    origin, naming = None, {"taxonomy": taxonomy, "backbone_labels": backbone_labels, "renames": renames}
    teacher = load_members(pseudo_from, pseudo_head) if pseudo_from else None
    tokens = dict.fromkeys([*(t for spec in specs for t in spec.tokens), *pseudo_labels.tokens_of(teacher)])
    data = load(stores, list(tokens), labels=labels, names=names)
    if first_pass is not None:
        given = read_first_pass(first_pass, data, stores, **naming, log=log)
        data = replace(data, first_pass=torch.from_numpy(given))
        origin = FirstPassOrigin.of(first_pass, stores[0], data.labels, **naming)
    data = pseudo_labels.label(data, teacher, pseudo_gate) if teacher else data
    folds = make_folds(data, settings.folds, settings.fold_by, settings.seed)
    warnings = (*data.warnings, *folds.warnings)
    log(f"{len(data.rows)} windows, {len(data.labels)} classes, {folds.said}")
    for warning in warnings:
        log(f"warning: {warning}")
    outputs = None
    if any(spec.maps_logits for spec in specs):
        mapping = mapping_of(stores[0], data.labels, **naming)
        log(f"logits: {mapping}")
        outputs = mapping.outputs
    job = Job(data, folds, settings, read_groups(taxonomy) if taxonomy else None, origin, outputs)
    finished = FinishedFolds.of(run, job)
    results.check(run, overwrite, [spec.name for spec in specs], folds.n)
    scores, weights, logits, checkpoints = [], [], {}, []
    with Progress("training", len(specs) * folds.n * settings.epochs, "epochs", wanted=progress) as bar:
        for spec in specs:
            module, fitted = job.fit(spec, bar, finished)
            logits[spec.name] = job.out_of_fold(fitted)
            log(f"{spec.name}: {parameters_count(module):,} parameters, epochs kept {[f.epoch for f in fitted]}")
            scores += job.scores(spec, parameters_count(module), logits[spec.name])
            for fold, one in enumerate(fitted):
                weights += job.tap_weights(spec, fold, one)
                checkpoints.append((f"{spec.name}-fold{fold}", one.module, job.describe(spec, fold, one)))
    trained = Trained(
        run,
        pd.DataFrame(scores, columns=list(COLUMNS)),
        pd.DataFrame(job.differences(logits, specs)),
        pd.DataFrame(weights),
        warnings,
    )
    config = {
        "command": command,
        "stores": [{"path": str(path), "source": name} for path, name in zip(stores, names)],
        **job.about(specs),
        "pseudo_gate": asdict(pseudo_gate) if teacher and pseudo_gate else None,
        "warnings": list(warnings),
        "versions": versions(),
        "seconds": round(time.perf_counter() - started, 2),
    }
    kept = folds.of_row != ALWAYS
    rows = data.rows[kept].assign(fold=folds.of_row[kept])
    predicted = {
        name: probabilities(torch.from_numpy(values[kept]), settings.activation).numpy()
        for name, values in logits.items()
    }
    with results.replacing(run) as draft:
        for name, head, description in checkpoints:
            save(draft / "heads" / name, head, description)
        tables = trained.scores, trained.differences, trained.tap_weights
        results.write(draft, config, rows, predicted, data.labels, *tables)
    finished.remove()
    return trained
