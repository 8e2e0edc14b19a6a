"""Blends against their formulas; how alike members are; what either refuses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from birdprobe.analysis import blending, predictions
from birdprobe.analysis.blending.blend import EPS
from birdprobe.features import InputError
from tests.analysis.blends import spaces, table, truth_table

seeds = st.integers(0, 2**32 - 1)


@spaces
@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from([0, 4]))
def test_weights_1_and_0_give_the_first_member(space, seed, levels):
    one, other = table(seed, levels=levels), table(seed + 1)
    mixed = blending.blend([one, other], (1, 0), space)
    assert mixed.index.equals(one.index) and mixed.columns.equals(one.columns) and (mixed.dtypes == np.float64).all()
    np.testing.assert_array_equal(rankdata(mixed, axis=0), rankdata(np.clip(one, EPS, 1 - EPS), axis=0))
    if space == "rank":
        np.testing.assert_array_equal(mixed, rankdata(one, axis=0) / len(one))
    else:
        np.testing.assert_allclose(mixed, one, atol=1.01 * EPS)


@spaces
@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.integers(2, 5).flatmap(lambda m: st.tuples(st.permutations(range(m)), st.lists(st.integers(1, 9), min_size=m))),
)
def test_the_order_of_members_rows_and_columns_does_not_matter(space, seed, drawn):
    order, weights = drawn
    members = [table(seed + i) for i in range(len(order))]
    weights = weights[: len(order)]
    mixed = blending.blend(members, weights, space)
    rng = np.random.default_rng(seed)
    shuffled = [members[0]] + [t.iloc[rng.permutation(len(t)), rng.permutation(t.shape[1])] for t in members[1:]]
    pd.testing.assert_frame_equal(mixed, blending.blend(shuffled, weights, space))
    turned = blending.blend([members[i] for i in order], [weights[i] for i in order], space)
    pd.testing.assert_frame_equal(mixed, turned, check_exact=False, rtol=0, atol=1e-12)


@spaces
@settings(max_examples=40, deadline=None)
@given(seeds, st.lists(st.floats(0, 1e6), min_size=1, max_size=5).filter(any))
def test_a_blend_of_equal_members_is_that_member(space, seed, weights):
    one = table(seed)
    mixed = blending.blend([one] * len(weights), weights, space)
    np.testing.assert_allclose(mixed, rankdata(one, axis=0) / len(one) if space == "rank" else one, rtol=1e-9)
    assert mixed.to_numpy().min() >= 0 and mixed.to_numpy().max() <= 1


def test_the_published_weights():
    # Model card: 0.60 / 0.40, logits averaged. Yadav 2026: (0.60 / 0.40) at 0.93 and a head at 0.07, probabilities.
    a, b, head = table(1), table(2), table(3)
    p, q = a.to_numpy(), b.to_numpy()
    odds = (p / (1 - p)) ** 0.6 * (q / (1 - q)) ** 0.4
    np.testing.assert_allclose(blending.blend([a, b], (0.6, 0.4), "logit"), odds / (1 + odds), rtol=1e-12)
    inner = blending.blend([a, b], (0.6, 0.4))
    np.testing.assert_allclose(inner, 0.6 * p + 0.4 * q, rtol=1e-12)
    outer = blending.blend([inner, head], (0.93, 0.07))
    np.testing.assert_allclose(outer, blending.blend([a, b, head], (0.558, 0.372, 0.07)), rtol=1e-12)
    pd.testing.assert_frame_equal(outer, blending.blend([inner, head], (93, 7)), rtol=1e-12)
    pd.testing.assert_frame_equal(blending.blend([a, b]), blending.blend([a, b], (1, 1)))


def test_ranks_by_hand():
    one = pd.DataFrame({"a": [0.1, 0.3, 0.3, 0.9]}, index=list("wxyz"))
    other = pd.DataFrame({"a": [0.4, 0.3, 0.2, 0.1]}, index=list("wxyz"))
    # ranks / 4: 1/4, 2.5/4 (shared), 2.5/4, 4/4 and 4/4, 3/4, 2/4, 1/4
    mixed = blending.blend([one, other], (3, 1), "rank")
    np.testing.assert_allclose(mixed["a"], [7 / 16, 10.5 / 16, 9.5 / 16, 13 / 16])


def test_certain_members_are_clipped_not_infinite():
    sure = pd.DataFrame({"a": [0.0, 1.0]}, index=["x", "y"])
    mixed = blending.blend([sure, 1 - sure], (0.5, 0.5), "logit")
    np.testing.assert_allclose(mixed["a"], 0.5)
    # weights that do not sum to 1 in floating point once gave 1.0000000000000002
    ones = pd.DataFrame({"a": [1.0]}, index=["x"])
    predictions.require(blending.blend([ones] * 3, (0.1, 0.2, 0.7)), "blend")


@spaces
def test_a_class_that_a_member_lacks_is_blended_from_the_others(space):
    a, b, c = table(1), table(2), table(3)
    part = b.drop(columns="c1")
    with pytest.raises(InputError, match=r"b\.csv: columns: 1 \('c1'\) missing"):
        blending.blend([a, part, c], (5, 3, 2), space, names=["a.csv", "b.csv", "c.csv"])
    mixed = blending.blend([a, part, c], (5, 3, 2), space, missing="skip")
    whole = blending.blend([a, b, c], (5, 3, 2), space)
    pd.testing.assert_frame_equal(mixed[["c0", "c2"]], whole[["c0", "c2"]])
    pd.testing.assert_frame_equal(mixed[["c1"]], blending.blend([a, c], (5, 2), space)[["c1"]], rtol=1e-12)
    assert list(mixed) == ["c0", "c1", "c2"]
    with pytest.raises(InputError, match="class 'c1': no member with a weight above 0"):
        blending.blend([a, part], (0, 1), space, missing="skip")


@pytest.mark.parametrize("missing", ["error", "skip"])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.iloc[1:], r"^theirs\.csv: rows: 1 \('site_000_5'\) missing\.$"),
        (lambda t: pd.concat([t, t.iloc[:1]]), r"^theirs\.csv: rows: 1 \('site_000_5'\) doubled\.$"),
        (lambda t: t.rename(index={"site_000_5": "x_5"}), r"^theirs\.csv: rows: .* missing; rows: 1 \('x_5'\) unknown"),
        (lambda t: t.assign(sparrow=0.5), r"^theirs\.csv: columns: 1 \('sparrow'\) unknown\.$"),
        (lambda t: t.replace(t.iat[3, 1], np.nan), r"^theirs\.csv: values: 1 missing \(NaN\).*'site_000_20'.*'c1'"),
        (lambda t: t.replace(t.iat[3, 1], 1.2), r"^theirs\.csv: values: 1 outside 0\.\.1.*1\.2"),
    ],
)
def test_a_member_that_does_not_fit_is_named(change, match, missing):
    ours, theirs = table(1), change(table(2))
    with pytest.raises(InputError, match=match):
        blending.blend([ours, theirs], (0.5, 0.5), names=["ours.csv", "theirs.csv"], missing=missing)
    if missing == "error":
        truth = truth_table(0, n_files=4, k=3)
        with pytest.raises(InputError, match=match):
            blending.search({"ours.csv": ours, "theirs.csv": theirs}, truth, folds=2)
        with pytest.raises(InputError, match=match):
            blending.diversity({"ours.csv": ours, "theirs.csv": theirs})


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ((1,), "expected 2 weights, one a member, got 1"),
        ((0.5, -0.1), "weight of member 2: expected 0 or more.*got -0.1"),
        ((0.5, np.nan), "weight of member 2: .*got nan"),
        ((np.inf, 1), "weight of member 1: .*got inf"),
        ((0, 0), "only weights of 0"),
    ],
)
def test_bad_weights(weights, match):
    with pytest.raises(InputError, match=match):
        blending.blend([table(1), table(2)], weights)


def test_bad_settings():
    a, b, truth = table(1), table(2), truth_table(0, n_files=4, k=3)
    both = {"a": a, "b": b}
    with pytest.raises(InputError, match=r"`space` must be one of prob, logit, rank, got 'odds'"):
        blending.blend([a, b], (1, 1), "odds")
    with pytest.raises(InputError, match=r"`missing` must be one of error, skip, got 'drop'"):
        blending.blend([a, b], (1, 1), missing="drop")
    with pytest.raises(InputError, match="expected at least two members, got 1"):
        blending.search({"a": a}, truth)
    with pytest.raises(InputError, match="expected at least two members, got 1"):
        blending.diversity({"a": a})
    with pytest.raises(InputError, match="got 5 folds of 4 groups"):
        blending.search(both, truth, folds=5)
    with pytest.raises(InputError, match="expected at least one class with positive and negative rows, got none"):
        blending.search(both, truth & False, folds=2)
    first_only = truth & (predictions.files(truth.index) == "site_000")[:, None]
    with pytest.raises(InputError, match=r"without fold \d, got none\. Fewer folds"):
        blending.search(both, first_only, folds=4)


def test_diversity_is_spearman_over_the_classes_that_vary():
    a, b, c = table(1, k=4), table(2, k=4, levels=3), table(3, k=4)
    b["c3"] = 0.5  # a class that never varies has no rank correlation
    rows = blending.diversity({"a": a, "b": b.iloc[::-1, ::-1], "c": c})
    assert list(zip(rows["member"], rows["other"])) == [("a", "b"), ("a", "c"), ("b", "c")]
    rho = [spearmanr(a[k], b[k]).statistic for k in ("c0", "c1", "c2")]
    np.testing.assert_allclose(
        rows.loc[0, ["spearman", "spearman_min", "spearman_max"]].astype(float), [np.mean(rho), min(rho), max(rho)]
    )
    assert rows["n_classes"].tolist() == [3, 4, 3]
    same = blending.diversity({"a": a, "squared": a**2, "opposite": 1 - a})
    np.testing.assert_allclose(same["spearman"], [1, -1, -1])
    flat = blending.diversity({"a": a, "flat": a * 0})
    assert np.isnan(flat["spearman"][0]) and flat["n_classes"][0] == 0
