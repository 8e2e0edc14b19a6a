"""Macro ROC-AUC on all rows and on all rows but one fold's, for every fold, from one sort.

ROC-AUC counts pairs of a positive and a negative row. Counted by the folds of the two, W[f, g] pairs are won by a
positive row of fold f against a negative row of fold g; any union of folds is a sum over a block of W.
"""

import numpy as np

_CHUNK = 2_000_000  # entries of one [classes, rows] block


class Pairs:
    """truth [n, K] bool and folds [n] in 0..F-1, prepared for many tables of scores of the same rows.

    classes: bool [K], those with a positive and a negative row; only they need be handed in.
    """

    def __init__(self, truth: np.ndarray, folds: np.ndarray):
        self.classes = truth.any(axis=0) & ~truth.all(axis=0)
        self._truth = np.ascontiguousarray(truth[:, self.classes].T)  # [K, n]
        self._folds = folds
        self._n_folds = int(folds.max()) + 1
        in_fold = np.eye(self._n_folds)[folds]  # [n, F]
        self._parts = np.concatenate([np.ones((1, self._n_folds)), 1 - np.eye(self._n_folds)])  # [1 + F, F]
        positive = self._truth @ in_fold @ self._parts.T  # [K, 1 + F] rows
        negative = ~self._truth @ in_fold @ self._parts.T
        self._pairs = positive * negative

    @property
    def defined(self) -> np.ndarray:
        """bool [1 + F]: has that part of the rows a class with a positive and a negative row?"""
        return (self._pairs > 0).any(axis=0)

    def macro_auc(self, scores: np.ndarray) -> np.ndarray:
        """scores [n, K of `classes`] -> [1 + F]: on all rows, then without fold 0, 1, ...; nan where undefined."""
        scores = np.ascontiguousarray(scores.T)
        step = max(1, _CHUNK // scores.shape[1])
        blocks = [slice(i, i + step) for i in range(0, len(scores), step)]
        won = np.concatenate([self._won(self._truth[some], scores[some]) for some in blocks])  # [K, F, F]
        won = np.einsum("bf,kfg,bg->kb", self._parts, won, self._parts, optimize=True)
        auc = np.divide(won, self._pairs, out=np.zeros_like(won), where=self._pairs > 0)
        count = (self._pairs > 0).sum(axis=0)
        return np.divide(auc.sum(axis=0), count, out=np.full(len(count), np.nan), where=count > 0)

    def _won(self, truth, scores) -> np.ndarray:
        """[K, F, F]: pairs won by positives of the first fold against negatives of the second, ties one half."""
        n_classes, n = scores.shape
        order = np.argsort(scores, axis=1)
        ranked = np.take_along_axis(scores, order, axis=1)
        positive, fold = np.take_along_axis(truth, order, axis=1), self._folds[order]
        border = np.ones((n_classes, n + 1), dtype=bool)  # i: does a run of equal scores start at rank i?
        border[:, 1:-1] = ranked[:, 1:] != ranked[:, :-1]
        place = np.arange(n + 1)
        start = np.maximum.accumulate(np.where(border, place, 0), axis=1)
        end = np.minimum.accumulate(np.where(border, place, n)[:, ::-1], axis=1)[:, ::-1]
        k, i = np.nonzero(positive)
        first, behind = start[k, i], end[k, i + 1]
        cell = k * self._n_folds + fold[k, i]
        won = np.empty((n_classes * self._n_folds, self._n_folds))
        lower = np.zeros((n_classes, n + 1))
        for g in range(self._n_folds):
            np.cumsum(~positive & (fold == g), axis=1, out=lower[:, 1:])
            won[:, g] = np.bincount(cell, (lower[k, first] + lower[k, behind]) / 2, minlength=len(won))
        return won.reshape(n_classes, self._n_folds, self._n_folds)
