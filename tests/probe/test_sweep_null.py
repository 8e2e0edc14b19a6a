"""Under the null no tap is named: simulated sweeps in which nothing distinguishes the taps."""

import numpy as np
import pytest
from scipy.stats import binom

from birdprobe.analysis.readout_ranking import rank_readouts
from birdprobe.analysis.readouts import DEFAULT, out_of_fold_all
from birdprobe.probe.sweep.conclusion import conclude

TAPS = ("block_00", "block_01", "block_02", "embedding")
CLASSES, GROUPS, PER_GROUP, DIMS = 3, 15, 4, 6
NAMED_AT_MOST = 0.05  # of the sweeps, the size that the family-wise tests promise


def sweep_names_a_tap(seed: int, of_groups: bool = False) -> bool:
    """One simulated sweep: whether a tap is named in place of the embedding, in either use.

    Clips come in groups with a centre of their own at every tap; classes are dealt at random to clips, or
    to whole groups with `of_groups`.
    """
    rng = np.random.default_rng([seed, 20])
    groups = np.repeat(np.arange(GROUPS), PER_GROUP)
    folds = groups % 5
    if of_groups:
        labels = rng.permutation(np.arange(GROUPS) % CLASSES)[groups]
    else:
        labels = rng.permutation(np.arange(len(groups)) % CLASSES)
    targets = labels[:, None] == np.arange(CLASSES)
    scores = {}
    for tap in TAPS:
        own = rng.normal(size=(GROUPS, DIMS))[groups]
        x = own + rng.normal(size=own.shape)
        found = out_of_fold_all(DEFAULT, x.astype(np.float32), targets, folds)
        scores |= {(tap, name): found[name] for name in DEFAULT}
    ranking = rank_readouts(scores, targets, groups, "embedding", n_boot=20, n_perm=1000, seed=seed, n_folds=5)
    conclusion = conclude(ranking, 5)
    return any(advice.beats_last for advice in (conclusion.training_free, conclusion.linear))


def test_a_tap_that_is_better_is_named():  # the simulation below can fail: it sees what is there
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(GROUPS), PER_GROUP)
    labels = rng.permutation(np.arange(len(groups)) % CLASSES)
    targets = labels[:, None] == np.arange(CLASSES)
    scores = {}
    for tap in TAPS:
        x = 4.0 * (tap == "block_01") * np.eye(DIMS)[labels] + rng.normal(size=(len(labels), DIMS))
        found = out_of_fold_all(DEFAULT, x, targets, groups % 5)
        scores |= {(tap, name): found[name] for name in DEFAULT}
    conclusion = conclude(rank_readouts(scores, targets, groups, "embedding", n_boot=20), 5)
    assert conclusion.training_free.tap == conclusion.linear.tap == "block_01"
    assert conclusion.training_free.beats_last and conclusion.linear.beats_last


@pytest.mark.parametrize("sweeps", [25, pytest.param(400, marks=pytest.mark.slow)])
def test_at_most_one_null_sweep_in_twenty_names_a_tap(sweeps):
    """Classes dealt at random. More than the 99.9 % quantile of Binomial(sweeps, 0.05) would refute the promise."""
    named = sum(sweep_names_a_tap(seed) for seed in range(sweeps))
    assert named <= binom.ppf(0.999, sweeps, NAMED_AT_MOST), f"{named} of {sweeps}"


@pytest.mark.slow
def test_at_most_one_null_sweep_in_twenty_names_a_tap_where_a_group_has_one_class():
    """2000 sweeps, because 400 are too few to tell 8 % from 5 %."""
    named = sum(sweep_names_a_tap(seed, of_groups=True) for seed in range(2000))
    assert named <= binom.ppf(0.999, 2000, NAMED_AT_MOST), f"{named} of 2000"
