"""The chain of steps that a few numbers and tables ask for, in the order in which steps belong."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ...features import InputError
from ...features.files import check_file
from ...features.schema import setting
from .. import predictions
from . import file_confidence, nocall, site_hour, step, taxonomic, temporal

FOLDS = 5  # of recordings, where the prior's labels are those of the rows themselves


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which steps, and how strong; None (and no table) is: not this one.

    taxonomy: taxonomy.csv, with the pulls genus and group. prior: a table of labels (train_soundscapes_labels.csv, or a
    truth table with row ids) or the JSON of a fitted prior. gaussian: sigma in windows; kernel: weights instead.
    power, power_top: exponent, windows. no_call: rows whose maximum is below it are multiplied by no_call_factor;
    no_call_class: a column that says so itself.
    """

    taxonomy: Path | None = None
    genus: float = 0.15
    group: float = 0.05
    prior: Path | None = None
    prior_kind: str = "laplace"
    prior_weight: float | None = None
    gaussian: float | None = None
    kernel: tuple[float, ...] | None = None
    power: float | None = None
    power_top: int = 2
    no_call: float | None = None
    no_call_factor: float = 0.5
    no_call_class: str | None = None

    def __post_init__(self):
        for field in fields(self):
            object.__setattr__(self, field.name, setting(field.name, field.type, getattr(self, field.name)))


def chain(
    wanted: Wanted, row_ids: Collection[str], classes: Iterable[str], say: Callable[[str], None] = lambda line: None
) -> tuple[step.Step, ...]:
    """The steps for a table of these rows and classes. InputError: whatever a step refuses, two temporal kernels."""
    steps: list[step.Step] = []
    if wanted.taxonomy is not None:
        steps.append(taxonomic.Taxonomic.read(wanted.taxonomy, wanted.genus, wanted.group))
    if wanted.prior is not None:
        steps.append(prior_step(wanted, row_ids, classes, say))
    if wanted.gaussian is not None and wanted.kernel is not None:
        raise InputError(f"smoothing: expected a Gaussian or a kernel, got both (Gaussian {wanted.gaussian:g}).")
    if wanted.gaussian is not None:
        steps.append(temporal.Gaussian(wanted.gaussian))
    if wanted.kernel is not None:
        steps.append(temporal.Kernel(tuple(wanted.kernel)))
    if wanted.power is not None:
        steps.append(file_confidence.Power(wanted.power, wanted.power_top))
    if wanted.no_call is not None:
        steps.append(nocall.Damping(wanted.no_call, wanted.no_call_factor))
    if wanted.no_call_class is not None:
        steps.append(nocall.Class(wanted.no_call_class))
    return step.ordered(steps)


def prior_step(wanted: Wanted, row_ids, classes, say) -> site_hour.SiteHour | site_hour.CrossFitted:
    """The prior of a table of labels or of a JSON file.

    Where the labels are those of the very recordings to be processed, each recording meets a prior that was fitted
    without its own labels: otherwise the truth would tell the predictions what to say.
    """
    if wanted.prior is None:
        raise ValueError("no prior is wanted")
    path = Path(wanted.prior)
    if path.suffix == ".json":
        return site_hour.SiteHour(site_hour.Prior.read(path), wanted.prior_weight)
    labels = read_labels(path, classes, say)
    own = np.isin(predictions.files(labels.index), np.unique(predictions.files(row_ids)))
    if not own.any():
        return site_hour.SiteHour(site_hour.fit(labels, wanted.prior_kind), wanted.prior_weight)
    from sklearn.model_selection import GroupKFold  # only here: a fitted prior needs none of it

    recordings = predictions.files(labels.index)
    n = min(FOLDS, len(np.unique(recordings)))
    say(f"{path}: labels of {int(own.sum())} of the rows to be processed found; the prior is cross-fitted by recording")
    folds = np.zeros(len(labels), dtype=int)
    if n > 1:
        for fold, (_, held) in enumerate(GroupKFold(n).split(labels, groups=recordings)):
            folds[held] = fold
    return site_hour.cross_fit(labels, folds, wanted.prior_kind, wanted.prior_weight)


def read_labels(path: Path, classes: Sequence[str], say: Callable[[str], None] = lambda line: None):
    """bool table [rows, classes]: of a truth table (first column row_id), or of train_soundscapes_labels.csv."""
    check_file(path, "a CSV of labels")
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline().split(",")[0].strip().strip('"')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: {getattr(error, 'strerror', None) or 'not text'}, expected a CSV of labels."
        ) from error
    if first == predictions.ROW_ID:
        return predictions.read_truth(path)
    return site_hour.labels_table(path, classes, say)
