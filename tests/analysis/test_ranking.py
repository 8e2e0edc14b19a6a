"""Ranking statistics against their own promises: coverage, size, power, exact small cases, grouped data."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import kendalltau, kstest, spearmanr

from birdprobe.analysis import ranking, resampling, significance
from birdprobe.features import InputError


def taps(rng, n, accuracies, groups=None):
    """Correct rows of taps with the given accuracies that tend to err on the same rows, as taps of one model do.

    With groups, all rows of a group share their luck, so they carry the information of one row.
    """
    codes = np.arange(n) if groups is None else groups
    difficulty = 0.5 * rng.random(codes.max() + 1)[codes]
    rows = {}
    for i, accuracy in enumerate(accuracies):
        luck = 0.5 * rng.random(codes.max() + 1)[codes]
        # difficulty + luck has a triangular distribution on 0..1; its quantile makes the accuracy exact
        quantile = np.sqrt(accuracy / 2) if accuracy < 0.5 else 1 - np.sqrt((1 - accuracy) / 2)
        rows[f"block_{i:02d}"] = difficulty + luck < quantile
    return rows


def test_table_has_the_contract_columns_and_a_neutral_reference():
    result = ranking.rank(taps(np.random.default_rng(0), 300, [0.5, 0.8, 0.7]), None, "block_02")
    assert tuple(result.table.columns) == ranking.COLUMNS and result.table.index.name == "tap"
    assert list(result.table.index) == ["block_00", "block_01", "block_02"]
    reference = result.table.loc["block_02"]
    assert list(reference[["vs_last", "vs_last_lo", "vs_last_hi", "vs_last_p"]]) == [0, 0, 0, 1]
    assert result.best == "block_01" and result.reference == "block_02" and (result.n, result.n_groups) == (300, 300)
    assert result.table["p_best"].sum() == pytest.approx(1)
    assert np.all(result.table["knn_lo"] <= result.table["knn"]) and np.all(
        result.table["knn"] <= result.table["knn_hi"]
    )
    assert result.draws.shape == (2000, 3)


def test_same_seed_same_numbers_and_chunks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    rows = taps(rng, 200, [0.6, 0.7])
    one = ranking.rank(rows, None, "block_01", seed=5)
    assert one.table.equals(ranking.rank(rows, None, "block_01", seed=5).table)
    assert not one.table.equals(ranking.rank(rows, None, "block_01", seed=6).table)
    monkeypatch.setattr(resampling, "_CHUNK", 1000)
    assert one.table.equals(ranking.rank(rows, None, "block_01", seed=5).table)


def test_groups_of_one_row_are_no_groups():
    rows = taps(np.random.default_rng(2), 150, [0.5, 0.6])
    alone, grouped = (ranking.rank(rows, g, "block_01").table for g in (None, np.arange(150)))
    assert alone.equals(grouped)


@pytest.mark.parametrize("rows_per_group", [1, 5])
def test_interval_covers_the_truth_95_times_in_100(rows_per_group):
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(150), rows_per_group)
    covered, covered_difference = [], []
    for seed in range(300):
        rows = taps(rng, len(groups), [0.75, 0.65], groups)
        table = ranking.rank(rows, groups, "block_01", n_boot=400, n_perm=1, seed=seed).table.loc["block_00"]
        covered.append(table["knn_lo"] <= 0.75 <= table["knn_hi"])
        covered_difference.append(table["vs_last_lo"] <= 0.10 <= table["vs_last_hi"])
    for share in (np.mean(covered), np.mean(covered_difference)):
        assert 0.95 - 3.5 * 0.0126 < share < 0.95 + 3.5 * 0.0126  # 0.0126: standard error of 0.95 in 300


def test_p_is_uniform_when_nothing_differs():
    rng = np.random.default_rng(4)
    results = [ranking.rank(taps(rng, 400, [0.6] * 4), None, "block_03", 1, 500, seed) for seed in range(300)]
    p = np.array([result.table["vs_last_p"].iloc[0] for result in results])
    assert kstest(p, "uniform").pvalue > 0.001
    assert 0.01 < np.mean(p <= 0.05) < 0.09
    adjusted = np.array([result.best_p_adjusted for result in results])
    assert np.mean(adjusted <= 0.05) < 0.09  # though the best of four was picked first
    picked = np.array([result.table["vs_last_p"].loc[result.best] for result in results])
    assert np.mean(picked <= 0.05) > np.mean(adjusted <= 0.05)


def test_ignoring_groups_would_be_overconfident():
    """Ten rows a group that succeed or fail together: the design effect is 10, intervals sqrt(10) times as wide."""
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(100), 10)
    rows = taps(rng, 1000, [0.7, 0.6], groups)
    honest, naive = (ranking.rank(rows, g, "block_01").table.loc["block_00"] for g in (groups, None))
    ratio = (honest["knn_hi"] - honest["knn_lo"]) / (naive["knn_hi"] - naive["knn_lo"])
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)
    assert honest["vs_last_p"] > naive["vs_last_p"]
    assert honest["knn"] == naive["knn"] == np.mean(rows["block_00"])


def test_unequal_groups_weigh_by_their_rows():
    rng = np.random.default_rng(6)
    sizes = rng.integers(1, 30, 80)
    groups = rng.permutation(np.repeat(np.arange(80), sizes))
    rows = taps(rng, len(groups), [0.7, 0.5])
    result = ranking.rank(rows, groups.astype(str), "block_01")
    assert result.table["knn"].iloc[0] == np.mean(rows["block_00"]) and result.n_groups == 80
    assert result.draws[:, 0].mean() == pytest.approx(np.mean(rows["block_00"]), abs=0.005)


def test_a_real_difference_is_found():
    rows = taps(np.random.default_rng(7), 400, [0.5, 0.905, 0.812])
    result = ranking.rank(rows, None, "block_02")
    assert result.best == "block_01" and result.best_p_adjusted < 0.01 and result.tied == ("block_01",)
    assert result.table.loc["block_01", "p_best"] > 0.99
    assert result.table.loc["block_01", "vs_last_lo"] > 0
    assert ranking.tied(rows, None, "block_02") == ("block_02",)


def test_equal_taps_share_the_first_place_and_are_tied():
    row = np.arange(100) % 3 > 0
    result = ranking.rank({"a": row, "b": row.copy(), "c": np.zeros(100, bool)}, None, "a")
    assert list(result.table["p_best"]) == pytest.approx([0.5, 0.5, 0.0])
    assert result.best == "a" and result.best_p_adjusted == 1.0 and result.tied == ("a", "b")
    assert result.table.loc["b", "vs_last_p"] == 1.0
    assert ranking.rank({"a": row, "b": row.copy()}, None, "b").best == "b"  # of equals the reference


def test_few_groups_are_enumerated():
    """Six groups, differences 1..6 all one way: only the two extreme of 64 sign patterns reach the observed sum."""
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    result = ranking.rank({"a": np.ones(21, bool), "b": np.zeros(21, bool)}, groups, "b")
    assert result.table.loc["a", "vs_last_p"] == result.best_p_adjusted == 2 / 64


def test_sign_flips_equal_a_plain_enumeration():
    rng = np.random.default_rng(8)
    difference = rng.integers(-3, 4, (3, 7)).astype(float)
    signs = np.array(list(product([1, -1], repeat=7)))
    totals = np.abs(signs @ difference.T)
    expected = (totals >= np.abs(difference.sum(axis=1))).mean(axis=0)
    p, adjusted = significance.sign_flip(difference, 10, rng)
    np.testing.assert_allclose(p, expected)
    scaled = totals / np.sqrt((difference**2).sum(axis=1))
    np.testing.assert_allclose(adjusted, [(scaled.max(axis=1) >= one - 1e-9).mean() for one in scaled[0]])


def test_random_sign_flips_come_close_to_all_of_them():
    rng = np.random.default_rng(8)
    difference = rng.integers(1, 4, (3, 14)) * np.where(rng.random((3, 14)) < 0.75, 1.0, -1.0)
    totals = np.abs(np.array(list(product([1, -1], repeat=14))) @ difference.T)
    expected = (totals >= np.abs(difference.sum(axis=1))).mean(axis=0)
    p, _ = significance.sign_flip(difference, 20000, rng)  # 14 groups: too many to enumerate
    np.testing.assert_allclose(p, expected, atol=4 * 0.5 / np.sqrt(20000))


def test_agreement_equals_scipy():
    rng = np.random.default_rng(9)
    for _ in range(10):
        a, b = rng.integers(0, 6, 12), rng.integers(0, 6, 12)  # with ties
        result = ranking.agreement(a, b)
        assert result.spearman == pytest.approx(spearmanr(a, b).statistic)
        assert result.kendall == pytest.approx(kendalltau(a, b).statistic)
        assert result.spearman_lo <= result.spearman <= result.spearman_hi and result.n == 12


def test_agreement_widens_with_the_noise_of_its_scores():
    rng = np.random.default_rng(10)
    score = np.linspace(0.2, 0.9, 10)
    exact = ranking.agreement(score, score**2, draws_a=np.tile(score, (50, 1)))
    assert (exact.spearman_lo, exact.kendall_lo, exact.kendall_hi) == pytest.approx((1, 1, 1))
    widths = []
    for noise in (0.02, 0.2):
        draws = score + noise * rng.standard_normal((500, 10))
        result = ranking.agreement(score, score, draws_a=draws, draws_b=draws[::-1])
        widths.append(result.kendall_hi - result.kendall_lo)
    assert widths[0] < widths[1]


def test_agreement_with_a_constant_score_is_not_a_number():
    result = ranking.agreement([1, 1, 1, 1], [1, 2, 3, 4])
    assert np.isnan(result.spearman) and np.isnan(result.kendall_lo)


def test_bad_input_is_one_line():
    rows = {"a": np.ones(4, bool), "b": np.zeros(4, bool)}
    with pytest.raises(InputError, match="at least two groups, got 1"):
        ranking.rank(rows, np.zeros(4), "a")
    with pytest.raises(InputError, match=r"got \(3,\)"):
        ranking.rank(rows, np.zeros(3), "a")
    with pytest.raises(InputError, match="expected 3 or more of each"):
        ranking.agreement([1, 2], [1, 2])
