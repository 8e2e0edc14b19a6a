"""How many clips a probe needs until its ranking of the taps stays put.

A small set of clips is drawn from a finished sweep, a class at a time and group by group, every tap is probed on it
alone, and its ranking is compared with two others: that of all clips, and that of as many clips of other groups.

The first comparison is what the published probe asks of itself (600 clips, Table 1 of Yadav 2026). It is too
optimistic: the small set is part of the large one, so the curve reaches 1 at the full size whatever the clips are. The
second shares no group, so it tells whether another laboratory with as many clips of its own would have read the
same block.

Draws are without replacement and keep the sweep's folds, so no clip ever stands on both sides of a split. Groups are
taken whole, so a small set may hold a class from one recording only, which then cannot be recognised from another fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...features import InputError
from .. import knn, ranking
from ..resampling import wilson
from ..scored_items import read_run

COLUMNS = (
    *("n_clips", "per_class", "draws", "p_same_top", "p_same_top_lo", "p_same_top_hi", "p_within_tie"),
    *("p_within_tie_lo", "p_within_tie_hi", "loss", "loss_lo", "loss_hi", "spearman", "lo", "hi"),
    *("pairs", "p_two_agree", "p_two_agree_lo", "p_two_agree_hi", "spearman_two", "spearman_two_lo", "spearman_two_hi"),
    *("top", "tied", "n_taps", "n_all", "n_groups", "n_classes", "k", "unit", "grouping"),
)
STEPS = (2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)  # clips a class, about a factor of root 2 apart
_TRIES = 20  # to draw a set that leaves k neighbours outside its largest fold


@dataclass(frozen=True, eq=False)
class _Neighbours:
    """One tap's neighbours: order [n, n], each row's columns by rising distance, those of its own fold last."""

    order: np.ndarray
    outside: np.ndarray  # [n] how many lie outside the row's fold

    def correct(self, chosen: np.ndarray, codes: np.ndarray, k: int) -> np.ndarray:
        """bool [m]: is each chosen row labelled rightly by its k nearest chosen rows of other folds?"""
        mask = np.zeros(len(codes), dtype=bool)
        mask[chosen] = True
        n, m = len(codes), len(chosen)
        for depth in (min(n, 20 + 6 * k * n // m), n):  # k chosen rows are nearly always among the first few
            order = self.order[chosen, :depth]
            hits = mask[order] & (np.arange(depth) < self.outside[chosen, None])
            if hits.sum(axis=1).min() >= k:
                break
        flat = np.flatnonzero(hits)
        first = np.concatenate([[0], np.cumsum(hits.sum(axis=1))[:-1]])
        nearest = order.ravel()[flat[first[:, None] + np.arange(k)]]  # [m, k]
        return knn.vote(codes[nearest]) == codes[chosen]


def curve(
    features: Mapping[str, np.ndarray],
    labels,
    folds,
    groups=None,
    *,
    k: int = 5,
    metric: str = "euclidean",
    per_class: Sequence[int] | None = None,
    draws: int = 200,
    seed: int = 0,
    unit: str = "clip",
    grouping: str = "",
) -> pd.DataFrame:
    """How stable the ranking is at each number of clips, one row a size, columns COLUMNS. Deterministic in `seed`.

    features: tap -> [n, d]; labels, folds, groups [n] (without groups every row is its own). per_class: sizes in clips
    a class (a class with fewer gives all it has); by default steps of about the root of 2, from 4 k clips in all up to
    the smallest class.

    p_same_top: share of draws whose most accurate tap is that of all clips (equals count in parts);
    p_within_tie: whose most accurate tap is one that all clips do not separate from the best (`ranking.tied`);
    loss: accuracy, over all clips, that is given away by reading the draw's tap instead of the best, a share;
    spearman: rank agreement of all taps with the ranking of all clips; lo, hi: its 2.5 and 97.5 percentiles over draws,
    and so of loss. p_two_agree, spearman_two: the same between two draws without a common group, over `pairs` draws
    for which there were clips enough (nan when there were none). Intervals of shares: Wilson, 95 %, of the number of
    draws; they do not tell what other clips would have given. top, tied (joined by ";"): of all clips.
    InputError: a class or size too small for k neighbours, fewer than 3 taps.
    """
    labels, folds = np.asarray(labels), np.asarray(folds)
    names, codes = np.unique(labels, return_inverse=True)
    groups = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if len(features) < 3:
        raise InputError(f"budget: expected 3 or more taps to rank, got {len(features)}.")
    sizes = _sizes(np.bincount(codes), per_class, k)
    neighbours, correct = {}, {}
    for tap, x in features.items():
        correct[tap] = knn.correct(x, labels, folds, k, metric)
        neighbours[tap] = _neighbours(np.asarray(x), folds, metric)
    full = np.array([rows.mean() for rows in correct.values()])
    best = list(features)[int(full.argmax())]
    tied = ranking.tied(correct, groups, best, seed=seed)
    within = np.array([tap in tied for tap in features])
    records = []
    for size in sizes:
        rng = np.random.default_rng([seed, size])
        found = [_draw(neighbours, codes, folds, groups, size, k, rng) for _ in range(draws)]
        n = int(np.minimum(size, np.bincount(codes)).sum())
        records.append(_summary(found, full, within) | {"n_clips": n, "per_class": size})
    about: dict[str, Any] = {
        "top": best,
        "tied": ";".join(tied),
        "n_taps": len(features),
        "n_all": len(labels),
        "n_groups": len(np.unique(groups)),
        "n_classes": len(names),
        "k": k,
        "unit": unit,
        "grouping": grouping,
    }
    return pd.DataFrame(records).assign(draws=draws, **about)[list(COLUMNS)]


def of_run(run: Path | str, draws: int = 200) -> pd.DataFrame:
    """`curve` of a finished sweep, from the features.h5 and predictions.csv in its folder."""
    run = read_run(run)
    return curve(run.features, run.labels, run.folds, run.groups, draws=draws, **run.how)


def enough(frame: pd.DataFrame, share: float = 0.95, column: str = "p_within_tie") -> int | None:
    """The least number of clips from which on `column` stays at `share` or above; None when it never gets there."""
    below = np.flatnonzero(frame[column].fillna(0).to_numpy() < share)
    after = int(below[-1]) + 1 if len(below) else 0
    return int(frame["n_clips"].iloc[after]) if after < len(frame) else None


def _sizes(counts: np.ndarray, per_class: Sequence[int] | None, k: int) -> list[int]:
    smallest, largest = int(counts.min()), int(counts.max())
    if per_class is None:
        return [*(size for size in STEPS if size < smallest and size * len(counts) >= 4 * k), smallest]
    sizes = sorted(set(per_class))
    if not sizes or sizes[0] < 1 or sizes[-1] > largest:
        raise InputError(f"budget: expected 1 to {largest} clips a class, all that there are, got {sizes}.")
    return sizes


def _neighbours(x: np.ndarray, folds: np.ndarray, metric: str) -> _Neighbours:
    """Exact up to float64 rounding: rows are centred first, so that a large common offset costs no digits."""
    x = x.astype(np.float64)
    if metric == "cosine":
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    else:
        x = x - x.mean(axis=0)
    norm2 = np.einsum("ij,ij->i", x, x)
    squared = norm2 / 2 - x @ x.T  # orders a row's columns as the distance does
    inside = folds[:, None] == folds
    squared[inside] = np.inf
    return _Neighbours(np.argsort(squared, axis=1, kind="stable"), (~inside).sum(axis=1))


def _draw(neighbours, codes, folds, groups, size, k, rng) -> tuple[np.ndarray, np.ndarray | None]:
    """(accuracy [taps] on a draw, the same on as many clips of other groups, None where these do not suffice)."""
    for _ in range(_TRIES):
        priority = rng.permutation(int(groups.max()) + 1)[groups] + rng.random(len(groups))  # whole groups, one by one
        order = np.argsort(priority)
        chosen = _first(order, codes, size)
        if _large_enough(chosen, folds, k):
            break
    else:
        raise InputError(
            f"budget: {len(chosen)} clips leave fewer than k = {k} outside the largest fold. Ask for more a class?"
        )
    rest = order[::-1][~np.isin(groups[order[::-1]], groups[chosen])]
    other = _first(rest, codes, size)
    wanted = np.minimum(size, np.bincount(codes))
    whole = np.array_equal(np.bincount(codes[other], minlength=len(wanted)), wanted)
    first = np.array([tap.correct(chosen, codes, k).mean() for tap in neighbours.values()])
    if not whole or not _large_enough(other, folds, k):
        return first, None
    return first, np.array([tap.correct(other, codes, k).mean() for tap in neighbours.values()])


def _first(order: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """The first `size` rows of every class in `order`, ascending."""
    by_class = order[np.argsort(codes[order], kind="stable")]
    count = np.bincount(codes[by_class])
    place = np.arange(len(by_class)) - np.repeat(np.cumsum(count) - count, count)
    return np.sort(by_class[place < size])


def _large_enough(chosen: np.ndarray, folds: np.ndarray, k: int) -> bool:
    return len(chosen) - np.unique(folds[chosen], return_counts=True)[1].max() >= k if len(chosen) else False


def _summary(found: list, full: np.ndarray, within: np.ndarray) -> dict:
    """One row of the curve from the draws of one size."""
    scores = np.array([first for first, _ in found])  # [draws, taps]
    pairs = [(first, other) for first, other in found if other is not None]
    tops = _tops(scores)
    loss = tops @ (full.max() - full)
    rho = ranking.spearman(scores, np.broadcast_to(full, scores.shape))
    row = (
        {"pairs": len(pairs)}
        | _share("p_same_top", tops @ (full == full.max()))
        | _share("p_within_tie", tops @ within)
    )
    row |= {"loss": loss.mean()} | dict(zip(("loss_lo", "loss_hi"), np.percentile(loss, (2.5, 97.5))))
    row |= _spread("spearman", rho, ("lo", "hi"))
    one, two = (np.array([pair[i] for pair in pairs]).reshape(-1, len(full)) for i in (0, 1))
    row |= _share("p_two_agree", (_tops(one) * _tops(two)).sum(axis=1))
    return row | _spread("spearman_two", ranking.spearman(one, two), ("spearman_two_lo", "spearman_two_hi"))


def _tops(scores: np.ndarray) -> np.ndarray:
    """Each draw's most accurate taps [draws, taps]: 1 for one, 1 / m for each of m equals."""
    top = scores == scores.max(axis=1, keepdims=True) if len(scores) else np.zeros(scores.shape)
    return top / np.maximum(top.sum(axis=1, keepdims=True), 1)


def _share(name: str, parts: np.ndarray) -> dict[str, float]:
    """Mean of parts in 0..1 and its Wilson interval (1927), for the number of draws."""
    p = float(parts.mean()) if len(parts) else np.nan
    low, high = wilson(p, len(parts), 1.959964) if len(parts) else (np.nan, np.nan)
    return {name: p, f"{name}_lo": float(low), f"{name}_hi": float(high)}


def _spread(name: str, values: np.ndarray, ends: tuple[str, str]) -> dict[str, float]:
    values = values[~np.isnan(values)]
    low, high = np.percentile(values, (2.5, 97.5)) if len(values) else (np.nan, np.nan)
    return {name: values.mean() if len(values) else np.nan, ends[0]: low, ends[1]: high}
