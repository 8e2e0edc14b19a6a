"""Taps chosen for you (`--taps auto:3`): greedy forward selection on the clips of a store, in the heads' own folds."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...analysis.studies.tap_selection import Selection, forward_select
from ...features import InputError
from ..dataset import load
from .folds import make_folds
from .loop import Settings
from .scores import make_units


def wanted(taps: str) -> int | None:
    """The N of `auto:N` (3 where it is left out), None for any other text. InputError: an N that is no number."""
    match = re.fullmatch(r"auto(?::(.*))?", taps.strip())
    if not match:
        return None
    number = match[1] or "3"
    if not number.isdigit() or int(number) < 1:
        raise InputError(f"`--taps` must be auto:N with N of at least 1, as in auto:3, got {taps!r}.")
    return int(number)


def choose_taps(stores: Sequence[Path], n: int, settings: Settings, labels: Sequence[str] | None = None) -> Selection:
    """`n` taps of the last store, by the 5-NN of its clips (mean over their windows, primary labels).

    The folds are those that the heads are trained in, so the heads' scores on these taps err upwards a little: the
    nested column of the selection says by how much its own score does.
    """
    data = load(stores[-1:], "all", labels=labels)
    folds = make_folds(data, settings.folds, settings.fold_by, settings.seed)
    units = make_units("clip", data.rows, data.targets.numpy(), folds.of_row)
    first = np.unique(units.of_row, return_index=True)[1]
    features = {tap: units.mean(x.numpy()).astype(np.float32) for tap, x in data.xs.items()}
    y = data.rows["label"].to_numpy()[first]
    return forward_select(features, y, units.folds, units.groups, n, seed=settings.seed)
