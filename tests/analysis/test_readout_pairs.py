"""References of several models, and paired tests of any cells: equal to plain sign flips, and paid for the choice."""

from itertools import product

import numpy as np
import pytest

from birdprobe.analysis.readout_ranking import compare_pairs, rank_readouts
from birdprobe.analysis.significance import sign_flip
from birdprobe.features import InputError
from tests.analysis.test_readout_ranking import sweep

REFERENCES = {"block_0": "block_1", "block_1": "block_1", "block_2": "block_3", "block_3": "block_3"}


def ranked(n_groups=20, seed=0, **options):
    return rank_readouts(*sweep(np.random.default_rng(seed), 4, 2, n_groups), REFERENCES, n_boot=50, **options)


def test_each_tap_is_compared_with_its_own_reference():
    found = ranked(n_perm=400)
    one = rank_readouts(*sweep(np.random.default_rng(0), 4, 2), "block_3", n_boot=50, n_perm=400)
    assert (found.reference, one.reference) == ("", "block_3")
    table = found.table.set_index(["tap", "readout"])
    for (tap, readout), row in table.iterrows():
        assert row["vs_last"] == pytest.approx(row["score"] - table.loc[(REFERENCES[tap], readout), "score"])
    for column in ("score", "lo", "hi", "corrected", "p_best"):  # what knows no reference does not change
        np.testing.assert_array_equal(found.table[column], one.table[column])
    same = found.table["tap"].isin(["block_2", "block_3"])
    for column in ("vs_last", "vs_last_lo", "vs_last_hi"):
        np.testing.assert_array_equal(found.table[same][column], one.table[same][column])
    best = found.best(["knn"])
    assert best.last_score == pytest.approx(best.score - best.vs_last)


def test_one_reference_for_all_may_be_given_by_name():
    data = sweep(np.random.default_rng(1), 3, 2)
    one, every = (
        rank_readouts(*data, reference, n_boot=20, n_perm=100)
        for reference in ("block_2", dict.fromkeys(["block_0", "block_1", "block_2"], "block_2"))
    )
    assert one.table.equals(every.table) and one.reference == every.reference == "block_2"


def test_a_reference_that_was_not_ranked_is_refused():
    with pytest.raises(InputError, match="expected the reference 'block_9' among them"):
        rank_readouts(*sweep(np.random.default_rng(0), 4, 1), REFERENCES | {"block_2": "block_9"}, n_boot=5, n_perm=20)


@pytest.mark.parametrize("n_groups", [8, 20])  # all sign patterns, and random ones
def test_pairs_equal_sign_flips_of_their_differences(n_groups):
    ranking = ranked(n_groups, n_perm=600, seed=3)
    pairs = [(one, other) for one, other in product(ranking.cells, repeat=2) if one[0] < other[0]]
    found = compare_pairs(ranking, pairs)
    places = np.array([[ranking.cells.index(cell) for cell in pair] for pair in pairs]).T
    differences = ranking.jackknife.take(places[0]).minus(ranking.jackknife.take(places[1]))
    p, adjusted = sign_flip(differences.contributions, 600, np.random.default_rng([0, 3]))
    tolerance = 1e-12 if n_groups == 8 else 0.08  # groups in which nothing differs take no draws there
    np.testing.assert_allclose(found["p"], p, atol=tolerance)
    np.testing.assert_allclose(found["p_adjusted"], adjusted, atol=tolerance)
    np.testing.assert_allclose(found["difference"], differences.value)
    low, high = differences.difference_interval()
    np.testing.assert_allclose(found[["lo", "hi"]], np.c_[low, high])


def test_a_larger_family_costs_and_equal_cells_never_differ():
    scores, targets, groups = sweep(np.random.default_rng(2), 4, 2)
    scores["twin", "knn"] = scores["block_0", "knn"]
    ranking = rank_readouts(scores, targets, groups, dict.fromkeys(["twin", *REFERENCES], "block_0"), n_boot=5)
    pair = (("block_1", "knn"), ("block_0", "knn"))
    every = [(one, other) for one in ranking.cells for other in ranking.cells]
    alone, among = compare_pairs(ranking, [pair]), compare_pairs(ranking, [pair], every)
    assert alone["p"].item() == pytest.approx(alone["p_adjusted"].item())
    assert among["p_adjusted"].item() >= alone["p_adjusted"].item() - 0.01
    twins = compare_pairs(ranking, [(("twin", "knn"), ("block_0", "knn"))], every)
    assert twins["p"].item() == twins["p_adjusted"].item() == 1 and twins["difference"].item() == 0
    assert compare_pairs(ranking, []).empty
