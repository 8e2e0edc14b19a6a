"""Each read-out equals scikit-learn's pipeline with the same folds, and sees nothing of a held-out row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birdprobe.analysis import metrics, readouts
from birdprobe.analysis.readouts import linear
from birdprobe.features import InputError

SEEDS = st.integers(0, 2**32 - 1)
PIPELINES = {
    "knn": KNeighborsClassifier(5),
    "knn-cosine": KNeighborsClassifier(5, metric="cosine"),
    "knn-standard": make_pipeline(StandardScaler(), KNeighborsClassifier(5, metric="cosine")),
    "linear": make_pipeline(StandardScaler(), RidgeClassifierCV(linear.PENALTIES)),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-6, max_iter=5000)),
}


def one_label(seed, n=90, d=12, classes=4, constant=True):
    """(features float32 with a constant column, codes, folds): every class in every fold."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n) % classes)
    folds = np.empty(n, dtype=np.int64)
    for c in range(classes):
        folds[codes == c] = rng.permutation(np.arange(np.sum(codes == c)) % 3)
    x = rng.standard_normal((n, d)) + 0.7 * rng.standard_normal((classes, d))[codes]
    x = x * rng.uniform(0.1, 20, d) + 3
    if constant:
        x[:, 0] = 0.1
    return x.astype(np.float32), codes, folds


def several_labels(seed, n=90, d=12, classes=4):
    rng = np.random.default_rng(seed)
    targets = rng.random((n, classes)) < 0.3
    targets[:classes] = targets[classes : 2 * classes] = np.eye(classes, dtype=bool)
    folds = rng.integers(0, 3, n)
    folds[: 2 * classes] = np.repeat([0, 1], classes)
    x = rng.standard_normal((n, d)) + targets @ rng.standard_normal((classes, d))
    return x.astype(np.float32), targets, folds


def one_hot(codes):
    return codes[:, None] == np.arange(codes.max() + 1)


@pytest.mark.parametrize("readout", PIPELINES)
@settings(deadline=None, max_examples=15)
@given(seed=SEEDS, d=st.sampled_from([3, 12, 150]), classes=st.sampled_from([2, 5]))
def test_predictions_equal_scikit_learn(readout, seed, d, classes):
    x, codes, folds = one_label(seed, d=d, classes=classes)
    scores = readouts.out_of_fold(readout, x, one_hot(codes), folds)
    wanted = cross_val_predict(PIPELINES[readout], x.astype(np.float64), codes, cv=PredefinedSplit(folds))
    top = np.sort(scores, axis=1)
    # a margin below the optimiser's tolerance is a tie
    clear = top[:, -1] - top[:, -2] > 1e-3 if readout == "logistic" else np.ones(len(x), dtype=bool)
    np.testing.assert_array_equal(scores.argmax(axis=1)[clear], wanted[clear])


@pytest.mark.parametrize("d", [12, 150])
def test_logistic_scores_are_scikit_learns_log_probabilities(d):
    x, codes, folds = one_label(3, d=d)
    model = PIPELINES["logistic"]
    wanted = cross_val_predict(
        model, x.astype(np.float64), codes, cv=PredefinedSplit(folds), method="predict_log_proba"
    )
    scores = readouts.out_of_fold("logistic", x, one_hot(codes), folds)
    np.testing.assert_allclose(scores, wanted, atol=5e-3)


@settings(deadline=None, max_examples=25)
@given(seed=SEEDS, d=st.sampled_from([3, 40]))
def test_centroid_is_the_cosine_to_the_class_mean(seed, d):
    x, targets, folds = several_labels(seed, d=d)
    scores = readouts.out_of_fold("centroid", x, targets, folds)
    for i in range(0, len(x), 7):
        for c in range(targets.shape[1]):
            mean = x[(folds != folds[i]) & targets[:, c]].astype(np.float64).mean(axis=0)
            cosine = x[i] @ mean / np.linalg.norm(x[i].astype(np.float64)) / np.linalg.norm(mean)
            assert scores[i, c] == pytest.approx(cosine, abs=1e-9)


MULTI = {
    **PIPELINES,
    "linear": make_pipeline(StandardScaler(), RidgeClassifierCV(linear.PENALTIES)),
    "logistic": make_pipeline(
        StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.1, tol=1e-8, max_iter=5000))
    ),
}


@pytest.mark.parametrize("readout", MULTI)
@pytest.mark.parametrize("seed", range(4))
def test_multi_label_auc_and_cmap_equal_scikit_learns(readout, seed):
    x, targets, folds = several_labels(seed)
    scores = readouts.out_of_fold(readout, x, targets, folds)
    wanted = np.empty(targets.shape)
    for fold in range(3):
        held = folds == fold
        model = MULTI[readout].fit(x[~held].astype(np.float64), targets[~held].astype(int))
        if "knn" in readout:
            wanted[held] = np.stack([p[:, 1] for p in model.predict_proba(x[held].astype(np.float64))], axis=1)
        else:
            wanted[held] = model.decision_function(x[held].astype(np.float64))
    np.testing.assert_allclose(scores, wanted, atol=5e-3 if readout == "logistic" else 1e-6)
    tolerance = 0.01 if readout == "logistic" else 1e-9
    assert metrics.macro_auc(targets, scores) == pytest.approx(
        roc_auc_score(targets, wanted, average="macro"), abs=tolerance
    )
    assert metrics.cmap(targets, scores) == pytest.approx(
        average_precision_score(targets, wanted, average="macro"), abs=tolerance
    )


