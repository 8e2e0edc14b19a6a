"""Taps x read-outs, ranked: scores, intervals, paired differences to the reference tap and what a choice is worth.

P values and intervals are those of `resampling`. The null hypothesis of every test is that a tap and the reference
differ by nothing under the same read-out; the family is all taps and all read-outs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...features import InputError
from ..resampling import Jackknife
from ..runs import READOUT_COLUMNS
from ..significance import flip_pairs, fold_inflation, sign_flip, smallest_p
from .cells import Cell, make_cells
from .selection_bias import corrected_score

ALPHA = 0.05
PAIR_COLUMNS = ("difference", "lo", "hi", "p", "p_adjusted")
Pair = tuple[Cell, Cell]


@dataclass(frozen=True)
class Choice:
    """The best cell of some read-outs.

    score, lo, hi: its score and 95 % interval, which do not know that it was chosen. corrected: the selection-corrected
    score of choosing among all cells of these read-outs. last_score: the reference tap under the same read-out;
    vs_last, vs_last_lo, vs_last_hi: the difference, with its interval; p_adjusted: family-wise over all taps and
    read-outs that were ranked. beats_last: better than the reference beyond chance, vs_last > 0 and p_adjusted < 0.05.
    """

    readout: str
    tap: str
    score: float
    corrected: float
    vs_last: float
    p_adjusted: float
    lo: float
    hi: float
    vs_last_lo: float
    vs_last_hi: float
    last_score: float
    beats_last: bool


@dataclass(frozen=True, eq=False)
class ReadoutRanking:
    """The ranking of all cells (tap, read-out).

    table: one row a cell, in the order given, columns `runs.READOUT_COLUMNS`.
      score, lo, hi: the metric and its 95 % interval. corrected: for the best tap of each read-out the
      selection-corrected score of choosing among its taps, for others their score: they were not chosen.
      p_best: share of the bootstrap draws of groups in which the tap is first under its read-out, equals sharing; it is
      conditional on the out-of-fold predictions, which are not fitted anew in each draw.
      vs_last*: against the reference tap under the same read-out: difference, 95 % interval, p, family-wise p over all
      taps and read-outs.
    metric: as given. references: each tap's reference tap. reference: the only one, "" where there are several (several
    models, each with a last tap of its own). n: rows that the metric reads (of top-1, those with a label). n_groups:
    their groups.
    jackknife: every cell's score without each group. drawn, left_out: float64 [C, B], scores in each bootstrap draw and
    on the groups that it left out.
    """

    table: pd.DataFrame
    metric: str
    reference: str
    n: int
    n_groups: int
    jackknife: Jackknife
    drawn: np.ndarray
    left_out: np.ndarray
    n_perm: int
    seed: int
    references: Mapping[str, str]

    @property
    def smallest_p(self) -> float:
        """The least p that this many groups allow."""
        return smallest_p(self.n_groups)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """(tap, read-out) of every row of the table."""
        return tuple(zip(self.table["tap"], self.table["readout"]))

    def best_row(self, among: np.ndarray) -> int:
        """The best of some rows of the table; of equals a tap that others are compared with, else the first given."""
        kept = [self.references[tap] == tap for tap in self.table["tap"].iloc[among]]
        return int(among[best_index(self.jackknife.value[among], kept)])

    def best(self, readouts: Sequence[str]) -> Choice:
        """The best cell of some read-outs; of equals a tap that others are compared with, else the first given."""
        among = np.flatnonzero(self.table["readout"].isin(list(readouts)))
        row = self.table.iloc[self.best_row(among)]
        numbers = {name: float(row[name]) for name in ("score", "vs_last", "lo", "hi", "vs_last_lo", "vs_last_hi")}
        p_adjusted = float(row["vs_last_p_adjusted"])
        last = self.cells.index((self.references[row["tap"]], row["readout"]))
        return Choice(
            **numbers,
            tap=str(row["tap"]),
            readout=str(row["readout"]),
            corrected=corrected_score(self.jackknife.value[among], self.drawn[among], self.left_out[among]),
            p_adjusted=p_adjusted,
            last_score=float(self.jackknife.value[last]),
            beats_last=numbers["vs_last"] > 0 and p_adjusted < ALPHA,
        )


def best_index(scores: ArrayLike, kept: ArrayLike) -> int:
    """Where the best of some scores is; of equals a kept one (what others are compared with), else the first."""
    values = np.nan_to_num(np.asarray(scores, float), nan=-np.inf)
    equals = values == values.max()
    first = equals & np.asarray(kept)
    return int(np.argmax(first if first.any() else equals))


def rank_readouts(
    scores: Mapping[Cell, np.ndarray],
    targets: np.ndarray,
    groups: np.ndarray | None,
    reference: str | Mapping[str, str],
    metric: str = "top1",
    n_boot: int = 1000,
    n_perm: int = 5000,
    seed: int = 0,
    n_folds: int | None = None,
) -> ReadoutRanking:
    """Rank taps and read-outs by their out-of-fold class scores. Deterministic in `seed`.

    Args:
        scores: (tap, read-out) -> float64 [n, K], larger is more certain; the same rows and classes for all.
        targets: bool [n, K], the labels of each row.
        groups: [n] of any values (recording, author, site), or None: every row its own.
        reference: the tap that the others are compared with, or one for each tap, by name; every read-out of a tap must
            have read its reference too.
        metric: "top1" (rows with a label), "auc" (macro ROC-AUC) or "cmap" (class-mean average precision).
        n_boot: bootstrap draws, for p_best and the corrected scores.
        n_perm: random sign patterns, where more than 12 groups differ.
        n_folds: folds of the cross-validation that gave the scores; p-values allow for the training rows that folds
            share (`analysis.resampling.fold_inflation`). None: scores of rows that no training saw, fitted once.
    Raises:
        InputError: no cells, a read-out without the reference, scores or targets that do not fit or
            are not finite, an unknown metric, a single group, a metric that is undefined on these rows.
    """
    cells = make_cells(scores, targets, groups, metric)
    taps, readouts = (np.array(part) for part in zip(*cells.names))
    references = {str(tap): reference if isinstance(reference, str) else reference[tap] for tap in taps}
    at = np.array([_reference_of(cells.names, references[tap], readout) for tap, readout in cells.names])
    jackknife = cells.jackknife()
    drawn, left_out = cells.bootstrap(n_boot, np.random.default_rng([seed, 0]))
    differences = jackknife.minus(jackknife.take(at))
    p, adjusted = sign_flip(
        differences.contributions, n_perm, np.random.default_rng([seed, 1]), fold_inflation(n_folds)
    )
    low, high = jackknife.score_interval()
    difference_low, difference_high = differences.difference_interval()
    corrected, p_best = jackknife.value.copy(), np.empty(len(taps))
    for readout in dict.fromkeys(readouts):
        rows = np.flatnonzero(readouts == readout)
        p_best[rows] = _first_places(drawn[rows])
        winner = rows[best_index(jackknife.value[rows], at[rows] == rows)]
        corrected[winner] = corrected_score(jackknife.value[rows], drawn[rows], left_out[rows])
    table = pd.DataFrame(
        {
            **{"tap": taps, "readout": readouts, "score": jackknife.value, "lo": low, "hi": high},
            **{"corrected": corrected, "p_best": p_best, "vs_last": differences.value},
            **{"vs_last_lo": difference_low, "vs_last_hi": difference_high},
            **{"vs_last_p": p, "vs_last_p_adjusted": adjusted},
        }
    )[list(READOUT_COLUMNS)]
    return ReadoutRanking(
        table=table,
        metric=metric,
        reference=next(iter(references.values())) if len(set(references.values())) == 1 else "",
        n=len(cells.codes),
        n_groups=cells.n_groups,
        jackknife=jackknife,
        drawn=drawn,
        left_out=left_out,
        n_perm=n_perm,
        seed=seed,
        references=references,
    )


def _reference_of(names, reference, readout) -> int:
    if (reference, readout) not in names:
        found = ", ".join(tap for tap, name in names if name == readout)
        raise InputError(f"read-out {readout}: expected the reference {reference!r} among them, got taps {found}.")
    return names.index((reference, readout))


def _first_places(drawn) -> np.ndarray:
    """Share of the draws in which each cell [C] is first, equals sharing; draws that are nan are not counted."""
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    if not drawn.shape[1]:
        return np.full(len(drawn), np.nan)
    first = drawn == drawn.max(axis=0)
    return (first / first.sum(axis=0)).mean(axis=1)


def compare_pairs(ranking: ReadoutRanking, pairs: Sequence[Pair], family: Sequence[Pair] = ()) -> pd.DataFrame:
    """The first cell of each pair against the second, one row a pair, columns PAIR_COLUMNS.

    The one that looks best may be picked from the data on both sides: p is family-wise over every pair that could have
    been picked, max-T over the family (Westfall & Young 1993), by sign flips of whole groups as everywhere else.

    family: all pairs among which they were picked; those of `pairs` count whether they are listed or not. difference,
    lo, hi: of the scores, with its 95 % interval; p: two-sided, of this pair alone; p_adjusted: family-wise.
    """
    place = {cell: i for i, cell in enumerate(ranking.cells)}
    every = [*pairs, *family]
    if not pairs:
        return pd.DataFrame(columns=list(PAIR_COLUMNS), dtype=float)
    first, second = np.array([[place[one], place[other]] for one, other in every]).T
    shown = slice(0, len(pairs))
    jackknife = ranking.jackknife
    used, codes = np.unique([first, second], return_inverse=True)
    one, other = codes.reshape(2, -1)
    added, rng = jackknife.take(used).contributions, np.random.default_rng([ranking.seed, 3])
    p, adjusted = flip_pairs(added, one, other, ranking.n_perm, rng, shown=len(pairs))
    differences = jackknife.take(first[shown]).minus(jackknife.take(second[shown]))
    low, high = differences.difference_interval()
    return pd.DataFrame(dict(zip(PAIR_COLUMNS, (differences.value, low, high, p, adjusted))))
