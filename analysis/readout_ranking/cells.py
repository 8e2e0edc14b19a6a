"""The cells of a table of taps x read-outs: their class scores, checked once, and any metric of them over groups."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...features import InputError
from .. import metrics
from ..resampling import Jackknife, bootstrap, group_codes, jackknife, jackknife_ratio

METRICS = {"top1": metrics.top1, "auc": metrics.macro_auc, "cmap": metrics.cmap}
Cell = tuple[str, str]  # tap, read-out


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells that are scored on the same rows.

    names: (tap, read-out) of each, C in all. scores: their float64 [n, K]. targets: bool [n, K]. codes: int [n], each
    row's group. n_groups: G. metric: a key of METRICS. Of top-1, only rows with a label are held.
    """

    names: tuple[Cell, ...]
    scores: tuple[np.ndarray, ...]
    targets: np.ndarray
    codes: np.ndarray
    n_groups: int
    metric: str

    def measure(self, times: np.ndarray) -> np.ndarray:
        """times [G, B], how often each data set holds each group -> the metric float64 [C, B], nan if undefined."""
        if self.metric == "top1":
            hits, sizes = self._hits()
            total = sizes @ times
            return np.divide(hits @ times, total, out=np.full((len(hits), len(total)), np.nan), where=total > 0)
        function = METRICS[self.metric]
        return np.array([metrics.resampled(function, self.targets, s, self.codes, times) for s in self.scores])

    def jackknife(self) -> Jackknife:
        """The metric of every cell, and without each group."""
        if self.metric == "top1":
            return jackknife_ratio(*self._hits())
        shares = np.bincount(self.codes, minlength=self.n_groups) / len(self.codes)
        return jackknife(self.measure, shares)

    def bootstrap(self, n_boot: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(the metric in draws of groups, and on the groups that each draw left out), float64 [C, B] each."""
        drawn, left_out = (np.empty((len(self.names), n_boot)) for _ in range(2))
        for part, times in bootstrap(self.n_groups, n_boot, rng):
            both = self.measure(np.hstack([times, times == 0]))  # once: counting the rows is the dearer half
            drawn[:, part], left_out[:, part] = both[:, : times.shape[1]], both[:, times.shape[1] :]
        return drawn, left_out

    def _hits(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows that are right [C, G], rows [G]) of top-1."""
        both = [metrics.label_hits(self.targets, s, self.codes, self.n_groups) for s in self.scores]
        return np.array([hits for hits, _ in both]), both[0][1]


def make_cells(scores: Mapping[Cell, np.ndarray], targets: np.ndarray, groups: np.ndarray | None, metric: str) -> Cells:
    """The cells of class scores, checked; of top-1, on the rows with a label.

    scores: (tap, read-out) -> float [n, K], larger is more certain. targets: bool [n, K]. groups: [n], or None: every
    row its own. InputError: no cells, scores or targets that do not fit or are not finite, an unknown metric, a single
    group, a metric that is undefined on these rows.
    """
    if metric not in METRICS:
        raise InputError(f"read-outs, metric: expected one of {', '.join(METRICS)}, got {metric!r}.")
    if not scores:
        raise InputError("read-outs: expected at least one tap and read-out, got none.")
    arrays, truth = [], np.asarray(targets)
    for (tap, readout), array in scores.items():
        try:
            truth, array = metrics.validate(targets, array)
        except InputError as error:
            raise InputError(f"read-out {readout} of tap {tap}: {error}") from None
        arrays.append(array.astype(np.float64, copy=False))
    rows = np.asarray(truth.any(axis=1)) if metric == "top1" else np.ones(len(truth), dtype=bool)
    if not rows.any():
        raise InputError("read-outs: expected at least one row with a label, got none.")
    if groups is not None and np.shape(groups) != (len(truth),):
        raise InputError(f"read-outs: expected groups {(len(truth),)}, one a row, got {np.shape(groups)}.")
    codes = group_codes(None if groups is None else np.asarray(groups)[rows], int(rows.sum()), "read-outs")
    if not rows.all():
        arrays, truth = [array[rows] for array in arrays], truth[rows]
    cells = Cells(tuple(scores), tuple(arrays), truth, codes, int(codes.max()) + 1, metric)
    if metric != "top1" and np.isnan(METRICS[metric](truth, arrays[0])):
        raise InputError(f"read-outs, {metric}: expected a class with a positive and a negative row, got none.")
    return cells
