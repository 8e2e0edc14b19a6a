"""What random folds give away: the same probe with clips dealt at random, and with groups kept whole.

Clips of one recording, author or site share background, microphone and often the animal itself, so a probe that may
look at a clip's sibling recognises the recording, not the species. The published probe (Yadav 2026) dealt at random.

Both kinds of folds are stratified and dealt several times over, and every clip's score is its mean over the dealings,
so that one lucky split does not pass for leakage. The difference is paired, clip by clip; its interval is a bootstrap
over groups.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.recordings import assign_folds
from .. import knn
from ..resampling import group_sums, percentile_interval
from ..scored_items import read_run

COLUMNS = (
    *("tap", "random", "random_lo", "random_hi", "grouped", "grouped_lo", "grouped_hi"),
    *("difference", "difference_lo", "difference_hi", "rank_random", "rank_grouped"),
    *("siblings", "siblings_lo", "siblings_hi", "n", "n_groups", "n_siblings", "n_classes"),
    *("n_folds", "repeats", "k", "unit", "grouping"),
)


def compare(
    features: Mapping[str, np.ndarray],
    labels,
    groups,
    *,
    k: int = 5,
    metric: str = "euclidean",
    n_folds: int = 5,
    repeats: int = 10,
    n_boot: int = 2000,
    seed: int = 0,
    unit: str = "clip",
    grouping: str = "",
) -> pd.DataFrame:
    """k-NN accuracy of every tap under random and under group folds, one row a tap, columns COLUMNS.

    features: tap -> [n, d]; labels, groups [n]. random, grouped: accuracy, mean over `repeats` dealings of `n_folds`
    folds; difference: random less grouped, so how much random folds inflate accuracy (shares, 95 % intervals).
    rank_*: 1 is the best tap, equals share their mean rank. siblings: the difference among the
    n_siblings rows that share their group with another row, the only
    ones that random folds can help directly (nan when there are none).
    InputError: groups that are all of one row (nothing to leak), too few groups for the folds.
    """
    labels, names = np.asarray(labels), np.asarray(groups)
    _, codes, sizes = np.unique(names, return_inverse=True, return_counts=True)
    has_sibling = sizes[codes] > 1
    if not has_sibling.any():
        raise InputError("leakage: every group is one row, so nothing can leak. Was no grouping given to the sweep?")
    splits = {
        kind: [assign_folds(labels.tolist(), known, None, n_folds, seed + r)[0] for r in range(repeats)]
        for kind, known in (("random", None), ("grouped", names.tolist()))
    }
    scores = {  # kind -> [taps, n], the share of dealings in which a row was labelled rightly
        kind: np.array(
            [np.mean([knn.correct(x, labels, f, k, metric) for f in folds], axis=0) for x in features.values()]
        )
        for kind, folds in splits.items()
    }
    scores["difference"] = scores["random"] - scores["grouped"]
    scores["siblings"] = np.where(has_sibling, scores["difference"], 0.0)
    times = np.random.default_rng(seed).multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=n_boot)
    table = pd.DataFrame({"tap": list(features)})
    for name, rows in scores.items():
        counted = np.bincount(codes, weights=has_sibling if name == "siblings" else None, minlength=len(sizes))
        sums = group_sums(rows, codes, len(sizes))  # [taps, groups]
        totals = times @ counted
        drawn = (times @ sums.T)[totals > 0] / totals[totals > 0, None]  # a draw may hold no siblings at all
        table[name] = sums.sum(axis=1) / counted.sum()
        table[f"{name}_lo"], table[f"{name}_hi"] = percentile_interval(drawn)
    for kind in splits:
        table[f"rank_{kind}"] = table[kind].rank(ascending=False)
    about = {"n": len(labels), "n_groups": len(sizes), "n_siblings": int(has_sibling.sum())}
    about |= {"n_classes": len(np.unique(labels)), "n_folds": n_folds, "repeats": repeats, "k": k}
    return table.assign(**about, unit=unit, grouping=grouping)[list(COLUMNS)]


def of_run(run: Path | str, repeats: int = 10) -> pd.DataFrame:
    """`compare` of a finished sweep, from the features.h5 and predictions.csv in its folder. The sweep's own folds are
    not used: both kinds are dealt anew."""
    run = read_run(run)
    return compare(run.features, run.labels, run.groups, repeats=repeats, **run.how)
