"""What a paper needs of a sweep beyond its ranking: how many clips suffice, and how much random folds inflate accuracy.

Both come from the cached features of a run, so nothing is run again; they take seconds a sweep. A sweep whose features
were removed, or that knows no groups, has none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...analysis import ranking
from ...analysis.studies import leakage, sample_size
from ...features import InputError
from .discovery import Sources
from .readers import Sweep

N_BOOT = 2000


@dataclass(frozen=True, eq=False)
class Evidence:
    """budgets, leaks: name of a sweep -> its frame. reasons: "budget NAME" or "leakage NAME" -> why there is none."""

    budgets: dict[str, pd.DataFrame] = field(default_factory=dict)
    leaks: dict[str, pd.DataFrame] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def gather(sources: Sources, say: Callable[[str], None] = print, draws: int = 200, repeats: int = 10) -> Evidence:
    """Probe budgets and leakage of all sweeps.

    draws: of `analysis.studies.sample_size.curve`; repeats: of `leakage.compare`.
    """
    found = Evidence()
    for sweep in sources.sweeps:
        if sweep.store is None:
            found.reasons[f"budget {sweep.name}"] = found.reasons[f"leakage {sweep.name}"] = "features.h5 was removed"
            continue
        say(f"{sweep.name}: probe budget and leakage")
        try:
            found.budgets[sweep.name] = sample_size.of_run(sweep.path, draws=draws)
        except InputError as fault:
            found.reasons[f"budget {sweep.name}"] = str(fault)
        if sweep.run.n_groups is None:
            found.reasons[f"leakage {sweep.name}"] = "the sweep knows no groups"
            continue
        try:
            found.leaks[sweep.name] = leakage.of_run(sweep.path, repeats=repeats)
        except InputError as fault:
            found.reasons[f"leakage {sweep.name}"] = str(fault)
    return found


def order_kept(one: Sweep, other: Sweep) -> ranking.Agreement:
    """Rank agreement of two sweeps of one model over the taps that both read, intervals by resampling taps' clips.

    InputError: fewer than 3 common taps.
    """
    taps = [tap for tap in one.ranking.index if tap in other.ranking.index]
    if len(taps) < 3:
        raise InputError(f"{one.name}, {other.name}: expected 3 or more common taps, got {len(taps)}.")
    draws = [_draws(sweep, taps, seed) for seed, sweep in enumerate((one, other))]
    scores = [sweep.ranking.loc[taps, "knn"].to_numpy(dtype=float) for sweep in (one, other)]
    return ranking.agreement(*scores, *draws)


def _draws(sweep: Sweep, taps: list[str], seed: int) -> np.ndarray:
    """Accuracy of every tap in every bootstrap draw over groups [N_BOOT, taps]."""
    table = sweep.run.predictions
    correct = {tap: (table[tap] == table["label"]).to_numpy() for tap in taps}
    groups = None if sweep.run.n_groups is None else table["group"].to_numpy()
    return ranking.rank(correct, groups, taps[-1], n_boot=N_BOOT, n_perm=1, seed=seed).draws
