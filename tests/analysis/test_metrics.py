"""Metrics against scikit-learn, against hand-counted cases, and the bootstrap against metrics of the drawn rows."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score

from birdprobe.analysis import metrics
from birdprobe.features import InputError


def random_table(seed, n, k, levels, share):
    """Random multi-label truth and scores; few levels give many ties."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, k)) < share
    scores = rng.random((n, k)) + 0.4 * truth
    return truth, np.round(scores * levels) / levels if levels else scores


tables = st.builds(
    random_table,
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 60),
    k=st.integers(1, 7),
    levels=st.sampled_from([0, 1, 3, 20]),
    share=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
)


@settings(max_examples=300, deadline=None)
@given(tables)
def test_equal_to_scikit_learn_over_the_classes_that_have_positives(table):
    truth, scores = table
    some, every = truth.any(axis=0), truth.all(axis=0)
    scored = some & ~every
    if scored.any():
        wanted = roc_auc_score(truth[:, scored], scores[:, scored], average="macro")
        assert metrics.macro_auc(truth, scores) == pytest.approx(wanted, abs=1e-12)
    else:
        assert np.isnan(metrics.macro_auc(truth, scores))
    if some.any():
        wanted = average_precision_score(truth[:, some], scores[:, some], average="macro")
        assert metrics.cmap(truth, scores) == pytest.approx(wanted, abs=1e-12)
    else:
        assert np.isnan(metrics.cmap(truth, scores))
    np.testing.assert_array_equal(np.isnan(metrics.class_auc(truth, scores)), ~scored)
    np.testing.assert_array_equal(np.isnan(metrics.class_ap(truth, scores)), ~some)


@settings(max_examples=100, deadline=None)
@given(tables, st.floats(0.1, 9), st.floats(-5, 5))
def test_a_monotone_step_per_class_changes_neither_auc_nor_ap(table, slope, offset):
    truth, scores = table
    moved = np.exp(slope * np.arange(1, scores.shape[1] + 1) / 7 * scores) + offset
    np.testing.assert_array_equal(metrics.class_auc(truth, scores), metrics.class_auc(truth, moved))
    np.testing.assert_array_equal(metrics.class_ap(truth, scores), metrics.class_ap(truth, moved))


@settings(max_examples=100, deadline=None)
@given(tables)
def test_reversed_scores_reverse_the_auc(table):
    truth, scores = table
    np.testing.assert_allclose(metrics.class_auc(truth, -scores), 1 - metrics.class_auc(truth, scores), atol=1e-12)


def test_hand_counted():
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    scores = np.array([[0.9, 0.5], [0.8, 0.5], [0.8, 0.1], [0.1, 0.5]])
    # class 0: positives 0.9, 0.8; negatives 0.8, 0.1: pairs won 1 + 1 + 1/2 + 1 = 3.5 of 4
    # class 1: positives 0.5, 0.1; negatives 0.5, 0.5: two ties, two lost: 1 of 4
    np.testing.assert_array_equal(metrics.class_auc(truth, scores), [3.5 / 4, 1 / 4])
    # class 0: 0.9 finds 1 of 1, 0.8 finds 2 of 3; class 1: 0.5 finds 1 of 3, 0.1 finds 2 of 4
    np.testing.assert_allclose(metrics.class_ap(truth, scores), [(1 + 2 / 3) / 2, (1 / 3 + 1 / 2) / 2])
    assert metrics.macro_auc(truth, scores) == pytest.approx(9 / 16)
    assert metrics.top1(truth, scores) == pytest.approx(2 / 3)  # the last row has no label, the second is wrong


def test_perfect_and_constant_scores():
    truth = np.eye(4, dtype=bool)[np.arange(20) % 4]
    assert [f(truth, truth.astype(float)) for f in (metrics.macro_auc, metrics.cmap, metrics.top1)] == [1, 1, 1]
    assert metrics.macro_auc(truth, np.zeros((20, 4))) == 0.5
    assert metrics.cmap(truth, np.zeros((20, 4))) == 0.25  # the prevalence


def test_top1_is_accuracy_for_single_labels():
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 5, 100), rng.random((100, 5))
    wanted = accuracy_score(labels, scores.argmax(axis=1))
    assert metrics.top1(np.eye(5)[labels], scores) == pytest.approx(wanted)


def test_evaluate_names_what_it_left_out():
    truth = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 0]])
    scores = np.array([[0.1, 0.9, 0.8, 0.1], [0.5, 0.3, 0.4, 0.1], [0.6, 0.5, 0.6, 0.7]])
    result = metrics.evaluate(truth, scores, ["all", "none", "some", "none too"])
    assert result["left_out"] == ["none", "none too"] and result["all_positive"] == ["all"]
    assert (result["n"], result["n_labelled"], result["n_classes"], result["n_scored"]) == (3, 3, 4, 1)
    assert result["macro_auc"] == 1 and result["cmap"] == 1  # 1, and "some" in perfect order; never a 0 for "none"
    assert result["top1"] == pytest.approx(1 / 3)
    with pytest.raises(InputError, match="expected 4 class names, one a column, got 2"):
        metrics.evaluate(truth, scores, ["a", "b"])


