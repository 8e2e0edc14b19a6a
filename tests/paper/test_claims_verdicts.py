"""Verdicts follow from numbers alone."""

import math

import pytest

from birdprobe.paper.claims import verdicts
from birdprobe.paper.claims.verdicts import FAILS, HOLDS, UNDECIDED

NAN = math.nan


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.01, 0.2, HOLDS), (-0.1, 0.2, UNDECIDED), (0.0, 0.2, UNDECIDED), (-0.2, -0.01, FAILS), (-0.2, 0.0, FAILS)],
)
def test_a_difference_above_zero(low, high, said):
    assert verdicts.positive((low + high) / 2, low, high) == said


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.004, 0.004, HOLDS),
        (0.001, 0.005, HOLDS),  # not zero, but nothing that matters
        (-0.02, 0.004, UNDECIDED),
        (-0.001, 0.3, UNDECIDED),  # too few recordings to call it equal
        (0.001, 0.02, FAILS),
        (-0.3, -0.2, FAILS),
    ],
)
def test_no_difference_is_shown_not_supposed(low, high, said):
    assert verdicts.equal((low + high) / 2, low, high, margin=0.005) == said


def test_without_an_interval_nothing_is_decided():
    assert verdicts.positive(0.5, NAN, NAN) == UNDECIDED == verdicts.equal(0.0, NAN, NAN, 0.1)


def test_the_best_of_many_is_corrected_for_the_choice():
    assert verdicts.best_of_many(0.05, 0.09, p=0.001) == HOLDS
    assert verdicts.best_of_many(0.05, 0.09, p=0.2) == UNDECIDED
    assert verdicts.best_of_many(0.05, 0.09, p=NAN) == UNDECIDED
    assert verdicts.best_of_many(-0.01, 0.02, p=NAN) == UNDECIDED
    assert verdicts.best_of_many(-0.05, -0.01, p=NAN) == FAILS


def test_bounds_and_stated_numbers():
    assert verdicts.at_most(15, 15) == HOLDS and verdicts.at_most(15.1, 15) == FAILS
    assert verdicts.near(440_000, 430_000, 0.1) == HOLDS and verdicts.near(847_000, 430_000, 0.1) == FAILS


def test_three_taps_cannot_show_an_order():
    # the note's three points: by chance one order in six is the same, and the reverse is as striking
    assert [n for n in range(8) if verdicts.can_order(n)] == [5, 6, 7]
