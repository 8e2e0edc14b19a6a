"""Few shots: what is drawn never shares a group with what is tested, scores against brute force, crossings."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

from birdprobe.analysis.runs import SHOT_COLUMNS
from birdprobe.analysis.studies import few_shot
from birdprobe.features import InputError

N = 240
RNG = np.random.default_rng(0)
LABELS = np.array(list("abc"))[RNG.integers(0, 3, N)]
GROUPS = RNG.integers(0, 40, N)  # most hold several classes
CODES = np.unique(LABELS, return_inverse=True)[1]
ROWS = np.arange(N, dtype=float)[:, None]  # a feature that says which row it is


def nearest_mean(readout, x, targets, x_test, k):
    means = np.array([x[of].mean(axis=0) for of in targets.T])
    return -cdist(x_test, means)


def test_no_group_stands_on_both_sides_and_every_class_has_its_shots():
    seen = []

    def spy(readout, x, targets, x_test, k):
        seen.append((x[:, 0].astype(int), targets, x_test[:, 0].astype(int), k))
        return nearest_mean(readout, x, targets, x_test, k)

    few_shot.few_shot({"a": ROWS}, LABELS, GROUPS, ["m"], (1, 2, 4, 8), transfer=spy, n_draws=5)
    assert len(seen) == 20
    for i, (train, targets, test, k) in enumerate(seen):
        size = (1, 2, 4, 8)[i // 5]
        assert not set(GROUPS[train]) & set(GROUPS[test])
        assert set(GROUPS) == set(GROUPS[train]) | set(GROUPS[test]) and len(set(train)) == len(train)
        np.testing.assert_array_equal(targets.argmax(axis=1), CODES[train])
        assert targets.sum(axis=0).tolist() == [size] * 3 and k == min(size, 5)
        untouched = ~np.isin(GROUPS, GROUPS[train])
        assert test.tolist() == np.flatnonzero(untouched).tolist()
    assert len({tuple(train) for train, *_ in seen}) == 20


def test_scores_are_means_over_the_draws_that_all_taps_share():
    strong = ROWS * 0 + 10 * np.eye(3)[CODES] + RNG.standard_normal((N, 3))
    features = {"weak": RNG.standard_normal((N, 2)), "strong": strong}
    found = few_shot.few_shot(features, LABELS, GROUPS, ["m", "n"], (4, 1), transfer=nearest_mean, n_draws=6, seed=3)
    assert list(found.table.columns) == list(SHOT_COLUMNS) and found.told == ""
    assert found.table["shots"].tolist() == [1] * 4 + [4] * 4
    scores = found.table.set_index(["tap", "readout", "shots"])["score"]
    assert (scores["strong"] > 0.99).all() and (scores["weak"] < 0.6).all()
    assert (found.table["lo"] <= found.table["score"]).all() and (found.table["score"] <= found.table["hi"]).all()
    again = few_shot.few_shot({"x": strong}, LABELS, GROUPS, ["m"], (4,), transfer=nearest_mean, n_draws=6, seed=3)
    assert again.table["score"].iloc[0] == scores["strong", "m", 4]


def test_what_a_class_cannot_give_is_left_out_and_told():
    labels, groups = np.repeat(list("abcd"), 6), np.repeat(np.arange(12), 2)
    groups[18:] = 9  # d: one group
    found = few_shot.few_shot(
        {"x": np.zeros((24, 1))}, labels, groups, ["m"], (1, 4, 5), transfer=nearest_mean, n_draws=3
    )
    assert found.table["shots"].tolist() == [1, 4] and (found.table["n_classes"] == 3).all()
    assert found.table["n_test"].tolist() == [12, 6]  # whole groups of two are left out
    assert found.told == (
        "Left out: class d (one group, 6 clips); 5 clips a class (class a has 4 at most when one of its groups is kept "
        "to test on)."
    )


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match="expected at least two classes with two groups, got 0"):
        few_shot.few_shot({"x": ROWS}, LABELS, LABELS, ["m"], transfer=nearest_mean)
    with pytest.raises(InputError, match=r"none of \[200\] clips a class can be drawn: class"):
        few_shot.few_shot({"x": ROWS}, LABELS, GROUPS, ["m"], [200], transfer=nearest_mean)


def curves(**taps):
    rows = [(tap, "knn", 2**i, score) for tap, scores in taps.items() for i, score in enumerate(scores)]
    return pd.DataFrame(rows, columns=["tap", "readout", "shots", "score"])


def test_a_crossing_is_found_where_the_lines_meet():
    table = curves(block_07=[0.5, 0.6, 0.6, 0.6], embedding=[0.3, 0.4, 0.7, 0.9], stem=[0.1, 0.4, 0.5, 0.6])
    records, sentence = few_shot.crossings(table, "embedding")
    assert len(records) == 1  # the stem only touches
    assert records[0] == {
        **{"readout": "knn", "tap": "block_07", "reference": "embedding", "before": 2, "after": 4},
        **{"at": pytest.approx(2 ** (1 + 2 / 3)), "leads_after": "embedding"},
    }
    assert sentence == "Under knn, embedding overtakes block_07 between 2 and 4 clips a class."


def test_a_crossing_through_a_tie_counts_once_and_none_is_said():
    table = curves(block_07=[0.2, 0.5, 0.9], embedding=[0.5, 0.5, 0.5])
    records, sentence = few_shot.crossings(table, "embedding")
    assert [(r["before"], r["after"], r["leads_after"]) for r in records] == [(1, 4, "block_07")]
    assert sentence == "Under knn, block_07 overtakes embedding between 1 and 4 clips a class."
    records, sentence = few_shot.crossings(curves(block_07=[0.6, 0.6], embedding=[0.5, 0.5]), "embedding")
    assert records == [] and sentence == "No tap's curve crosses that of embedding between 1 and 2 clips a class."
    with pytest.raises(InputError, match="got 'logits'"):
        few_shot.crossings(table, "logits")
