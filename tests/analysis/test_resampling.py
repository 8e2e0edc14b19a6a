"""Intervals, sign flips and the jackknife against brute force and against their own promises."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import kstest, norm

from birdprobe.analysis import metrics, resampling, significance
from birdprobe.features import InputError


def clustered(rng, n_groups, accuracy, correlation=0.1, spread=0.5, mean=20):
    """(right rows, rows) [G]: group sizes lognormal, group accuracies Beta with the given within-group correlation."""
    sizes = np.maximum(2, np.round(rng.lognormal(np.log(mean), spread, n_groups))).astype(int)
    strength = (1 - correlation) / correlation
    return rng.binomial(sizes, rng.beta(accuracy * strength, (1 - accuracy) * strength, n_groups)), sizes


def paired(rng, n_groups, first, second, correlation=0.2, spread=0.5, mean=12):
    """(right rows of two taps [2, G], rows [G]) that share half of a latent normal, within groups and rows."""
    sizes = np.maximum(2, np.round(rng.lognormal(np.log(mean), spread, n_groups))).astype(int)
    codes = np.repeat(np.arange(n_groups), sizes)

    def latent():
        group, row = rng.standard_normal(n_groups)[codes], rng.standard_normal(len(codes))
        return np.sqrt(correlation) * group + np.sqrt(1 - correlation) * row

    shared = latent()
    right = [(shared + latent()) / np.sqrt(2) < norm.ppf(accuracy) for accuracy in (first, second)]
    return np.array([np.bincount(codes, weights=row, minlength=n_groups) for row in right]), sizes


def score_coverage(n_groups, accuracy, n, seed):
    rng, covered = np.random.default_rng(seed), 0
    for _ in range(n):
        right, sizes = clustered(rng, n_groups, accuracy)
        low, high = resampling.jackknife_ratio(right[None].astype(float), sizes.astype(float)).score_interval()
        assert 0 <= low[0] <= right.sum() / sizes.sum() <= high[0] <= 1
        covered += low[0] <= accuracy <= high[0]
    return covered / n


def difference_coverage(n_groups, first, second, n, seed):
    rng, covered = np.random.default_rng(seed), 0
    for _ in range(n):
        right, sizes = paired(rng, n_groups, first, second)
        both = resampling.jackknife_ratio(right, sizes.astype(float))
        low, high = both.take([0]).minus(both.take([1])).difference_interval()
        covered += low[0] <= first - second <= high[0]
    return covered / n


GROUPS, SCORES, PAIRS = (8, 15, 60), (0.5, 0.7, 0.9), ((0.6, 0.6), (0.8, 0.7), (0.9, 0.85))


@pytest.mark.parametrize("n_groups", GROUPS)
def test_intervals_keep_their_coverage_with_few_groups(n_groups):
    # 93 to 97 %, and three standard errors of a share of 0.95 in 800
    slack = 3 * np.sqrt(0.95 * 0.05 / 800)
    for i, accuracy in enumerate(SCORES):
        assert abs(score_coverage(n_groups, accuracy, 800, i) - 0.95) < 0.02 + slack
    for i, (first, second) in enumerate(PAIRS):
        assert abs(difference_coverage(n_groups, first, second, 800, i) - 0.95) < 0.02 + slack


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", GROUPS)
def test_intervals_cover_93_to_97_times_in_100(n_groups):
    slack = 3 * np.sqrt(0.95 * 0.05 / 8000)
    for i, accuracy in enumerate((*SCORES, 0.8)):
        assert abs(score_coverage(n_groups, accuracy, 8000, 10 + i) - 0.95) < 0.02 + slack
    for i, (first, second) in enumerate(PAIRS):
        assert abs(difference_coverage(n_groups, first, second, 8000, 10 + i) - 0.95) < 0.02 + slack
    # at 0.95 some tables of 8 groups hold no error at all; the interval may then only be too wide
    assert 0.93 - slack < score_coverage(n_groups, 0.95, 8000, 20) < 0.99


def test_percentiles_of_eight_groups_would_not_cover():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        right, sizes = clustered(rng, 8, 0.7)
        ((_, times),) = resampling.bootstrap(8, 400, rng)
        low, high = resampling.percentile_interval((right @ times) / (sizes @ times))
        covered += low <= 0.7 <= high
    assert covered / 400 < 0.93


def test_all_rows_right_has_an_interval_and_equal_taps_none():
    sums, sizes = np.array([[5.0] * 8, [0.0] * 8]), np.full(8, 5.0)
    both = resampling.jackknife_ratio(sums, sizes)
    low, high = both.score_interval()
    assert 0.5 < low[0] < 0.7 and high[0] == 1 and low[1] == 0 and high[1] == pytest.approx(1 - low[0])
    same = both.minus(both)
    assert [list(x) for x in same.difference_interval()] == [[0, 0], [0, 0]]
    assert both.degrees == pytest.approx(7)


@pytest.mark.parametrize("metric", [metrics.top1, metrics.macro_auc, metrics.cmap])
def test_jackknife_equals_leaving_each_group_out(metric, monkeypatch):
    rng = np.random.default_rng(1)
    truth, scores = rng.random((60, 4)) < 0.3, rng.integers(0, 9, (60, 4)).astype(float)  # with ties
    codes = np.r_[np.arange(9), rng.integers(0, 9, 51)]
    shares = np.bincount(codes) / 60

    def measure(times):
        return metrics.resampled(metric, truth, scores, codes, times)[None]

    found = resampling.jackknife(measure, shares)
    without = [metric(truth[codes != g], scores[codes != g]) for g in range(9)]
    np.testing.assert_allclose(found.left_out[0], without, atol=1e-12)
    np.testing.assert_allclose(found.influence[0], 8 * (metric(truth, scores) - np.array(without)), atol=1e-11)
    pseudo = 9 * metric(truth, scores) - 8 * np.array(without)
    assert found.standard_error[0] == pytest.approx(pseudo.std(ddof=1) / 3)
    monkeypatch.setattr(resampling, "_CHUNK", 20)
    np.testing.assert_allclose(resampling.jackknife(measure, shares).left_out, found.left_out, atol=1e-12)


def test_contributions_of_an_accuracy_are_its_rows():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 30, 12).astype(float)
    sums = rng.binomial(sizes.astype(int), [[0.7], [0.4]]).astype(float)
    sums[1, 3] = sums[0, 3]
    both = resampling.jackknife_ratio(sums, sizes)
    np.testing.assert_allclose(both.contributions, sums / sizes.sum(), atol=1e-14)
    difference = both.take([0]).minus(both.take([1])).contributions[0]
    np.testing.assert_allclose(difference, (sums[0] - sums[1]) / sizes.sum(), atol=1e-14)
    assert difference[3] == 0


def test_sign_flips_equal_all_patterns():
    rng = np.random.default_rng(3)
    added = rng.standard_normal((4, 7)) + 0.4
    added[3] = 0
    signs = np.array(list(product([1, -1], repeat=7)))
    totals = np.abs(signs @ added[:3].T)
    p, adjusted = significance.sign_flip(added, 10, rng)
    np.testing.assert_allclose(p[:3], (totals >= totals[0] - 1e-9).mean(axis=0))
    scaled = totals / np.sqrt((added[:3] ** 2).sum(axis=1))
    np.testing.assert_allclose(adjusted[:3], [(scaled.max(axis=1) >= one - 1e-9).mean() for one in scaled[0]])
    assert (p[3], adjusted[3]) == (1, 1)
    assert np.all(p >= significance.smallest_p(7))


def test_undefined_or_zero_differences_have_p_1():
    rng = np.random.default_rng(4)
    added = np.ones((3, 6))
    added[1, 2], added[2] = np.nan, 0
    p, adjusted = significance.sign_flip(added, 100, rng)
    assert list(p) == [2 / 64, 1, 1] and list(adjusted) == [2 / 64, 1, 1]
    assert [x.tolist() for x in significance.sign_flip(np.zeros((2, 30)), 100, rng)] == [[1, 1], [1, 1]]


def test_smallest_p():
    assert significance.smallest_p(6) == 0.03125 and significance.smallest_p(1) == 1
    assert significance.smallest_p(5) > 0.05 > significance.smallest_p(6)


def auc_without_groups(truth, scores, codes):
    def measure(times):
        return metrics.resampled(metrics.macro_auc, truth, scores, codes, times)[None]

    return resampling.jackknife(measure, np.bincount(codes) / len(codes))


@pytest.mark.parametrize("n_groups", [15, 60])
def test_p_of_an_auc_is_uniform_when_nothing_differs(n_groups):
    rng, values = np.random.default_rng(5), []
    sizes = np.arange(n_groups) % 5 + 2
    codes = np.repeat(np.arange(n_groups), sizes)
    for _ in range(300):
        truth = rng.random((len(codes), 3)) < 0.4
        shared = truth + rng.standard_normal(n_groups)[codes, None]  # recordings that are easy or hard for both
        found = [auc_without_groups(truth, shared + rng.standard_normal(truth.shape), codes) for _ in range(2)]
        values.append(significance.sign_flip(found[0].minus(found[1]).contributions, 400, rng)[0][0])
    assert kstest(values, "uniform").pvalue > 0.001
    assert np.mean(np.array(values) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 300)


def test_bootstrap_draws_whole_groups_and_parts_change_nothing(monkeypatch):
    ((where, times),) = resampling.bootstrap(7, 50, np.random.default_rng(6))
    assert where == slice(0, 50) and times.shape == (7, 50) and np.all(times.sum(axis=0) == 7)
    monkeypatch.setattr(resampling, "_CHUNK", 40)
    parts = list(resampling.bootstrap(7, 50, np.random.default_rng(6)))
    assert len(parts) > 5
    np.testing.assert_array_equal(np.hstack([part for _, part in parts]), times)


def test_groups_are_told_apart_by_any_value():
    assert list(resampling.group_codes(np.array(["b", "a", "b"]), 3, "here")) == [1, 0, 1]
    assert list(resampling.group_codes(None, 3, "here")) == [0, 1, 2]
    with pytest.raises(InputError, match=r"here: expected groups \(3,\), one a row, got \(2,\)"):
        resampling.group_codes(np.zeros(2), 3, "here")
    with pytest.raises(InputError, match="here: expected at least two groups, got 1"):
        resampling.group_codes(np.zeros(3), 3, "here")
