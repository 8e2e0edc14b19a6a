"""What each step of a chain changed: rows, values, ranks within a class, and, with truth, macro AUC.

Macro AUC sees ranks within a class alone, so a step that moves no rank cannot change it, however many values it moves.
Values that differ by rounding (a relative 1e-12) count as equal, and as tied.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from .. import metrics, predictions
from ..resampling import percentile_interval
from ..tables import Column, Table
from .step import Step

_DIGITS = 2.0**40  # of a mantissa
N_BOOT = 1000


@dataclass(frozen=True)
class Effect:
    """One step. Changes are counted over the columns that remain; `applied_rows`: rows on which the step could act.

    reason: why not on all rows. auc_*, gain and its paired 95 % interval (a bootstrap over recordings) are None without
    truth, the interval also for a single recording. warning: one line where nothing changed or no row was applied to.
    """

    step: str
    rows: int
    applied_rows: int
    rows_changed: int
    values: int
    values_changed: int
    ranks_changed: int  # of `values`, those whose rank among the rows of their class moved, ties averaged
    reason: str = ""
    auc_before: float | None = None
    auc_after: float | None = None
    gain: float | None = None
    gain_lo: float | None = None
    gain_hi: float | None = None
    scored_rows: int | None = None
    warning: str | None = None


def apply(
    table: pd.DataFrame,
    steps: Iterable[Step],
    truth: pd.DataFrame | None = None,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> tuple[pd.DataFrame, tuple[Effect, ...]]:
    """(the table after all steps in the order given, an Effect a step).

    Steps are not put in order here: `order.ordered` does that. truth: bool; its rows and classes have to be in the
    table, which may have more (rows without labels still help to smooth; a no-call column). Only the truth's count for
    the AUC.
    InputError: a faulty table; truth that is no part of it.
    """
    predictions.require(table, "post-processing, table")
    judge = None if truth is None else _Judge(table, truth, seed, n_boot)
    found = []
    before = None if judge is None else judge(table)
    for step in steps:
        after = step(table)
        effect = _changes(step, table, after)
        if judge is not None and truth is not None:
            now = judge(after)
            effect |= _gain(before, now) | {"scored_rows": len(truth)}
            before = now
        found.append(Effect(**effect))
        table = after
    return table, tuple(found)


def table(effects: Sequence[Effect], caption: str = "") -> Table:
    """A row an effect: its counts, the macro AUC after it and the gain with its interval where there was truth."""
    frame = pd.DataFrame([asdict(effect) for effect in effects], columns=list(Effect.__dataclass_fields__))
    columns = [
        Column("step", "{step}", "left"),
        Column("rows applied to", "{applied_rows:,} of {rows:,}"),
        Column("values changed", "{values_changed:,}"),
        Column("ranks changed", "{ranks_changed:,}"),
    ]
    if frame["gain"].notna().any():
        title, gain = "gain", "{gain:+.4f}"
        if frame["gain_lo"].notna().any():
            title, gain = f"{title} [95 %]", f"{gain} [{{gain_lo:+.4f}}, {{gain_hi:+.4f}}]"
        columns += [Column("macro AUC", "{auc_after:.4f}"), Column(title, gain)]
    return Table.from_frame(frame, columns, caption)


def warnings(effects: Sequence[Effect]) -> tuple[str, ...]:
    return tuple(effect.warning for effect in effects if effect.warning)


class _Judge:
    """Macro AUC of a table against one truth, and its draws; draws are the same for every table."""

    def __init__(self, table, truth, seed, n_boot):
        self.rows, self.classes = truth.index, truth.columns
        predictions.require(truth, "post-processing, truth")
        here = table.loc[table.index.isin(self.rows), table.columns.isin(self.classes)]
        predictions.aligned(here, truth, "post-processing, table to be scored")
        self.truth = truth.to_numpy()
        self.files = predictions.files(self.rows)
        self.seed, self.n_boot = seed, n_boot

    def __call__(self, table) -> tuple[float, np.ndarray | None]:
        scores = table.loc[self.rows, self.classes].to_numpy(dtype=np.float64)
        value = metrics.macro_auc(self.truth, scores)
        if len(np.unique(self.files)) < 2:
            return value, None
        return value, metrics.draws(metrics.macro_auc, self.truth, scores, self.files, self.n_boot, self.seed)


def _gain(before, after) -> dict:
    numbers = {"auc_before": before[0], "auc_after": after[0], "gain": after[0] - before[0]}
    if before[1] is not None:
        numbers["gain_lo"], numbers["gain_hi"] = map(float, percentile_interval(after[1] - before[1]))
    return {name: None if np.isnan(value) else value for name, value in numbers.items()}


def _changes(step, before, after) -> dict:
    """The counts of an Effect, and its warning."""
    reach = step.reach(before)
    old = _rounded(before[after.columns].to_numpy(dtype=np.float64))
    new = _rounded(after.to_numpy(dtype=np.float64))
    moved = old != new
    rows_changed = int(moved.any(axis=1).sum())
    warning = None
    if not rows_changed or not reach.rows:
        did = f"applied to {reach.rows} of {len(before)} rows" if not reach.rows else f"changed 0 of {len(before)} rows"
        warning = f"{step}: {did}: {reach.reason or 'every value stays what it was'}."
    return {
        "step": str(step),
        "rows": len(before),
        "applied_rows": reach.rows,
        "rows_changed": rows_changed,
        "values": new.size,
        "values_changed": int(moved.sum()),
        "ranks_changed": sum(_reranked(a, b) for a, b, m in zip(old.T, new.T, moved.T) if m.any()),
        "reason": reach.reason,
        "warning": warning,
    }


def _reranked(old, new) -> int:
    return int((rankdata(old) != rankdata(new)).sum())


def _rounded(values) -> np.ndarray:
    """To 40 bits of mantissa: weighted means of equal values differ in the last bits, which is no change."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(mantissa * _DIGITS) / _DIGITS, exponent)
