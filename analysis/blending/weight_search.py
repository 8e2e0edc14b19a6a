"""Weights tuned on out-of-fold predictions, and what that is worth on rows that had no say.

Three numbers, against the best single member on all rows:
    tuned    macro AUC of the blend on the rows that chose its weights: errs upwards, with every weight more
    nested   every fold blended with weights that the other folds chose: what to expect of new recordings. The single
             member it is held against was chosen in hindsight, on all rows: an error downwards, if any
    equal    equal weights, which nobody tuned

Blends of other weights are on other scales: folds simply put side by side would be shifted against each other, and a
macro AUC over all of them can fall by nearly 0.1 for that alone. So each fold's weights blend the whole table, and its
values are replaced, class by class, by those of the same rank in the equal blend: the order stays, and the truth has no
part in it. Ranks in rank space, too, are taken within the whole table, never within a fold.

The members' own predictions must be out-of-fold, or the members that overfit get the weight.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from ...features import InputError
from ...features.schema import check_choice
from .. import metrics, predictions
from ..wording import interval
from .blend import SPACES, blend, into, normalised, weighted_mean
from .simplex_search import Grid

_RAMP = 1e-9  # what parts equal values, within 0..1


@dataclass(frozen=True, eq=False)
class Search:
    """The weights found, member -> weight (sum 1), and what they gain over `best`, the best single member.

    nested: the table in which every fold is blended with the weights of the others, on the scale of the equal blend;
    folds: its fold by row, from 0; fold_weights: one row a fold, one column a member. nested_gain_lo, nested_gain_hi:
    paired 95 % interval from a bootstrap over groups, the weights and `best` taken as given. auc: member -> macro AUC
    alone. tried: points of the grid evaluated; exhaustive: were these all?
    """

    space: str
    weights: dict[str, float]
    auc: dict[str, float]
    best: str
    tuned_auc: float
    equal_auc: float
    nested_auc: float
    nested_gain: float
    nested_gain_lo: float
    nested_gain_hi: float
    nested: pd.DataFrame
    folds: pd.Series
    fold_weights: pd.DataFrame
    n_rows: int
    n_groups: int
    n_scored: int
    tried: int
    exhaustive: bool

    @property
    def best_auc(self) -> float:
        return self.auc[self.best]

    @property
    def tuned_gain(self) -> float:
        """On the rows that chose the weights; not below 0, but for values that the logit's clip turned into ties."""
        return self.tuned_auc - self.best_auc

    @property
    def equal_gain(self) -> float:
        return self.equal_auc - self.best_auc

    @property
    def sentence(self) -> str:
        """What was found, the tuned gain never without the nested one."""
        weights = ", ".join(f"{name} {weight:.3g}" for name, weight in self.weights.items())
        if self.nested_gain_lo > 0:
            verdict = "Out of fold the blend is better."
        elif self.nested_gain_hi < 0:
            verdict = f"Out of fold the blend is worse: keep {self.best} alone."
        else:
            verdict = f"The interval holds 0: no gain over {self.best} alone is shown."
        ends = self.nested_gain, self.nested_gain_lo, self.nested_gain_hi
        return (
            f"Blend as {self.space}: {weights}. Over {self.best} alone (macro AUC {self.best_auc:.4f}) it gains "
            f"{self.tuned_gain:+.4f} on the rows that chose the weights, and "
            f"{interval(*ends, 4, signed=True)} when each of {len(self.fold_weights)} folds is "
            f"blended with the weights of the others; equal weights gain {self.equal_gain:+.4f}. {verdict} "
            f"({self.n_rows} rows, {self.n_groups} groups, {self.n_scored} classes scored.)"
        )

    def to_json(self) -> dict:
        """Everything but the tables of rows, as plain numbers, strings and lists."""
        plain = ("space", "weights", "auc", "best", "best_auc", "tuned_auc", "tuned_gain", "equal_auc", "equal_gain")
        plain += ("nested_auc", "nested_gain", "nested_gain_lo", "nested_gain_hi")
        plain += ("n_rows", "n_groups", "n_scored", "tried", "exhaustive", "sentence")
        return {name: getattr(self, name) for name in plain} | {
            "fold_weights": {str(fold): dict(row) for fold, row in self.fold_weights.iterrows()}
        }


