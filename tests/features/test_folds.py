"""Folds that never split a group."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from birdprobe.features import InputError
from birdprobe.features.recordings import assign_folds

counts_and_groups = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=30, max_size=80)


@settings(deadline=None, max_examples=60)
@given(rows=counts_and_groups, n_folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_folds_never_split_a_group_and_leave_every_class_something_to_learn(rows, n_folds, seed):
    labels, groups = [row[0] for row in rows], [str(row[1]) for row in rows]
    try:
        folds, words, _ = assign_folds(labels, groups, None, n_folds, seed, grouping="column site")
    except InputError as error:  # only for the reasons that it is meant for
        homes = defaultdict(set)
        for label, group in rows:
            homes[label].add(group)
        scarce = min(len(found) for found in homes.values()) < 2 or len(set(groups)) < n_folds
        assert scarce or min(Counter(labels).values()) < n_folds or len(homes) < 2, str(error)
        return
    assert folds.dtype == np.int64 and set(folds.tolist()) == set(range(n_folds)) and len(folds) == len(labels)
    homes = defaultdict(set)
    for group, fold in zip(groups, folds):
        homes[group].add(fold)
    assert all(len(found) == 1 for found in homes.values())
    for fold in range(n_folds):
        assert {label for label, home in zip(labels, folds) if home != fold} == set(labels)
    assert words == (
        f"{n_folds} stratified folds, shuffled with seed {seed}, {len(set(groups))} groups kept whole, column site"
    )
    np.testing.assert_array_equal(folds, assign_folds(labels, groups, None, n_folds, seed)[0])


def test_folds_without_groups_are_scikit_learns_and_warn():
    labels = ["a"] * 13 + ["b"] * 9
    folds, words, (warning,) = assign_folds(labels, [None] * 22, [""] * 22, 4, seed=5)
    for fold, (_, test) in enumerate(StratifiedKFold(4, shuffle=True, random_state=5).split(labels, labels)):
        np.testing.assert_array_equal(np.flatnonzero(folds == fold), test)
    assert words == "4 stratified folds, shuffled with seed 5, groups unknown"
    assert "no groups are known" in warning and "--group-regex" in warning


def test_given_folds_are_used_as_they_are():
    labels, given_folds = list("abab" * 3), ["10", "10", "2", "2", "1", "1"] * 2
    folds, words, warnings = assign_folds(labels, None, given_folds, 5, 0, folding="column fold")
    assert folds.tolist() == [2, 2, 1, 1, 0, 0] * 2  # in numeric order
    assert (words, warnings) == ("3 given folds (column fold)", ())


def test_a_group_in_two_given_folds_leaks():
    with pytest.raises(
        InputError, match=r"group 'R1': in the given folds 'x', 'y', expected one \(1 group of 2 split\)"
    ):
        assign_folds(list("abab"), ["R1", "R2", "R1", "R2"], ["x", "y", "y", "y"], 5)


@pytest.mark.parametrize(
    "labels, given_folds, message",
    [
        ("abab", ["1"] * 4, "expected at least 2.*got only '1'"),
        ("abab", ["1", "2", None, "2"], "1 clip without one"),
        ("aabbb", ["1", "1", "2", "2", "1"], "class 'a': all 2 clips in the given fold '1', so none is left"),
    ],
)
def test_given_folds_that_cannot_work(labels, given_folds, message):
    with pytest.raises(InputError, match=message):
        assign_folds(list(labels), None, given_folds, 5)


@pytest.mark.parametrize(
    "labels, groups, message",
    [
        (["wren"] * 3 + ["robin"] * 9, None, "class 'wren': 3 clips, fewer than the 5 folds; try --folds 3"),
        (["wren"] + ["robin"] * 9, None, "class 'wren': 1 clip, fewer than the 5 folds; leave it out"),
        (["wren"] * 3 + ["robin"] * 9, list("abcdefghijkl"), "class 'wren': 3 clips, fewer than the 5 folds"),
        (["wren"] * 6 + ["robin"] * 6, list("aabbccaabbcc"), "groups: found 3, fewer than the 5 folds; try --folds 3"),
        (["wren"] * 6 + ["robin"] * 6, list("aaaaaabcdefg"), "class 'wren': all 6 clips in one group"),
        (["wren"] * 9, None, "expected at least two classes, got only 'wren'"),
    ],
)
def test_folds_that_cannot_work(labels, groups, message):
    with pytest.raises(InputError, match=message):
        assign_folds(labels, groups, None, 5)


def test_one_fold_is_no_cross_validation():
    with pytest.raises(InputError, match=r"--folds: expected at least 2.*got 1"):
        assign_folds(list("abab"), None, None, 1)


def test_a_class_with_fewer_groups_than_folds_is_a_warning():
    labels = ["wren"] * 10 + ["robin"] * 20
    folds, _, (warning,) = assign_folds(
        labels, [f"w{i % 2}" for i in range(10)] + [f"r{i}" for i in range(20)], None, 5
    )
    assert warning == "1 class with fewer groups than the 5 folds: 'wren'."
    assert len(set(folds[:10].tolist())) == 2 and set(folds.tolist()) == set(range(5))
