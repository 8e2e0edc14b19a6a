"""Data, folds and settings of one run, and what is done with them for each head."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...analysis import metrics
from ...features.progress import Progress
from ...finetune.checkpoint import versions
from ..dataset import Data
from ..first_passes import fit_first_pass
from ..sequences.first_pass_origin import FirstPassOrigin
from ..sequences.recordings import Recordings, make_recordings
from ..sequences.training import fit_recordings
from ..sequences.windows import Windows
from .checkpoint import Description
from .finished_folds import FinishedFolds
from .folds import Folds
from .loop import Fitted, Settings, fit
from .scores import Units, differences, make_units, score
from .specs import HeadSpec, build


class Job:
    """One run. `labelled`: the sources that are scored, `scored`: the one that early stopping and the table show."""

    def __init__(
        self,
        data: Data,
        folds: Folds,
        settings: Settings,
        groups: Mapping[str, str] | None = None,
        first_pass: FirstPassOrigin | None = None,
        outputs: Sequence[Sequence[int]] | None = None,
    ):
        """groups: class -> taxonomic group, where a taxonomy tells it; first_pass: where the data's came from;
        outputs: of each class its outputs of the backbone, see `ClassMapping`."""
        self.outputs = outputs
        self.data, self.folds, self.settings = data, folds, settings
        self.origin = first_pass and first_pass.to_json()
        self.groups = groups and [groups[label] for label in data.labels]
        self.targets = data.targets.numpy()
        self.truth = self.targets if folds.unseen is None else np.where(folds.unseen, 0, self.targets)  # what is scored
        source = np.array([data.sources.index(name) for name in data.rows["source"]])
        self.splits = [folds.split(fold, source) for fold in range(folds.n)]
        self.labelled = [name for name in data.sources if name != "pseudo"]
        self.scored = self.labelled[-1]  # soundscapes where there are any: the target of the competition

    @cached_property
    def recordings(self) -> Recordings:
        return make_recordings(self.data.rows, self.settings.sequence_length, apart=self.folds.of_row)

    @cached_property
    def digest(self) -> str:
        """Of all that a fold depends on."""
        data = self.data
        about = [asdict(self.settings), asdict(data.key), data.labels, self.groups, self.origin, versions()]
        digest = hashlib.sha256(json.dumps(about).encode())
        digest.update(data.rows[["source", "file", "start_s", "end_s", "sha256"]].to_csv(index=False).encode())
        for values in (self.folds.of_row, data.targets.numpy(), data.first_pass):
            if values is not None:
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def fit(self, spec: HeadSpec, bar: Progress, folder: Path) -> tuple[Any, list[Fitted]]:
        """(one of the models, all), a fold each. folder: of what an earlier run left of heads over time."""
        widths = {token: self.data.widths[token] for token in spec.tokens}

        def make():
            return build(spec.kind, widths, len(self.data.labels), **self.options(spec))

        xs = [self.data.xs[token] for token in spec.tokens]
        before = bar.done
        bar.describe(spec.name)
        if spec.over_time:
            windows = Windows(xs, self.data.targets, self.recordings, self.data.first_pass)
            kept = FinishedFolds(folder / self.digest, spec.name, self.data.labels, partial(self.describe, spec))
            fitted = fit_recordings(make, windows, self.splits, self.settings, self.judge, bar, kept)
        elif spec.in_one_go:
            own = self.data.sources.index(self.scored)
            fitted = fit_first_pass(make, xs, self.data.targets, self.splits, own, self.judge, bar)
        else:
            fitted = fit(make, xs, self.data.targets, self.splits, self.settings, self.judge, bar)
        bar.skip(before + self.folds.n * self.settings.epochs - bar.done)  # those that early stopping saved count, too
        return fitted[0].module, fitted

    def options(self, spec: HeadSpec) -> dict:
        if spec.over_time:
            placed = self.recordings.site.any() or self.recordings.hour.any()
            return {
                "sites": list(self.recordings.sites) if placed else None,
                "first_pass": self.data.first_pass is not None,
                "length": self.settings.sequence_length,
                **({"groups": self.groups} if spec.kind == "protossm" else {}),
            }
        if spec.maps_logits:
            return {"outputs": [list(each) for each in self.outputs]} if self.outputs is not None else {}
        known = {"attention": ("dim", "dropout"), "scalarmix": ("dim", "dropout")}.get(spec.kind, ())
        return {name: getattr(self.settings, name) for name in known}

    def judge(self, rows: np.ndarray, logits: torch.Tensor) -> float:
        """Held-out macro AUC on the scored source; nan where no class has positives and negatives."""
        table = self.data.rows.iloc[rows].reset_index(drop=True)
        own = (table["source"] == self.scored).to_numpy()
        if not own.any():
            return float("nan")
        units = make_units(self.settings.unit, table[own], self.truth[rows][own], self.folds.of_row[rows][own])
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

    def about(self, specs: Sequence[HeadSpec]) -> dict:
        """The job's part of config.json."""
        return {
            "store_key": asdict(self.data.key),
            "settings": asdict(self.settings),
            "first_pass": self.origin,
            "heads": [asdict(spec) for spec in specs],
            "scored": {"source": self.scored, "unit": self.settings.unit},
            "labels": list(self.data.labels),
            "activation": self.settings.activation,
            "folds": {"n": self.folds.n, "description": self.folds.said},
            "windows": {name: len(self.rows_of(name)) for name in self.data.sources},
        }

    def rows_of(self, source: str) -> np.ndarray:
        return np.flatnonzero(self.data.rows["source"] == source)

    def units(self, source: str, unit: str) -> Units:
        rows = self.rows_of(source)
        return make_units(unit, self.data.rows.iloc[rows], self.truth[rows], self.folds.of_row[rows])

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
            settings=asdict(self.settings) | ({"first_pass": self.origin} if spec.over_time else {}),
            metrics={
                f"{self.scored}_macro_auc": None if math.isnan(one.score) else one.score,
                "epoch": one.epoch,
                "losses": list(one.losses),
            },
            versions=versions(),
        )
