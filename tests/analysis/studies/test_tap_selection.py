"""Tap selection against the concatenation it never makes, and on planted answers."""

import time

import numpy as np
import pytest

from birdprobe.analysis import knn
from birdprobe.analysis.studies import tap_selection as selection
from birdprobe.features import InputError


def planted(seed=0, n=240, classes=6, folds=5):
    """Taps of unequal width and scale. `low` knows a label modulo 2, `high` the label divided by 2, `weak` a little.

    Together `low` and `high` know all, `copy` repeats `high`, `noise` knows nothing.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    low = 4.0 * np.eye(2)[y % 2] @ rng.standard_normal((2, 10)) + rng.standard_normal((n, 10))
    high = 4.0 * np.eye(classes)[y // 2] @ rng.standard_normal((classes, 40)) + rng.standard_normal((n, 40))
    weak = 0.2 * np.eye(classes)[y] @ rng.standard_normal((classes, 20)) + rng.standard_normal((n, 20))
    features = {
        "noise": 1e4 + 1e3 * rng.standard_normal((n, 60)),
        "weak": weak,
        "low": 100 * low,
        "copy": high + 0.5 * rng.standard_normal((n, 40)),
        "high": 0.01 * high,
    }
    return {tap: x.astype(np.float32) for tap, x in features.items()}, y, rng.integers(0, folds, n)


def on_one_scale(x):
    """The documented scale of the k-NN probe: centred, root mean square length 1."""
    x = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    return x / np.sqrt((x**2).sum(axis=1).mean())


def test_finds_the_two_taps_that_complete_each_other():
    features, y, folds = planted()
    result = selection.forward_select(features, y, folds, None, 3)
    assert set(result.taps[:2]) in ({"low", "high"}, {"low", "copy"}) and result.taps[0] in ("high", "copy")
    assert list(result.table["tap"]) == list(result.taps) and tuple(result.table.columns) == selection.COLUMNS
    first, second, third = (row for _, row in result.table.iterrows())
    assert np.isnan(first["gain"]) and np.isnan(first["gain_lo"])
    assert second["gain"] == pytest.approx(second["score"] - first["score"])
    assert second["gain_lo"] > 0.2  # the second tap splits every pair of classes
    assert third["gain_lo"] <= 0 <= third["gain_hi"] + 0.02  # nothing is left to gain
    assert np.all(result.table["score_lo"] <= result.table["score"])
    assert np.all(result.table["score"] <= result.table["score_hi"])


def test_every_step_is_the_best_concatenation():
    features, y, folds = planted(seed=1, n=150)
    scaled = {tap: on_one_scale(x) for tap, x in features.items()}
    chosen = []
    result = selection.forward_select(features, y, folds, None, 4)
    for step in range(4):
        scores = {
            tap: knn.correct(np.concatenate([scaled[t] for t in [*chosen, tap]], axis=1), y, folds).mean()
            for tap in features
            if tap not in chosen
        }
        best = max(scores, key=scores.get)  # the first of equals
        assert result.taps[step] == best
        assert result.table["score"][step] == pytest.approx(scores[best])
        chosen.append(best)


def test_one_tap_alone_is_read_as_the_knn_probe_reads_it():
    features, y, folds = planted(seed=2)
    for tap, x in features.items():
        result = selection.forward_select({tap: x}, y, folds, None, 1)
        assert result.table["score"][0] == knn.correct(x, y, folds).mean()


def test_the_nested_estimate_pays_for_the_choice():
    # 40 taps of pure noise: the best of them looks better than chance, the nested estimate does not.
    rng = np.random.default_rng(4)
    y, folds = np.arange(150) % 3, rng.integers(0, 5, 150)
    features = {f"block_{i:02d}": rng.standard_normal((150, 8)) for i in range(40)}
    result = selection.forward_select(features, y, folds, None, 1)
    score, nested = result.table["score"][0], result.table["nested"][0]
    assert score > 0.40 and nested < score - 0.04 and abs(nested - 1 / 3) < 0.1
    assert len(result.nested_taps) == 5 and all(len(taps) == 1 for taps in result.nested_taps)


def test_the_nested_estimate_never_reads_the_labels_of_its_fold():
    features, y, folds = planted(seed=5, n=120)
    before = selection.forward_select(features, y, folds, None, 2)
    y = np.where(folds == 0, np.random.default_rng(0).permutation(y), y)
    after = selection.forward_select(features, y, folds, None, 2)
    assert before.nested_taps[0] == after.nested_taps[0]


def test_the_choice_does_not_depend_on_scale_offset_or_row_order():
    features, y, folds = planted(seed=6)
    wanted = selection.forward_select(features, y, folds, None, 3)
    order = np.random.default_rng(0).permutation(len(y))
    moved = {tap: (x * 8.0 - 3.0)[order] for tap, x in features.items()}
    got = selection.forward_select(moved, y[order], folds[order], None, 3)
    assert got.taps == wanted.taps
    np.testing.assert_allclose(got.table["score"], wanted.table["score"])


def test_dead_taps_add_nothing():
    features, y, folds = planted(seed=7)
    features = {"dead": np.full((len(y), 12), 0.1, dtype=np.float32), "high": features["high"]}
    result = selection.forward_select(features, y, folds, None, 2)
    assert result.taps == ("high", "dead") and result.table["gain"][1] == 0
    assert result.table["gain_lo"][1] == result.table["gain_hi"][1] == 0


def test_equal_taps_go_to_the_first_and_seeds_repeat():
    features, y, folds = planted(seed=8)
    twins = {"b": features["high"], "a": features["high"]}
    assert selection.forward_select(twins, y, folds, None, 1).taps == ("b",)
    one, two, other = (selection.forward_select(features, y, folds, None, 2, seed=seed) for seed in (1, 1, 2))
    assert one.table.equals(two.table) and not one.table.equals(other.table)


def test_intervals_are_over_groups():
    features, y, folds = planted(seed=9, n=100)
    repeated = {tap: np.repeat(x, 8, axis=0) for tap, x in features.items()}
    y, folds, groups = np.repeat(y, 8), np.repeat(folds, 8), np.repeat(np.arange(100), 8)
    rows, grouped = (selection.forward_select(repeated, y, folds, g, 1).table for g in (None, groups.astype(str)))
    wide, narrow = grouped["score_hi"] - grouped["score_lo"], rows["score_hi"] - rows["score_lo"]
    assert wide[0] > 2 * narrow[0]  # sqrt(8) = 2.8 times


def test_many_rows_are_thinned_evenly_over_the_classes(monkeypatch):
    rng = np.random.default_rng(10)
    y = np.r_[np.zeros(900, int), rng.integers(1, 4, 100)]
    x = rng.standard_normal((1000, 5)) + 3 * y[:, None]
    monkeypatch.setattr(selection, "MAX_ROWS", 200)
    result = selection.forward_select({"a": x}, y, np.arange(1000) % 5, None, 1)
    assert result.n == 200
    counts = np.bincount(y[selection._thinned(y, 120, 0)])
    assert counts.sum() == 120 and counts.min() == counts.max() == 30


def test_28_taps_of_600_rows_take_seconds():
    rng = np.random.default_rng(11)
    y = np.repeat(np.arange(30), 20)
    features = {f"block_{i:02d}": rng.standard_normal((600, 384)).astype(np.float32) for i in range(28)}
    start = time.process_time()
    selection.forward_select(features, y, rng.integers(0, 5, 600), None, 3)
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"n_taps": 9}, "expected 1 to 5 taps, all that there are, got 9"),
        ({"n_taps": 0}, "all that there are, got 0"),
        ({"folds": np.zeros(240)}, "at least two folds, got 1"),
        ({"groups": np.zeros(240)}, "at least two groups, got 1"),
        ({"folds": np.r_[np.zeros(237), np.ones(3)]}, "3 rows outside the largest fold, expected 5"),
        (
            {"features": {"map": np.zeros((240, 2, 2))}, "n_taps": 1},
            r"tap map: expected \[240, d\], got features \(240, 2, 2\)",
        ),
        ({"features": {"bad": np.full((240, 2), np.nan)}, "n_taps": 1}, "tap bad: .*not finite"),
        ({"features": {"short": np.zeros((239, 2))}, "n_taps": 1}, r"expected \[240, d\]"),
    ],
)
def test_bad_input(change, match):
    features, y, folds = planted()
    settings = {"features": features, "y": y, "folds": folds, "groups": None, "n_taps": 2} | change
    with pytest.raises(InputError, match=match):
        selection.forward_select(**settings)


def test_two_folds_and_tiny_tables_have_no_nested_estimate():
    features, y, folds = planted(seed=12)
    assert selection.forward_select(features, y, folds % 2, None, 1).table["nested"].isna().all()
    some = slice(0, 9)  # three folds of three: without two of them fewer rows than neighbours are left
    tiny = {tap: x[some] for tap, x in features.items()}
    result = selection.forward_select(tiny, y[some], np.arange(9) % 3, None, 1)
    assert result.table["nested"].isna().all() and result.nested_taps == ()
