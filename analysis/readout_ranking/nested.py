"""The nested choice: every fold is read with the cell that was best on the other folds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...features import InputError
from .cells import Cell, Cells, make_cells


@dataclass(frozen=True)
class NestedChoice:
    """The score of a choice that never saw the rows it is scored on.

    score: the rows of each fold read with the cell chosen on the other folds. chosen: fold -> (tap, read-out).
    best: the cell chosen on all rows, and best_score: its score, taken fold by fold in the same way, so that
    best_score - score is what the choice gains by seeing the rows. Of top-1 a score is over all rows; of auc and cmap
    the mean over folds, weighted by their rows, as scores of different read-outs have no common scale; folds in which
    no class can be scored are left out.
    """

    score: float
    chosen: dict[object, Cell]
    best: Cell
    best_score: float


def nested_choice(
    scores: Mapping[Cell, np.ndarray],
    targets: np.ndarray,
    groups: np.ndarray | None,
    folds: np.ndarray,
    metric: str = "top1",
) -> NestedChoice:
    """Choose a cell without each fold and read the fold with it.

    Args:
        scores: (tap, read-out) -> out-of-fold class scores float64 [n, K].
        targets: bool [n, K].
        groups: [n] of any values, or None.
        folds: [n] of any values, those that the scores are out of.
        metric: "top1", "auc" or "cmap".
    Returns:
        The score, the choices; the first given of equals is chosen.
    Raises:
        InputError: as `rank_readouts`; folds that are not one a row; fewer than two folds; a group in several folds.
    """
    cells, rows = make_cells(scores, targets, groups, metric)
    if np.shape(folds) != rows.shape:
        raise InputError(f"nested choice: expected folds {rows.shape}, one a row, got {np.shape(folds)}.")
    names, fold_of = np.unique(np.asarray(folds)[rows], return_inverse=True)
    if len(names) < 2:
        raise InputError("nested choice: expected at least two folds, got 1.")
    pairs = len(np.unique(np.stack([cells.codes, fold_of]), axis=1).T)
    if pairs > cells.n_groups:
        raise InputError("nested choice: groups found in several folds, expected each group in one.")
    best, chosen = int(np.argmax(_plain(cells))), {}
    picked, kept, weights = [], [], []
    for i, name in enumerate(names):
        inside = fold_of == i
        elsewhere = _plain(cells.some(~inside))
        if np.isnan(elsewhere).all():
            raise InputError(f"nested choice: {metric} is undefined without fold {name}; are its classes in one fold?")
        choice = int(np.argmax(elsewhere))
        chosen[name.item()] = cells.names[choice]
        here = _plain(cells.some(inside))
        if np.isnan(here[choice]):
            continue
        picked.append(here[choice])
        kept.append(here[best])
        weights.append(inside.sum())
    if not weights:
        raise InputError(f"nested choice: {metric} is undefined in every fold. Are there fewer clips than folds?")
    return NestedChoice(
        score=float(np.average(picked, weights=weights)),
        chosen=chosen,
        best=cells.names[best],
        best_score=float(np.average(kept, weights=weights)),
    )


def _plain(cells: Cells) -> np.ndarray:
    """The metric of every cell [C]."""
    return cells.measure(np.ones((cells.n_groups, 1)))[:, 0]
