"""Out-of-fold logits to tables: scores per fold and pooled, with intervals, and paired differences between heads."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ...analysis import metrics, wording
from ...analysis.tables import Table
from ..dataset import groups_of

COLUMNS = (
    *("head", "source", "unit", "fold", "n", "accuracy", "acc_lo", "acc_hi"),
    *("macro_auc", "auc_lo", "auc_hi", "cmap", "n_scored", "parameters"),
)
POOLED = "pooled"


@dataclass(frozen=True, eq=False)
class Units:
    """What is scored: windows, or clips (mean logits over their windows, a label of any window is a label).

    of_row int64 [n]: each row's unit. truth bool [units, K]; groups: the bootstrap's, the file where none is known.
    """

    name: str
    of_row: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    folds: np.ndarray

    def mean(self, logits: np.ndarray) -> np.ndarray:
        """[n, K] of rows -> [units, K]."""
        return _sums(self.of_row, logits, len(self.truth)) / np.bincount(self.of_row)[:, None]


def make_units(name: str, rows: pd.DataFrame, targets: np.ndarray, folds: np.ndarray) -> Units:
    """name: "window" or "clip"; rows: the table of `heads.dataset`; targets [n, K]; folds [n]."""
    if name == "window":
        of_row = np.arange(len(rows))
    else:
        of_row = np.unique(rows["unit"].to_numpy(), return_inverse=True)[1]
    n = int(of_row.max()) + 1
    first = np.unique(of_row, return_index=True)[1]
    groups = np.array(groups_of(rows), dtype=str)[first]
    return Units(name, of_row, _sums(of_row, targets > 0, n) > 0, groups, folds[first])


def score(units: Units, logits: np.ndarray, seed: int = 0) -> list[dict]:
    """One row per fold and one pooled (with 95 % intervals over groups): fold, n, accuracy, macro_auc, cmap, ...

    logits [n, K] of rows. accuracy: the share of units whose highest class is one of their labels. Pooled over folds,
    as published: the models of all folds are compared on one scale.
    """
    scores = units.mean(logits)
    found = []
    for fold in np.unique(units.folds):
        held = units.folds == fold
        found.append(_values(units.truth[held], scores[held]) | {"fold": str(fold)})
    pooled = _values(units.truth, scores) | {"fold": POOLED}
    if len(np.unique(units.groups)) > 1:
        for name, metric in (("acc", metrics.top1), ("auc", metrics.macro_auc)):
            pooled[f"{name}_lo"], pooled[f"{name}_hi"] = metrics.bootstrap(
                metric, units.truth, scores, units.groups, seed=seed
            )[1:]
    return [*found, pooled]


def differences(units: Units, logits: dict[str, np.ndarray], baseline: str, seed: int = 0) -> list[dict]:
    """Every head minus `baseline`, pooled, on the same bootstrap draws of groups: accuracy and macro AUC with 95 %."""
    others = units.mean(logits[baseline])
    found = []
    for head in logits:
        row: dict[str, str | float] = {"head": head, "baseline": baseline}
        for name, metric in (("accuracy", metrics.top1), ("macro_auc", metrics.macro_auc)):
            values = metrics.paired(metric, units.truth, units.mean(logits[head]), others, units.groups, seed=seed)
            row |= dict(zip((name, f"{name}_lo", f"{name}_hi"), values))
        found += [row] if head != baseline else []
    return found


def table(scores: pd.DataFrame, unit: str, source: str) -> Table:
    """The pooled rows of scores.csv as people read them."""
    pooled = scores[(scores["fold"] == POOLED) & (scores["unit"] == unit) & (scores["source"] == source)]

    def interval(name, low, high):
        return [wording.interval(*ends) for ends in zip(pooled[name], pooled[low], pooled[high])]

    shown = pd.DataFrame(
        {
            "head": pooled["head"],
            "parameters": pooled["parameters"].map("{:,}".format),
            f"accuracy per {unit} [95 %]": interval("accuracy", "acc_lo", "acc_hi"),
            "macro AUC [95 %]": interval("macro_auc", "auc_lo", "auc_hi"),
            "cmAP": pooled["cmap"].map("{:.3f}".format),
        }
    )
    return Table.from_frame(shown)


def _values(truth, scores) -> dict:
    found = metrics.evaluate(truth, scores, [str(i) for i in range(truth.shape[1])])
    return {"accuracy": found["top1"]} | {name: found[name] for name in ("n", "macro_auc", "cmap", "n_scored")}


def _sums(of_row, values, n):
    """Sum of values [rows, K] over the rows of each unit, [n, K]."""
    sums = np.zeros((n, values.shape[1]))
    np.add.at(sums, of_row, values)
    return sums
