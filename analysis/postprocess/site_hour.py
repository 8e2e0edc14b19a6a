"""Site and hour priors: a class heard often at this site and hour gains log-odds, one never heard there loses some.

    logit(p) += weight * shift(site, hour, class), that is, the odds p / (1 - p) times exp(weight * shift)

The shift is the log of how much likelier the class is there than anywhere (laplace), or the shrunken logit of its rate
there (shrunk); `families` has the formulas. A prior fitted on the rows to which it is applied has seen their labels,
and macro AUC rises by what leaked: out of fold, use `cross_fit`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.files import check_file, read_json, write_json
from ...features.recordings import read_recordings
from ...features.spelling import some
from .. import predictions
from . import rows
from .counts import HOURS, Counts
from .prior_models import FAMILIES, Laplace, Shrunk, make_family
from .step import Reach


@dataclass(frozen=True)
class Prior:
    """Counts, and the family (with its constants) that turns them into shifts of log-odds. JSON round trip."""

    counts: Counts
    family: Laplace | Shrunk = field(default_factory=Laplace)

    def shift(self, row_ids) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(shift float64 [n, K] in the order of counts.classes; bool [n] where it applies; bool [n] where the name
        tells site and hour)."""
        sites, hours = rows.places(row_ids)
        number = {site: i for i, site in enumerate(self.counts.sites)}
        at = np.array([number.get(site, len(number)) for site in sites], dtype=np.int64)
        shifts, known = self.family.shifts(self.counts)
        hour = np.where(hours < 0, HOURS, hours)
        return shifts[at, hour], known[at, hour], hours >= 0

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.family.kind, "constants": asdict(self.family), **self.counts.to_json()}

    @classmethod
    def from_json(cls, found: dict[str, Any], place: str = "prior") -> "Prior":
        """InputError, naming the place: an unknown kind or constant, counts that cannot be."""
        if str(found.get("kind")) not in FAMILIES:
            raise InputError(f"{place}: no prior of kind {' or '.join(FAMILIES)} found. Another JSON file?")
        return cls(Counts.from_json(found, place), make_family(found["kind"], found.get("constants") or {}))

    def write(self, path: Path | str) -> None:
        write_json(path, self.to_json(), indent=1)

    @classmethod
    def read(cls, path: Path | str) -> "Prior":
        """InputError: no JSON file, or one that holds no prior."""
        check_file(path, "a prior")
        return cls.from_json(read_json(path), str(path))


def fit(labels: pd.DataFrame, kind: str = "laplace", **constants) -> Prior:
    """The prior from a table of labels (bool, or soft shares), rows named as BirdCLEF+ soundscapes.

    constants: fields of `Laplace` or `Shrunk`. Rows whose names tell no site and hour are left out and counted
    (`prior.counts.left_out`). InputError: an unknown kind or constant, a faulty table, no row that can be used.
    """
    return Prior(Counts.of(labels), make_family(kind, constants))


def labels_table(path: Path | str, classes, say: Callable[[str], None] | None = None) -> pd.DataFrame:
    """bool [windows, classes] from train_soundscapes_labels.csv, rows by file and end second as in a submission.

    Read by `read_recordings`: the audio has to lie beside the table; windows without audio are left out, and those
    listed again count once; `say` is told how many. InputError: whatever it refuses, and labels that are no class.
    """
    recordings = read_recordings(path)
    if any(clip.end_s is None for clip in recordings.clips):
        raise InputError(f"{path}: expected filename, start, end, primary_label, got windows without an end.")
    if say is not None:
        for warning in recordings.warnings:
            say(f"warning: {warning}")
    number = {name: i for i, name in enumerate(classes)}
    if strange := sorted({label for clip in recordings.clips for label in clip.labels} - set(number)):
        raise InputError(f"{path}: labels that are no class: {some(strange)}. The taxonomy of another competition?")
    # Two windows of other starts may share their end, and so their row: it has the labels of both.
    names: dict[str, list[int]] = {}
    for clip in recordings.clips:
        names.setdefault(f"{clip.path.stem}_{clip.end_s:.12g}", []).extend(number[label] for label in clip.labels)
    values = np.zeros((len(names), len(number)), dtype=bool)
    for row, labels in zip(values, names.values()):
        row[labels] = True
    return pd.DataFrame(values, index=pd.Index(names, name=predictions.ROW_ID), columns=list(number))


