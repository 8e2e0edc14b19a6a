"""Linear probe against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from birdprobe.analysis.readouts import linear
from birdprobe.features import InputError


def noisy_classes(seed, n, d, classes, shift=0.3):
    """Features around class means, columns on very different scales, the first one constant."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    x = (rng.standard_normal((n, d)) + shift * rng.standard_normal((classes, d))[y]) * rng.uniform(0.1, 50, d) + 3
    x[:, 0] = 0.1
    return x, y, rng.integers(0, 5, n)


@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("d", [5, 30, 160, 400])  # fewer dimensions than rows: covariance; more: Gram matrix
def test_equals_scikit_learn(d, classes):
    x, y, folds = noisy_classes(d + classes, 200, d, classes)
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(linear.PENALTIES))
    np.testing.assert_array_equal(
        linear.predict(x, y, folds), cross_val_predict(model, x, y, cv=PredefinedSplit(folds))
    )


def test_constant_and_dead_columns_are_safe():
    x, y, folds = noisy_classes(0, 100, 10, 3)
    with_dead = np.concatenate([x, np.zeros((100, 3)), np.full((100, 2), 1e4)], axis=1)
    np.testing.assert_array_equal(linear.predict(with_dead, y, folds), linear.predict(x, y, folds))
    predicted = linear.predict(np.full((100, 4), 0.1), y, folds)  # nothing to learn: each fold's majority class
    for fold in range(5):
        assert set(predicted[folds == fold]) == {np.argmax(np.bincount(y[folds != fold]))}


def test_a_training_fold_without_a_class_predicts_another():
    rng = np.random.default_rng(1)
    y = np.repeat(np.array(["a", "b", "c"]), 20)
    x, folds = 5 * np.eye(3)[np.repeat([0, 1, 2], 20)] + 0.1 * rng.standard_normal((60, 3)), np.arange(60) % 2
    folds[y == "c"] = 1
    predicted = linear.predict(x, y, folds)
    assert np.all(predicted[y != "c"] == y[y != "c"])
    assert not np.any(predicted[y == "c"] == "c")


def test_bad_input_is_one_line():
    x, y, folds = noisy_classes(0, 50, 4, 2)
    with pytest.raises(InputError, match="expected two classes"):
        linear.predict(x, y, np.zeros(50))
    with pytest.raises(InputError, match=r"expected folds \(50,\), one a row, got \(49,\)"):
        linear.predict(x, y, folds[1:])
    x[0, 0] = np.inf
    with pytest.raises(InputError, match="not finite"):
        linear.predict(x, y, folds)