def search(
    members: Mapping[str, pd.DataFrame],
    truth: pd.DataFrame,
    space: str = "prob",
    folds: int | Sequence = 5,
    step: float = 0.05,
    seed: int = 0,
    n_boot: int = 1000,
) -> Search:
    """Tune the weights of `blend` for macro AUC, and estimate by nested folds what that gains.

    members: name -> out-of-fold predictions of the rows and classes of truth (bool, `predictions.read_truth`), in any
    order. folds: how many, of whole recordings and about equal size, drawn by `seed`; or each row's fold, given. step:
    the grid, 1 over a whole number. Deterministic in `seed`.
    InputError, naming the member: rows or classes missing, unknown, doubled, bad values. Also: one member; an unknown
    space; no class to score; fewer recordings than folds, or a fold without which no class can be scored.
    """
    check_choice("space", space, SPACES)
    if len(members) < 2:
        raise InputError(f"blend search: expected at least two members, got {len(members)}.")
    tables = {name: predictions.aligned(table, truth, name) for name, table in members.items()}
    y_true = metrics.validate(truth.to_numpy(), np.zeros(truth.shape))[0]
    groups = predictions.files(truth.index)
    codes, names = _folds(groups, folds, seed)
    classes = y_true.any(axis=0) & ~y_true.all(axis=0)
    scored = y_true[:, classes]
    grid = Grid(len(tables), step)
    values = [table.to_numpy(dtype=np.float64) for table in tables.values()]
    scores = [into(value, space)[:, classes] for value in values]

    def auc_of(weights: np.ndarray) -> np.ndarray:
        shares = normalised(weights.tolist(), list(tables))
        parts = [(share, np.ones(scored.shape[1], bool), value) for share, value in zip(shares, scores) if share]
        return foldwise_auc(scored, weighted_mean(parts, len(truth)), codes)

    _check_defined(~np.isnan(auc_of(np.ones(len(tables)))), names)
    found, tried = grid.best(auc_of)  # [1 + F, M]
    auc = {name: metrics.macro_auc(y_true, value) for name, value in zip(tables, values)}
    best = max(auc, key=auc.__getitem__)  # the first of equals
    nested = _nested(list(tables.values()), space, found[1:], codes)
    gain, low, high = metrics.paired(
        metrics.macro_auc, y_true, nested.to_numpy(), tables[best].to_numpy(), groups, n_boot, seed
    )
    tuned, equal = (blend(list(tables.values()), weights, space) for weights in (found[0], None))
    return Search(
        space=space,
        weights=dict(zip(tables, map(float, found[0]))),
        auc=auc,
        best=best,
        tuned_auc=metrics.macro_auc(y_true, tuned.to_numpy()),
        equal_auc=metrics.macro_auc(y_true, equal.to_numpy()),
        nested_auc=metrics.macro_auc(y_true, nested.to_numpy()),
        nested_gain=gain,
        nested_gain_lo=low,
        nested_gain_hi=high,
        nested=nested,
        folds=pd.Series(codes, index=truth.index, name="fold"),
        fold_weights=pd.DataFrame(found[1:], index=pd.Index(names, name="fold"), columns=list(tables)),
        n_rows=len(truth),
        n_groups=len(np.unique(groups)),
        n_scored=scored.shape[1],
        tried=tried,
        exhaustive=grid.exhaustive,
    )


def foldwise_auc(truth: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Macro ROC-AUC on all rows, then without fold 0, 1, ...: [1 + F]; nan where undefined.

    truth bool, scores [n, K]; folds [n] in 0..F-1.
    """
    n_folds = int(folds.max()) + 1
    times = np.concatenate([np.ones((n_folds, 1)), 1 - np.eye(n_folds)], axis=1)  # of each fold in each set of rows
    return metrics.resampled(metrics.macro_auc, truth, scores, folds, times)


def _nested(tables, space, weights, codes) -> pd.DataFrame:
    """Each row blended with the weights [F, M] of its fold, on the scale of the equal blend."""
    equal = blend(tables, None, space)
    values = np.empty(equal.shape)
    for shares in np.unique(weights, axis=0):
        rows = (weights == shares).all(axis=1)[codes]
        values[rows] = _onto(blend(tables, shares, space).to_numpy(), equal.to_numpy())[rows]
    return pd.DataFrame(values, index=equal.index, columns=equal.columns)


def _onto(values, reference) -> np.ndarray:
    """values [n, K], each class in the order it has but with the values of reference [n, K]; ties there are parted."""
    n = len(values)
    places = np.arange(1, n + 1)
    sorted_ = np.sort(reference, axis=0) * (1 - _RAMP) + _RAMP * places[:, None] / n
    ranks = rankdata(values, axis=0)
    return np.column_stack([np.interp(rank, places, column) for rank, column in zip(ranks.T, sorted_.T)])


def _check_defined(defined, names):
    if not defined.all():
        where = f" without fold {names[int(np.argmin(defined)) - 1]}" if defined[0] else ""
        raise InputError(
            f"blend search: expected at least one class with positive and negative rows{where}, got none. "
            "Fewer folds, or more labelled recordings?"
        )


def _folds(groups, folds, seed) -> tuple[np.ndarray, list]:
    """(each row's fold as 0..F-1 [n], the folds' names)."""
    if not isinstance(folds, int):
        names, codes = np.unique(folds, return_inverse=True)
        return codes, names.tolist()
    kinds, codes = np.unique(groups, return_inverse=True)
    if len(kinds) < folds:
        raise InputError(
            f"blend search: expected as many groups as folds, got {folds} folds of {len(kinds)} groups. "
            "Too few recordings?"
        )
    sizes, rows = np.bincount(codes), np.zeros(folds, dtype=np.int64)
    shuffled = np.random.default_rng([seed, 7]).permutation(len(kinds))
    fold = np.empty(len(kinds), dtype=np.int64)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:  # the largest first, to the emptiest fold
        fold[group] = np.argmin(rows)
        rows[fold[group]] += sizes[group]
    return fold[codes], list(range(folds))