@dataclass(frozen=True)
class SiteHour:
    """The step. weight: None for the family's own (laplace 0.5, shrunk 0.4); 0 changes nothing.

    Columns that the prior does not know stay as they are.
    """

    prior: Prior
    weight: float | None = None
    stage: ClassVar[str] = "prior"

    def __post_init__(self):
        if self.weight is not None and not 0 <= self.weight < np.inf:
            raise InputError(f"site/hour prior: expected a weight of 0 or more, got {self.weight}.")

    @property
    def strength(self) -> float:
        return self.prior.family.weight if self.weight is None else self.weight

    def __str__(self):
        return f"site/hour prior, {self.prior.family} {self.strength:g}"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.strength == 0:
            return table.copy()
        shift, _, _ = self.prior.shift(table.index)
        moved = (shift != 0).any(axis=1)  # the others keep their very bits
        number = {name: i for i, name in enumerate(self.prior.counts.classes)}
        columns = [i for i, name in enumerate(table.columns) if name in number]
        block = np.ix_(moved, columns)
        out = table.to_numpy(dtype=np.float64, copy=True)
        odds = np.exp(self.strength * shift[np.ix_(moved, [number[table.columns[i]] for i in columns])])
        p = out[block]
        # the same as in logits, but 0 and 1 stay and nothing needs clipping
        out[block] = np.clip(p * odds / (1 - p + p * odds), 0.0, 1.0)
        return pd.DataFrame(out, index=table.index, columns=table.columns)

    def reach(self, table: pd.DataFrame) -> Reach:
        """Rows whose site and hour (shrunk: site or hour) the labels knew."""
        return _reach([(self, table)])


@dataclass(frozen=True)
class CrossFitted:
    """The step for out-of-fold rows: each recording meets a prior fitted without its fold's labels (`cross_fit`).

    steps: by recording. others: for recordings that had no fold.
    """

    steps: Mapping[str, SiteHour]
    others: SiteHour
    stage: ClassVar[str] = "prior"

    def __str__(self):
        return f"{self.others}, cross-fitted"

    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        parts = [step(part) for step, part in self._parts(table)]
        return pd.concat(parts).loc[table.index] if parts else table.copy()

    def reach(self, table: pd.DataFrame) -> Reach:
        return _reach(self._parts(table))

    def _parts(self, table):
        chosen = [self.steps.get(name, self.others) for name in predictions.files(table.index)]
        by_step = {}
        for i, step in enumerate(chosen):
            by_step.setdefault(id(step), (step, []))[1].append(i)
        return [(step, table.iloc[at]) for step, at in by_step.values()]


def cross_fit(
    labels: pd.DataFrame, folds, kind: str = "laplace", weight: float | None = None, **constants
) -> CrossFitted:
    """A prior a fold, fitted on the labels of the other folds. folds: [rows of labels], any values.

    Rates over all differ between the folds: a class whose positives lie in one fold is rarer to that fold's prior than
    to the others'. With shrunk, whose shift holds that rate, pooled out-of-fold ranks suffer; laplace divides by it.

    InputError: folds that are not one a row, a recording in two folds (its labels would leak), a single fold.
    """
    folds = np.asarray(folds)
    recordings = predictions.files(labels.index)
    if folds.shape != recordings.shape:
        raise InputError(f"priors by fold: expected folds {recordings.shape}, one a row of labels, got {folds.shape}.")
    pairs = sorted({(str(name), str(fold)) for name, fold in zip(recordings, folds)})
    torn = sorted({a for (a, _), (b, _) in pairwise(pairs) if a == b})
    if torn or len({fold for _, fold in pairs}) < 2:
        found = f"recordings in two folds ({some(torn)})" if torn else "one fold"
        raise InputError(f"priors by fold: expected whole recordings in two folds or more, got {found}.")
    by_fold = {
        str(fold): SiteHour(fit(labels[folds != fold], kind, **constants), weight) for fold in np.unique(folds).tolist()
    }
    return CrossFitted({name: by_fold[fold] for name, fold in pairs}, SiteHour(fit(labels, kind, **constants), weight))


def _reach(parts: Iterable[tuple[SiteHour, pd.DataFrame]]) -> Reach:
    """The rows of all parts that their priors apply to, and one count of each reason why others are not."""
    covered = nameless = uncovered = 0
    unknown: dict[str, None] = {}
    for step, table in parts:
        _, applies, parsed = step.prior.shift(table.index)
        missing = [name for name in table.columns if name not in set(step.prior.counts.classes)]
        unknown |= dict.fromkeys(missing)
        covered += int(applies.sum()) if len(missing) < table.shape[1] else 0
        nameless += int((~parsed).sum())
        uncovered += int((parsed & ~applies).sum())
    counted = (
        (nameless, "row", "whose name tells no site and hour"),
        (uncovered, "row", "of a site and hour that no labels cover"),
        (len(unknown), "column", f"that the prior does not know ({some(list(unknown))})"),
    )
    reason = ", ".join(f"{count} {thing}{'s' * (count > 1)} {which}" for count, thing, which in counted if count)
    return Reach(covered, reason)
