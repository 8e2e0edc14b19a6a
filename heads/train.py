"""Train several heads over the folds of one or several stores, into a run folder.

    STORE... -> rows and targets -> folds -> per head: one model a fold -> out-of-fold logits -> scores, weights -> RUN

Every labelled row is predicted exactly once, by the model of the fold that held it out.
"""

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis import metrics
from features import InputError
from features.store import FeatureStore
from heads import folder, pseudo
from heads.checkpoint import Description, save
from heads.data import SOURCES, Data, load
from heads.ensemble import load_members
from heads.loop import Fitted, Settings, fit
from heads.modules import KINDS, Head, build, parameters_count, probabilities
from heads.progress import Progress
from heads.scores import COLUMNS, differences, make_units, score
from heads.splits import ALWAYS, Folds, make_folds
from heads.tokens import parse_tokens

DEFAULTS = Settings()
PACKAGES = ("birdprobe", "torch", "numpy", "safetensors")


@dataclass(frozen=True)
class HeadSpec:
    """One head to train. name: that of its files; kind: of `modules.KINDS`; tokens: what it reads."""

    name: str
    kind: str
    tokens: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished run: its folder, the rows of scores.csv, differences.csv and tap_weights.csv, the warnings."""

    run: Path
    scores: pd.DataFrame
    differences: pd.DataFrame
    tap_weights: pd.DataFrame
    warnings: tuple[str, ...]


def parse_heads(text: str, tokens: Sequence[str], stored: Sequence[str]) -> tuple[HeadSpec, ...]:
    """`attention,scalarmix,concat:21+24,linear:embedding`: kinds, each with its own taps after a colon if it has any.

    tokens: what the others read; stored: the store's taps. InputError: an unknown kind or tap, one head twice, linear
    on several taps.
    """
    specs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        kind, _, own = part.partition(":")
        chosen = parse_tokens(own.replace("+", ","), stored) if own else tuple(tokens)
        specs.append(HeadSpec("-".join([kind, *chosen]) if own else kind, kind, chosen))
        build(kind, dict.fromkeys(chosen, 1), 1)  # says at once what is wrong
    names = [spec.name for spec in specs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"--head: {text!r} found, one or several of {', '.join(KINDS)} wanted, each once.")
    return tuple(specs)


def train(
    stores: Sequence[Path],
    run: Path,
    settings: Settings = DEFAULTS,
    *,
    taps: str = "all",
    heads: str = "attention",
    labels: Sequence[str] | None = None,
    names: Sequence[str] = SOURCES,
    pseudo_from: Path | None = None,
    pseudo_head: str | None = None,
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Trained:
    """Train `heads` (see `parse_heads`) on `taps` of one store per source. labels: the classes in order (a taxonomy).

    With several stores the second (soundscapes) is what early stopping watches and the table shows; a third
    (pseudo-labelled) is never scored. pseudo_from: the run whose head `pseudo_head` labels that third store.
    InputError for anything wrong with what the user gave.
    """
    started, run = time.perf_counter(), Path(run)
    folder.prepare(run, overwrite)
    with FeatureStore.open(stores[0]) as store:
        stored = store.taps
    specs = parse_heads(heads, parse_tokens(taps, stored), stored)
    teacher = load_members(pseudo_from, pseudo_head) if pseudo_from else None
    tokens = dict.fromkeys([*(t for spec in specs for t in spec.tokens), *pseudo.tokens_of(teacher)])
    data = load(stores, list(tokens), labels=labels, names=names)
    data = pseudo.label(data, teacher) if teacher else data
    folds = make_folds(data, settings.folds, settings.fold_by, settings.seed)
    warnings = (*data.warnings, *folds.warnings)
    say(f"{len(data.rows)} windows, {len(data.labels)} classes, {folds.said}")
    for warning in warnings:
        say(f"warning: {warning}")
    job = _Job(data, folds, settings)
    scores, weights, logits = [], [], {}
    with Progress(len(specs) * folds.n * settings.epochs, progress) as bar:
        for spec in specs:
            module, fitted = job.fit(spec, bar)
            logits[spec.name] = job.out_of_fold(fitted)
            say(f"{spec.name}: {parameters_count(module):,} parameters, epochs kept {[f.epoch for f in fitted]}")
            scores += job.scores(spec, parameters_count(module), logits[spec.name])
            for fold, one in enumerate(fitted):
                weights += job.tap_weights(spec, fold, one)
                save(run / "heads", f"{spec.name}-fold{fold}", one.module, job.describe(spec, fold, one), overwrite)
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
        "store_key": asdict(data.key),
        "settings": asdict(settings),
        "heads": [asdict(spec) for spec in specs],
        "scored": {"source": job.scored, "unit": settings.unit},
        "labels": list(data.labels),
        "activation": settings.activation,
        "folds": {"n": folds.n, "description": folds.said},
        "windows": {name: int((data.rows["source"] == name).sum()) for name in data.sources},
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
    folder.write(run, config, rows, predicted, data.labels, trained.scores, trained.differences, trained.tap_weights)
    return trained


def versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


class _Job:
    """Data, folds and settings of one run, and what is done with them for each head."""

    def __init__(self, data: Data, folds: Folds, settings: Settings):
        self.data, self.folds, self.settings = data, folds, settings
        self.targets = data.targets.numpy()
        source = np.array([data.sources.index(name) for name in data.rows["source"]])
        self.splits = [folds.split(fold, source) for fold in range(folds.n)]
        self.labelled = [name for name in data.sources if name != "pseudo"]
        self.scored = self.labelled[-1]  # soundscapes where there are any: the target of the competition

    def fit(self, spec: HeadSpec, bar: Progress) -> tuple[Head, list[Fitted]]:
        widths = {token: self.data.widths[token] for token in spec.tokens}

        def make():
            return build(spec.kind, widths, len(self.data.labels), **self.options(spec))

        xs = [self.data.xs[token] for token in spec.tokens]
        before = bar.done
        fitted = fit(make, xs, self.data.targets, self.splits, self.settings, self.judge, bar.ticker(spec.name))
        bar.done = before + self.folds.n * self.settings.epochs  # epochs that early stopping saved count as done
        return fitted[0].module, fitted

    def options(self, spec: HeadSpec) -> dict:
        known = {"attention": ("dim", "dropout"), "scalarmix": ("dim", "dropout")}.get(spec.kind, ())
        return {name: getattr(self.settings, name) for name in known}

    def judge(self, rows: np.ndarray, logits: torch.Tensor) -> float:
        """Held-out macro AUC on the scored source; nan where no class has positives and negatives."""
        table = self.data.rows.iloc[rows].reset_index(drop=True)
        own = (table["source"] == self.scored).to_numpy()
        if not own.any():
            return float("nan")
        units = make_units(self.settings.unit, table[own], self.targets[rows][own], self.folds.of_row[rows][own])
        return metrics.macro_auc(units.truth, units.mean(logits.numpy()[own]))

    def out_of_fold(self, fitted: list[Fitted]) -> np.ndarray:
        """float32 [n, K]; nan in rows that no fold held out."""
        logits = np.full(self.targets.shape, np.nan, dtype=np.float32)
        for split, one in zip(self.splits, fitted):
            logits[split.held] = one.logits.numpy()
        return logits

    def scores(self, spec: HeadSpec, parameters: int, logits: np.ndarray) -> list[dict]:
        return [
            row | {"head": spec.name, "source": source, "unit": unit, "parameters": parameters}
            for source in reversed(self.labelled)
            for unit in ("clip", "window")
            for row in score(self.units(source, unit), logits[self.rows_of(source)], self.settings.seed)
        ]

    def differences(self, logits: dict[str, np.ndarray], specs: Sequence[HeadSpec]) -> list[dict]:
        """Against the first linear head, else the last head."""
        baseline = next((spec.name for spec in specs if spec.kind == "linear"), specs[-1].name)
        units, rows = self.units(self.scored, self.settings.unit), self.rows_of(self.scored)
        if len(np.unique(units.groups)) < 2:
            return []
        return differences(units, {name: x[rows] for name, x in logits.items()}, baseline, self.settings.seed)

    def rows_of(self, source: str) -> np.ndarray:
        return np.flatnonzero(self.data.rows["source"] == source)

    def units(self, source: str, unit: str):
        rows = self.rows_of(source)
        return make_units(unit, self.data.rows.iloc[rows], self.targets[rows], self.folds.of_row[rows])

    @torch.no_grad()
    def tap_weights(self, spec: HeadSpec, fold: int, one: Fitted) -> list[dict]:
        """Mean share of each token over the rows that the fold held out."""
        held = self.splits[fold].held
        shares = one.module.tap_weights([self.data.xs[token][held] for token in spec.tokens]).numpy()
        shares = shares.reshape(-1, len(spec.tokens)).mean(axis=0)
        return [
            {"head": spec.name, "fold": fold, "tap": token, "weight": float(share)}
            for token, share in zip(spec.tokens, shares)
        ]

    def describe(self, spec: HeadSpec, fold: int, one: Fitted) -> Description:
        return Description(
            head=spec.kind,
            widths=one.module.widths,
            labels=self.data.labels,
            activation=self.settings.activation,
            store_key=self.data.key,
            fold=fold,
            options=self.options(spec),
            settings=asdict(self.settings),
            metrics={
                f"{self.scored}_macro_auc": None if math.isnan(one.score) else one.score,
                "epoch": one.epoch,
                "losses": list(one.losses),
            },
            versions=versions(),
        )
