"""k-NN: equal to scikit-learn on random data, and to a plain float64 search where scikit-learn itself rounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import PredefinedSplit, cross_val_predict, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from birdprobe.analysis import knn
from birdprobe.features import InputError


def grouped_folds(rng, n):
    """Five folds of very unequal size, all present."""
    return rng.permutation(np.r_[np.arange(5), rng.choice(5, n - 5, p=[0.5, 0.2, 0.15, 0.1, 0.05])])


def plain(x, y, folds, k):
    """The definition: float64 differences, exact ties to the earlier row, vote ties to the smaller label."""
    x, predicted = x.astype(np.float64), np.empty_like(y)
    for i in range(len(x)):
        train = np.flatnonzero(folds != folds[i])
        distance = ((x[train] - x[i]) ** 2).sum(axis=1)
        labels, counts = np.unique(y[train[np.argsort(distance, kind="stable")[:k]]], return_counts=True)
        predicted[i] = labels[np.argmax(counts)]
    return predicted


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("k", [1, 2, 5, 8])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn(seed, k, metric):
    rng = np.random.default_rng([seed, k])
    n, d, classes = int(rng.integers(60, 500)), int(rng.integers(2, 300)), int(rng.integers(2, 30))
    dtype = np.float32 if seed % 2 else np.float64
    x = (rng.standard_normal((n, d)) + 4 * (seed % 3)).astype(dtype)
    y, folds = rng.integers(0, classes, n), grouped_folds(rng, n)
    model = KNeighborsClassifier(k, metric=metric)
    predicted = knn.predict(x, y, folds, k, metric)
    np.testing.assert_array_equal(predicted, cross_val_predict(model, x, y, cv=PredefinedSplit(folds)))
    accuracies = [np.mean(knn.correct(x, y, folds, k, metric)[folds == fold]) for fold in range(5)]
    np.testing.assert_array_equal(accuracies, cross_val_score(model, x, y, cv=PredefinedSplit(folds)))


@pytest.mark.parametrize("chunk_bytes", [1, 100_000])
def test_chunks_change_nothing(monkeypatch, chunk_bytes):
    rng = np.random.default_rng(0)
    x, y, folds = rng.standard_normal((300, 20)), rng.integers(0, 5, 300), grouped_folds(rng, 300)
    whole = knn.predict(x, y, folds)
    monkeypatch.setattr(knn, "_CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(knn, "_BATCH_BYTES", chunk_bytes)
    np.testing.assert_array_equal(knn.predict(x, y, folds), whole)


# Small integers make exact ties common: between neighbours at the k-th place, and between votes.
@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(12, 120), d=st.integers(1, 6), k=st.integers(1, 6))
def test_ties_go_to_the_earlier_row_and_the_smaller_label(seed, n, d, k):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 3, (n, d)).astype(np.float32), rng.integers(0, 4, n)
    folds = rng.permutation(np.arange(n) % 2)
    np.testing.assert_array_equal(knn.predict(x, y, folds, k), plain(x, y, folds, k))


def test_exact_where_float32_products_cancel():
    """Clusters 10^8 radii from the centre: |x|^2 + |y|^2 - 2xy cannot order neighbours, not even in float64."""
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(6), 40)
    x = 1e6 * rng.standard_normal((6, 12))[y % 3] + rng.standard_normal((240, 12)) * 1e-2
    folds = np.arange(240) % 5
    np.testing.assert_array_equal(knn.predict(x, y, folds), plain(x, y, folds, 5))


def test_scale_and_offset_do_not_matter():
    rng = np.random.default_rng(2)
    x, y, folds = rng.standard_normal((200, 30)), rng.integers(0, 4, 200), np.arange(200) % 5
    for factor in (1e-30, 1e30):
        np.testing.assert_array_equal(knn.predict(x * factor, y, folds), knn.predict(x, y, folds))
    np.testing.assert_array_equal(knn.predict(x + 1e3, y, folds), knn.predict(x, y, folds))


def test_float16_features_do_not_overflow():
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((100, 64)) * 2e4).clip(-6e4, 6e4).astype(np.float16)
    y, folds = rng.integers(0, 4, 100), np.arange(100) % 5
    np.testing.assert_array_equal(knn.predict(x, y, folds), plain(x, y, folds, 5))


def test_cosine_ignores_length_and_puts_zero_rows_at_distance_one():
    rng = np.random.default_rng(4)
    y, folds = rng.integers(0, 5, 150), np.arange(150) % 5
    x = rng.standard_normal((150, 8))
    longer = x * rng.uniform(0.01, 100, (150, 1))
    np.testing.assert_array_equal(knn.predict(longer, y, folds, metric="cosine"), knn.predict(x, y, folds, 5, "cosine"))
    x = np.abs(x)  # every cosine is positive: a zero row is farther than any other row, and its neighbours all tie
    x[70] = 0
    predicted = knn.predict(x, y, folds, 5, "cosine")
    first = np.flatnonzero(folds != folds[70])[:5]
    assert predicted[70] == np.argmax(np.bincount(y[first]))
    rest = np.arange(150) != 70
    np.testing.assert_array_equal(predicted[rest], knn.predict(x[rest], y[rest], folds[rest], 5, "cosine"))


def test_separated_classes_are_found_and_shuffled_labels_are_at_chance():
    rng = np.random.default_rng(5)
    y = np.repeat(np.array(["crow", "jay", "wren"]), 100)
    x = np.repeat(10 * np.eye(3), 100, axis=0) + rng.standard_normal((300, 3))
    folds = np.arange(300) % 5
    predicted = knn.predict(x, y, folds)
    assert predicted.dtype == y.dtype and np.all(predicted == y)
    shuffled = np.mean(knn.correct(x, rng.permutation(y), folds))
    assert abs(shuffled - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)


def test_a_fold_never_votes_for_itself():
    """Each row has an identical twin in its own fold; only the other fold's labels can be predicted."""
    x, y = np.repeat(np.arange(20.0), 2)[:, None], np.r_[np.zeros(20, int), np.ones(20, int)]
    np.testing.assert_array_equal(knn.predict(x, y, y, k=3), 1 - y)


def test_constant_features_are_one_great_tie():
    y, folds = np.arange(30) % 3, np.arange(30) % 2
    predicted = knn.predict(np.full((30, 4), 0.1), y, folds, k=3)
    np.testing.assert_array_equal(predicted, np.zeros(30))  # rows 1, 3, 5 or 0, 2, 4: one of each class, smallest wins


def test_bad_input_is_one_line():
    x, y, folds = np.zeros((10, 2)), np.zeros(10), np.arange(10) % 2
    with pytest.raises(InputError, match="k = 6, but only 5 training rows"):
        knn.predict(x, y, folds, k=6)
    with pytest.raises(InputError, match="k = 1, but only 0 training rows"):
        knn.predict(x, y, np.zeros(10), k=1)
    with pytest.raises(InputError, match=r"expected one of euclidean, cosine.*got 'manhattan'"):
        knn.predict(x, y, folds, metric="manhattan")
    with pytest.raises(InputError, match=r"features \(10, 2, 2\)"):
        knn.predict(np.zeros((10, 2, 2)), y, folds)
    with pytest.raises(InputError, match=r"folds \(9,\)"):
        knn.predict(x, y, folds[:9])
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="1 of 10 rows are not finite"):
        knn.predict(x, y, folds, k=3)