@pytest.mark.parametrize("readout", readouts.ALL)
@pytest.mark.parametrize("d", [12, 150])
def test_a_held_out_row_changes_no_other_row_of_its_fold(readout, d):
    x, codes, folds = one_label(5, d=d)
    targets = one_hot(codes)
    before = readouts.out_of_fold(readout, x, targets, folds)
    planted, swapped = x.copy(), targets.copy()
    planted[0] = 1e6 * np.sign(x[0])
    swapped[0] = np.roll(targets[0], 1)
    after = readouts.out_of_fold(readout, planted, swapped, folds)
    others = (folds == folds[0]) & (np.arange(len(x)) != 0)
    np.testing.assert_allclose(after[others], before[others], rtol=0, atol=1e-9)
    if (
        readout != "knn"
    ):  # an outlier is nobody's Euclidean neighbour; the other read-outs' other folds do learn from it
        assert not np.allclose(after[folds != folds[0]], before[folds != folds[0]])


@pytest.mark.parametrize("readout", readouts.ALL)
@pytest.mark.parametrize("d", [12, 150])
def test_transfer_does_not_depend_on_the_batch_and_is_out_of_fold_without_folds(readout, d):
    x, codes, folds = one_label(6, d=d)
    held = folds == 0
    targets = one_hot(codes)
    together = readouts.transfer(readout, x[~held], targets[~held], x[held])
    np.testing.assert_allclose(together, readouts.out_of_fold(readout, x, targets, folds)[held], atol=1e-9)
    for i, row in enumerate(x[held]):
        alone = readouts.transfer(readout, x[~held], targets[~held], row[None])
        np.testing.assert_allclose(alone[0], together[i], rtol=0, atol=1e-9)


@pytest.mark.parametrize("readout", readouts.ALL)
def test_a_class_without_a_training_row_is_never_predicted_and_finite(readout):
    x, codes, folds = one_label(7)
    folds[codes == 1] = 0
    scores = readouts.out_of_fold(readout, x, one_hot(codes), folds)
    assert np.isfinite(scores).all()
    first = scores[folds == 0]
    assert (first[:, 1] < np.delete(first, 1, axis=1).min(axis=1)).all()


@pytest.mark.parametrize("readout", readouts.ALL)
def test_a_dead_tap_is_read_without_a_warning(readout):
    _, codes, folds = one_label(8)
    scores = readouts.out_of_fold(readout, np.full((len(codes), 5), 0.3, dtype=np.float32), one_hot(codes), folds)
    assert np.isfinite(scores).all()


def test_labels_are_predicted_in_their_own_type_and_dead_columns_change_nothing():
    x, codes, folds = one_label(10, classes=3)
    names = np.array(["wren", "robin", "gull"])[codes]
    dead = np.concatenate([x, np.zeros((len(x), 3)), np.full((len(x), 2), 1e4)], axis=1)
    for readout in ("linear", "knn-standard"):
        predicted = readouts.predict(readout, x, names, folds)
        assert predicted.dtype == names.dtype and np.mean(predicted == names) > 0.6
        np.testing.assert_array_equal(readouts.predict(readout, dead, names, folds), predicted)
    codes[:30], folds = 0, np.arange(len(x)) % 5
    nothing = readouts.predict("linear", np.full((len(x), 4), 0.1), codes, folds)
    for fold in range(5):  # nothing to learn: each fold's majority class
        assert set(nothing[folds == fold]) == {np.argmax(np.bincount(codes[folds != fold]))}


def test_equally_near_rows_are_taken_in_order_by_every_vote():
    x = np.ones((12, 3), dtype=np.float32) * np.arange(1, 4, dtype=np.float32)
    codes, folds = np.array([0, 0, 0, 1, 1, 1] * 2), np.repeat([0, 1], 6)
    for readout in ("knn", "knn-cosine", "knn-standard"):
        np.testing.assert_allclose(
            readouts.out_of_fold(readout, x, one_hot(codes), folds), np.tile([0.6, 0.4], (12, 1))
        )


def test_all_together_equals_each_alone():
    x, codes, folds = one_label(9, d=150)
    together = readouts.out_of_fold_all(readouts.ALL, x, one_hot(codes), folds)
    for name in readouts.ALL:
        np.testing.assert_array_equal(together[name], readouts.out_of_fold(name, x, one_hot(codes), folds))


def test_names():
    assert readouts.parse("knn, linear,knn") == ("knn", "linear")
    assert readouts.parse("all,logistic") == readouts.ALL
    with pytest.raises(InputError, match=r"`--readout` must be `all` or name some of .*got 'svm'"):
        readouts.parse("knn,svm")
    with pytest.raises(InputError, match="got none"):
        readouts.parse(" ,")
    x, codes, folds = one_label(0)
    with pytest.raises(InputError, match="got 'svm'"):
        readouts.out_of_fold("svm", x, one_hot(codes), folds)
    with pytest.raises(InputError, match=r"one fold a row, two or more in all, got \(90,\)"):
        readouts.out_of_fold("knn", x, one_hot(codes), np.zeros(90))
    with pytest.raises(InputError, match="not finite"):
        readouts.out_of_fold("linear", x * np.inf, one_hot(codes), folds)
    with pytest.raises(InputError, match="one column a class"):
        readouts.out_of_fold("knn", x, codes, folds)
    with pytest.raises(InputError, match="k = 99, but only"):
        readouts.out_of_fold("knn-standard", x, one_hot(codes), folds, k=99)