@pytest.mark.parametrize("metric", [metrics.macro_auc, metrics.cmap, metrics.top1])
@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("levels", [0, 4])
def test_fast_draws_equal_the_metric_of_the_drawn_rows(metric, grouped, levels, monkeypatch):
    truth, scores = random_table(3, 80, 5, levels, 0.1)
    truth[:, 4] = np.arange(80) == 7  # a class with one positive: many draws lose it
    truth[:, 3] = False
    groups = np.random.default_rng(1).integers(0, 12, 80).astype(str) if grouped else None
    fast = metrics.draws(metric, truth, scores, groups, n_boot=60, seed=2)
    slow = metrics.draws(lambda t, s: metric(t, s), truth, scores, groups, n_boot=60, seed=2)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)
    monkeypatch.setattr(metrics, "_CHUNK", 100)
    np.testing.assert_array_equal(fast, metrics.draws(metric, truth, scores, groups, n_boot=60, seed=2))


def test_undefined_draws_are_left_out_of_the_interval():
    truth, scores = np.array([[1], [0], [0]]), np.array([[0.5], [0.2], [0.7]])
    values = metrics.draws(metrics.macro_auc, truth, scores, n_boot=200)
    assert 0 < np.isnan(values).sum() < 200
    value, low, high = metrics.bootstrap(metrics.macro_auc, truth, scores, n_boot=200)
    assert (value, low, high) == (0.5, 0.0, 1.0)
    none = metrics.bootstrap(metrics.macro_auc, np.zeros((3, 1)), scores, n_boot=20)
    assert np.isnan(none).all()


def test_interval_covers_the_truth_95_times_in_100():
    # Scores N(0, 1) and N(1, 1): the true AUC is Phi(1 / sqrt 2). Five equal rows a group carry the weight of one.
    covered, wanted = 0, 0.7602499389
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = np.repeat(rng.random(80) < 0.5, 5)[:, None]
        scores = np.repeat(rng.standard_normal(80), 5)[:, None] + truth
        value, low, high = metrics.bootstrap(
            metrics.macro_auc, truth, scores, np.repeat(np.arange(80), 5), n_boot=300, seed=seed
        )
        assert low <= value <= high
        covered += low <= wanted <= high
    assert 180 <= covered <= 199  # 190 +- 3 standard deviations of a binomial; ungrouped rows would cover about 110


def test_the_interval_of_average_precision_covers_the_truth():
    # Scores that know nothing: the true average precision is the share of positives, 0.05. Plain percentiles lie above
    # it, as each draw's repeated positives find themselves: they cover in about half of the cases.
    plain, covered = 0, 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        truth, scores = rng.random((400, 4)) < 0.05, rng.standard_normal((400, 4))
        value, low, high = metrics.bootstrap(metrics.cmap, truth, scores, n_boot=300, seed=seed)
        assert 0 <= low <= value <= high <= 1
        covered += low <= 0.05 <= high
        low, high = np.percentile(metrics.draws(metrics.cmap, truth, scores, n_boot=300, seed=seed), (2.5, 97.5))
        plain += low <= 0.05 <= high
    assert covered >= 88 > plain


def test_paired_difference_is_tighter_than_two_intervals():
    truth, scores = random_table(0, 300, 4, 0, 0.3)
    better = scores + 0.05 * truth
    difference, low, high = metrics.paired(metrics.macro_auc, truth, better, scores)
    assert difference == pytest.approx(metrics.macro_auc(truth, better) - metrics.macro_auc(truth, scores))
    assert 0 < low < difference < high
    _, single_low, single_high = metrics.bootstrap(metrics.macro_auc, truth, scores)
    assert high - low < (single_high - single_low) / 2
    assert metrics.paired(metrics.cmap, truth, scores, scores) == (0, 0, 0)


def test_same_seed_same_interval():
    truth, scores = random_table(5, 100, 3, 0, 0.3)
    one = metrics.bootstrap(metrics.cmap, truth, scores, seed=1)
    assert one == metrics.bootstrap(metrics.cmap, truth, scores, seed=1)
    assert one != metrics.bootstrap(metrics.cmap, truth, scores, seed=2)


def test_the_bootstrap_of_a_competition_table_takes_seconds():
    truth, scores = random_table(0, 2000, 100, 0, 0.02)
    start = time.process_time()
    metrics.bootstrap(metrics.macro_auc, truth, scores, np.arange(2000) // 12)
    assert time.process_time() - start < 20  # resampled rows, sorted afresh each time, take over a minute


@pytest.mark.parametrize(
    ("truth", "scores", "match"),
    [
        (np.zeros(3), np.zeros((3, 2)), r"truth \(3,\) and scores \(3, 2\).*Class numbers"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "expected"),
        ([[0, 2]], [[0.1, 0.2]], "truth: expected 0 or 1.*got 2"),
        ([[0.0, np.nan]], [[0.1, 0.2]], "truth: .*got nan"),
        ([[0, 1], [1, 0]], [[0.1, 0.2], [0.3, np.nan]], "1 values that are not finite.*row 1, column 1"),
        ([[0, 1]], [[-np.inf, 0.2]], "row 0, column 0"),
    ],
)
def test_bad_input_is_told_in_one_line(truth, scores, match):
    for function in (metrics.macro_auc, metrics.cmap, metrics.top1):
        with pytest.raises(InputError, match=match):
            function(truth, scores)


def test_bad_groups():
    truth, scores = random_table(0, 10, 2, 0, 0.5)
    with pytest.raises(InputError, match="one a row"):
        metrics.bootstrap(metrics.macro_auc, truth, scores, np.arange(9))
    with pytest.raises(InputError, match="at least two groups, got 1"):
        metrics.bootstrap(metrics.macro_auc, truth, scores, np.zeros(10))
