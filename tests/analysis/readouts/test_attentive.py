"""Attentive read-out: its gradient, what it finds that the mean does not, and that no held-out row leaks."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from birdprobe.analysis import readouts
from birdprobe.analysis.readouts import attentive
from birdprobe.features import InputError


def one_position(seed=0, n=120, positions=12, d=6, classes=3):
    """Maps of noise in which one marked position carries the class, the others carry a random one, unmarked."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % classes
    shown = rng.integers(0, classes, (n, positions))
    place = rng.integers(0, positions, n)
    shown[np.arange(n), place] = codes
    x = 0.3 * rng.standard_normal((n, positions, d))
    x[..., :classes] += 2 * np.eye(classes)[shown]
    x[np.arange(n), place, classes] += 4
    return x.astype(np.float32), codes[:, None] == np.arange(classes), (np.arange(n) // classes) % 3


@pytest.mark.parametrize("softmaxed", [True, False])
def test_gradient_is_that_of_finite_differences(softmaxed):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((7, 4, 3))
    y = np.eye(2, dtype=bool)[rng.integers(0, 2, 7)] if softmaxed else rng.random((7, 2)) < 0.5
    theta = rng.standard_normal(3 + 6 + 2)
    gradient = attentive._loss(theta, x, y, softmaxed, 0.1)[1]
    numeric = approx_fprime(theta, lambda t: attentive._loss(t, x, y, softmaxed, 0.1)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_finds_the_one_position_that_carries_the_class():
    x, targets, folds = one_position()
    truth = targets.argmax(axis=1)
    attended = np.mean(readouts.out_of_fold("attentive", x, targets, folds).argmax(axis=1) == truth)
    mean = np.mean(readouts.out_of_fold("logistic", x.mean(axis=1), targets, folds).argmax(axis=1) == truth)
    assert attended > 0.9
    assert mean < 0.75


def test_a_held_out_row_changes_no_other_row_of_its_fold():
    x, targets, folds = one_position()
    before = readouts.out_of_fold("attentive", x, targets, folds)
    planted, swapped = x.copy(), targets.copy()
    planted[0], swapped[0] = 1e6, np.roll(targets[0], 1)
    after = readouts.out_of_fold("attentive", planted, swapped, folds)
    others = (folds == folds[0]) & (np.arange(len(x)) != 0)
    np.testing.assert_allclose(after[others], before[others], rtol=0, atol=1e-9)


def test_scores_do_not_depend_on_the_batch_and_a_missing_class_is_lowest():
    x, targets, _ = one_position()
    targets = np.concatenate([targets, np.zeros((len(x), 1), dtype=bool)], axis=1)
    targets[0, 1] = True  # several labels
    together = readouts.transfer("attentive", x[:80], targets[:80], x[80:])
    assert (together[:, 3] < together[:, :3].min(axis=1)).all()
    for i in range(80, 90):
        alone = readouts.transfer("attentive", x[:80], targets[:80], x[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i - 80], rtol=0, atol=1e-9)


def test_pooled_features_are_refused():
    with pytest.raises(InputError, match="Was the map pooled"):
        readouts.out_of_fold("attentive", np.zeros((4, 3)), np.eye(4, dtype=bool), np.arange(4) % 2)
