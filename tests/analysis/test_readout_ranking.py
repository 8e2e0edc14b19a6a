"""Rankings of taps x read-outs: their promises under the null, what choosing costs, agreement with scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from birdprobe.analysis import ranking, resampling
from birdprobe.analysis.readout_ranking import best_index, corrected_score, rank_readouts
from birdprobe.analysis.runs import READOUT_COLUMNS
from birdprobe.features import InputError

READOUTS = ("knn", "cosine", "standard", "centroid", "linear")


def sweep(rng, taps=6, readouts=5, n_groups=20, gains=None, classes=3):
    """(scores, targets, groups): recordings of unequal size that are easy or hard for all, taps and read-outs that
    share much of their noise. gains: by how much each tap is better, 0 for all by default."""
    groups = np.repeat(np.arange(n_groups), rng.integers(2, 11, n_groups))
    targets = np.eye(classes, dtype=bool)[rng.integers(0, classes, n_groups)[groups]]

    def noise():
        return rng.standard_normal((n_groups, classes))[groups] * 0.6 + rng.standard_normal(targets.shape) * 0.8

    common, by_readout = noise(), [noise() for _ in range(readouts)]
    scores = {}
    for i in range(taps):
        by_tap = noise()
        for readout, shared in zip(READOUTS, by_readout):
            total = (common + by_tap + shared + noise()) / 2 + (1 + (0 if gains is None else gains[i])) * targets
            scores[f"block_{i}", readout] = total
    return scores, targets, groups


def binary(right):
    """Rows that are right -> class scores of two classes and their targets (always class 0)."""
    return {cell: np.c_[row, ~row].astype(float) for cell, row in right.items()}, np.tile([True, False], (10, 1))


def test_table_has_the_contract_columns_and_the_metric_of_scikit_learn():
    rng = np.random.default_rng(0)
    scores, _, groups = sweep(rng, 3, 2)
    targets = rng.random((len(groups), 3)) < 0.4  # several labels a row, or none
    for metric, function in (("auc", roc_auc_score), ("cmap", average_precision_score)):
        result = rank_readouts(scores, targets, groups, "block_2", metric, n_boot=50, n_perm=50)
        assert tuple(result.table.columns) == READOUT_COLUMNS
        assert result.cells == tuple(scores) and (result.n, result.n_groups) == (len(groups), 20)
        wanted = [function(targets, s, average="macro") for s in scores.values()]
        np.testing.assert_allclose(result.table["score"], wanted, atol=1e-12)
    result = rank_readouts(scores, targets, groups, "block_2", n_boot=50, n_perm=50)
    labelled = targets.any(axis=1)
    top = [np.mean(targets[labelled, s[labelled].argmax(axis=1)]) for s in scores.values()]
    np.testing.assert_allclose(result.table["score"], top)
    assert result.n == labelled.sum()
    for _, rows in result.table.groupby("readout"):
        assert rows["p_best"].sum() == pytest.approx(1)
        reference = rows.set_index("tap").loc["block_2"]
        assert list(reference[["vs_last", "vs_last_lo", "vs_last_hi"]]) == [0, 0, 0]
        assert reference["vs_last_p"] == reference["vs_last_p_adjusted"] == 1
        np.testing.assert_allclose(rows["vs_last"], rows["score"] - reference["score"])
    table = result.table
    assert np.all((table["lo"] <= table["score"]) & (table["score"] <= table["hi"]))
    assert np.all(table["vs_last_p"] <= table["vs_last_p_adjusted"])


def test_top1_of_one_read_out_is_the_published_ranking():
    scores, targets, groups = sweep(np.random.default_rng(1), 4, 1)
    result = rank_readouts(scores, targets, groups, "block_3", n_boot=300, n_perm=300, seed=4)
    correct = {tap: targets[np.arange(len(groups)), s.argmax(axis=1)] for (tap, _), s in scores.items()}
    old = ranking.rank(correct, groups, "block_3", n_boot=300, n_perm=300, seed=4)
    names = {"score": "knn", "lo": "knn_lo", "hi": "knn_hi"}
    for column in ("score", "lo", "hi", "p_best", "vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p"):
        np.testing.assert_allclose(result.table[column], old.table[names.get(column, column)], atol=1e-12)
    assert result.best(["knn"]).p_adjusted == old.best_p_adjusted


def test_no_winner_is_named_in_more_than_5_of_100_null_sweeps():
    rng, n = np.random.default_rng(2), 400
    named, adjusted, plain = 0, 0, 0
    for seed in range(n):
        result = rank_readouts(*sweep(rng), "block_5", n_boot=4, n_perm=200, seed=seed)
        named += result.best(READOUTS).beats_last
        adjusted += (result.table["vs_last_p_adjusted"] < 0.05).any()
        plain += (result.table["vs_last_p"] < 0.05).any()
    slack = 3 * np.sqrt(0.05 * 0.95 / n)
    assert named <= adjusted < n * (0.05 + slack)
    assert plain > n * (0.10 + slack)  # without the family, a winner would be found in far more


@pytest.mark.slow
@pytest.mark.parametrize(("metric", "n_groups"), [("auc", 10), ("cmap", 20)])
def test_other_metrics_name_no_winner_of_a_null_sweep_either(metric, n_groups):
    rng, n = np.random.default_rng(7), 400
    found = 0
    for seed in range(n):
        result = rank_readouts(*sweep(rng, n_groups=n_groups), "block_5", metric, n_boot=2, n_perm=400, seed=seed)
        found += (result.table["vs_last_p_adjusted"] < 0.05).any()
    assert found < n * (0.05 + 2 * np.sqrt(0.05 * 0.95 / n))


def test_a_real_gain_is_found_and_six_groups_cannot_show_more_than_they_hold():
    scores, targets, groups = sweep(np.random.default_rng(3), 3, 2, 40, gains=(0, 2, 0))
    result = rank_readouts(scores, targets, groups, "block_2", n_boot=200)
    choice = result.best(("knn", "cosine"))
    assert choice.tap == "block_1" and choice.beats_last and choice.vs_last_lo > 0
    assert choice.vs_last == pytest.approx(choice.score - choice.last_score)
    few = rank_readouts(*sweep(np.random.default_rng(3), 3, 2, 6, gains=(0, 5, 0)), "block_2", n_boot=20)
    assert few.smallest_p == 2 / 64 and few.table["vs_last_p"].min() >= few.smallest_p


def test_of_equal_cells_the_reference_comes_first_then_the_first_given():
    right = {(tap, "knn"): np.arange(10) % 3 > 0 for tap in ("a", "b")}
    result = rank_readouts(*binary(right), None, "b", n_boot=100)
    assert result.best(["knn"]).tap == "b" and not result.best(["knn"]).beats_last
    assert list(result.table["p_best"]) == [0.5, 0.5] and list(result.table["vs_last_p"]) == [1, 1]
    assert list(result.table["corrected"]) == pytest.approx(list(result.table["score"]))
    right["c", "knn"] = np.arange(10) % 3 > 1
    assert rank_readouts(*binary(right), None, "c", n_boot=100).best(["knn"]).tap == "a"


def test_only_the_winner_of_a_read_out_is_corrected_and_a_single_tap_keeps_its_score():
    scores, targets, groups = sweep(np.random.default_rng(4), 6, 2)
    table = rank_readouts(scores, targets, groups, "block_5", n_boot=500).table
    for _, rows in table.groupby("readout"):
        winner = rows["score"].idxmax()
        assert rows["corrected"][winner] < rows["score"][winner]
        others = rows.drop(winner)
        assert list(others["corrected"]) == list(others["score"])
    one = {("block_0", "knn"): scores["block_0", "knn"]}
    for metric in ("top1", "auc", "cmap"):
        alone = rank_readouts(one, targets, groups, "block_0", metric, n_boot=100)
        assert alone.table["corrected"][0] == pytest.approx(alone.table["score"][0])


def test_the_corrected_score_is_what_a_choice_has_on_new_rows():
    """30 cells of accuracy 0.7 on 30 recordings: the best looks better than 0.7, the corrected score does not."""
    rng, best, corrected = np.random.default_rng(5), [], []
    sizes = np.arange(30) % 4 + 2.0
    for _ in range(300):
        chance = rng.beta(0.7 * 9, 0.3 * 9, (30, 30))
        sums = rng.binomial(sizes.astype(int), chance).astype(float)
        ((_, times),) = resampling.bootstrap(30, 200, rng)
        value = sums.sum(axis=1) / sizes.sum()
        outside = times == 0
        best.append(value.max())
        corrected.append(corrected_score(value, sums @ times / (sizes @ times), sums @ outside / (sizes @ outside)))
    error = np.std(corrected) / np.sqrt(300)
    assert abs(np.mean(corrected) - 0.7) < 3 * error < 0.01
    assert np.mean(best) > 0.7 + 10 * error


def test_corrected_scores_equal_a_plain_loop():
    scores, targets, groups = sweep(np.random.default_rng(6), 3, 2)
    result = rank_readouts(scores, targets, groups, "block_2", "auc", n_boot=30, seed=1)
    rng = np.random.default_rng([1, 0])
    ((_, times),) = resampling.bootstrap(20, 30, rng)
    drawn, outside = (np.full((6, 30), np.nan) for _ in range(2))
    for b in range(30):
        rows = np.repeat(np.arange(len(groups)), times[groups, b].astype(int))
        for into, chosen in ((drawn, rows), (outside, np.flatnonzero(times[groups, b] == 0))):
            scored = targets[chosen].any(axis=0) & ~targets[chosen].all(axis=0)
            for c, s in enumerate(scores.values()):
                into[c, b] = roc_auc_score(targets[chosen][:, scored], s[chosen][:, scored])
    np.testing.assert_allclose(result.drawn, drawn, atol=1e-12)
    np.testing.assert_allclose(result.left_out, outside, atol=1e-12)
    value = result.table["score"].to_numpy()
    picked = [outside[c, b] + value[c] - outside[c].mean() for b, c in enumerate(drawn.argmax(axis=0))]
    assert result.best(READOUTS[:2]).corrected == pytest.approx(np.mean(picked))


def test_bad_input_is_one_line():
    scores, targets, groups = sweep(np.random.default_rng(9), 2, 2)
    with pytest.raises(
        InputError, match=r"read-out knn: expected the reference 'embedding'.*got taps block_0, block_1"
    ):
        rank_readouts(scores, targets, groups, "embedding")
    with pytest.raises(InputError, match=r"metric: expected one of top1, auc, cmap.*got 'f1'"):
        rank_readouts(scores, targets, groups, "block_0", "f1")
    with pytest.raises(InputError, match="expected at least one tap and read-out, got none"):
        rank_readouts({}, targets, groups, "block_0")
    with pytest.raises(InputError, match="read-out knn of tap block_0: metrics"):
        rank_readouts(scores, targets[:-1], groups, "block_0")
    with pytest.raises(InputError, match="at least one row with a label, got none"):
        rank_readouts(scores, np.zeros_like(targets), groups, "block_0")
    with pytest.raises(InputError, match="expected a class with a positive and a negative row, got none"):
        rank_readouts(scores, np.zeros_like(targets), groups, "block_0", "auc")
    with pytest.raises(InputError, match="at least two groups, got 1"):
        rank_readouts(scores, targets, np.zeros(len(groups)), "block_0")
    with pytest.raises(InputError, match=r"expected groups \(.*, got \(3,\)"):
        rank_readouts(scores, targets, np.zeros(3), "block_0")


@pytest.mark.parametrize(
    ("scores", "kept", "wanted"),
    [([1, 2, 2], [0, 0, 1], 2), ([1, 2, 2], [1, 0, 0], 1), ([np.nan, 1], [0, 0], 1), ([np.nan, np.nan], [0, 1], 1)],
)
def test_of_equals_what_is_kept_is_best_and_no_score_never_is(scores, kept, wanted):
    assert best_index(scores, np.array(kept, bool)) == wanted
