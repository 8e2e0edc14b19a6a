"""The weighted mean of several members, in the space where it is taken.

    prob    sum w p                          the published 0.60 / 0.40 and 0.93 / 0.07 blends (Yadav 2026)
    logit   sigmoid(sum w logit p)           p clipped to EPS..1 - EPS, so smaller values become ties
    rank    sum w rank(p) / n                per class over all n rows of the table, equal values share their mean rank

A rank blend of other rows is another blend: ranks say nothing about a row alone. It reads order only, which is all that
ROC-AUC sees; its values, in (0, 1], are no probabilities any more.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import rankdata

from ...features import InputError
from ...features.schema import check_choice
from .. import predictions

SPACES = ("prob", "logit", "rank")
MISSING = ("error", "skip")
EPS = 1e-6  # as published blends clip: a single 0 or 1 would outvote everybody


def blend(
    tables: Sequence[pd.DataFrame],
    weights: Sequence[float] | None = None,
    space: str = "prob",
    *,
    names: Sequence[str] | None = None,
    missing: str = "error",
) -> pd.DataFrame:
    """The members' weighted mean: a table with the first member's rows and classes, in its order.

    weights: one a member, any scale (93 and 7 are 0.93 and 0.07); None: equal. names: the members in messages (their
    paths, say); None: numbered. Rows and columns are matched by name.
    missing: what a member that lacks classes is. "error", or "skip": such classes are blended from the others, whose
    weights are scaled up there; rows may never lack.
    InputError, naming the member: rows or classes missing, unknown or doubled; bad values. Also: weights that are
    negative, not finite, all zero or not one a member; an unknown space; a class without a member of positive weight.
    """
    names = names or [f"member {i}" for i in range(1, len(tables) + 1)]
    shares = normalised(weights, names)
    check_choice("space", space, SPACES)
    check_choice("missing", missing, MISSING)
    rows, classes = tables[0].index, tables[0].columns
    parts, carried = [], np.zeros(len(classes), dtype=bool)
    for name, table, share in zip(names, tables, shares):
        has = classes.isin(table.columns) if missing == "skip" else np.ones(len(classes), dtype=bool)
        predictions.require(table, name, row_ids=rows, classes=classes[has], order=False)
        if share:
            values = table.loc[rows, classes[has]].to_numpy(dtype=np.float64)
            parts.append((share, has, into(values, space)))
            carried |= has
    if not carried.all():
        without = list(classes[~carried])
        raise InputError(
            f"blend, class {without[0]!r}: no member with a weight above 0 has it, expected at least one "
            f"({len(without)} such classes). Is a member missing?"
        )
    return pd.DataFrame(out_of(weighted_mean(parts, len(rows)), space), index=rows, columns=classes)


def weighted_mean(parts: Sequence[tuple[float, np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """The weighted mean float64 [n, K] of (share, the classes that a member has bool [K], its values there [n, ...]).

    A search and the blend that it ends in must add up in the same order: rounding alone can part or join equal values,
    and ROC-AUC counts ties as halves.
    """
    total, carried = np.zeros((n, len(parts[0][1]))), np.zeros(len(parts[0][1]))
    for share, has, values in parts:
        total[:, has] += share * values
        carried[has] += share
    return total / carried


def normalised(weights: Sequence[float] | None, names: Sequence[str]) -> np.ndarray:
    """float64 [M] that sum to 1. InputError: a weight that is negative or not finite, all zero, not one a member."""
    weights = np.ones(len(names)) if weights is None else np.asarray(list(weights), dtype=np.float64)
    if weights.shape != (len(names),):
        raise InputError(f"blend: expected {len(names)} weights, one a member, got {len(weights)}.")
    for name, weight in zip(names, weights):
        if not np.isfinite(weight) or weight < 0:
            raise InputError(f"blend, weight of {name}: expected 0 or more, got {weight:g}.")
    if not weights.any():
        raise InputError("blend: expected at least one above 0, got only weights of 0.")
    weights = weights / weights.max()  # a sum of huge weights may overflow
    return weights / weights.sum()


def into(values: np.ndarray, space: str) -> np.ndarray:
    """Probabilities [n, K] -> what is averaged, float64 [n, K]; ranks over these n rows."""
    if space == "logit":
        return logit(np.clip(values, EPS, 1 - EPS))
    if space == "rank":
        return rankdata(values, axis=0) / len(values)
    return values


def out_of(mean: np.ndarray, space: str) -> np.ndarray:
    """A mean of `into` -> values in 0..1: weights that sum to 1 only up to rounding may not push a value beyond 1."""
    return np.clip(expit(mean) if space == "logit" else mean, 0.0, 1.0)
