"""Linear probe: a one-vs-rest ridge classifier, its penalty chosen inside each training fold, in closed form."""

import numpy as np

from ..features import InputError
from .readouts.linear import PENALTIES, ridge_weights
from .readouts.standardise import standardise


def predict(x, y, folds, penalties=PENALTIES) -> np.ndarray:
    """Out-of-fold predicted labels [n] of a one-vs-rest ridge classifier, in the dtype of `y`.

    x [n, d], y [n], folds [n]. Inside each training fold: standardise (constant columns become zero), regress +-1
    targets with an intercept, take the one penalty with the smallest squared leave-one-out error over all classes
    (ordinary cross-validation of Golub, Heath & Wahba 1979). Equals scikit-learn's StandardScaler + RidgeClassifierCV;
    one eigendecomposition of size min(d, training rows) a fold, so the time grows with the cube of that.
    InputError: shapes that do not match, non-finite features, a training fold with a single class.
    """
    x, y = _checked(x, y)
    folds = np.asarray(folds)
    if folds.shape != y.shape:
        raise InputError(f"linear probe: folds {folds.shape} found, {y.shape} wanted, one a row.")
    predicted = np.empty_like(y)
    for fold in np.unique(folds):
        held = folds == fold
        classes, codes = np.unique(y[~held], return_inverse=True)
        if len(classes) < 2:
            raise InputError(
                f"linear probe, fold {fold}: training classes {list(classes)} found, two wanted. One fold?"
            )
        train, test = standardise(x[~held], x[held])
        target = np.where(codes[:, None] == np.arange(len(classes)), 1.0, -1.0)
        weights, intercept = ridge_weights(train, target, penalties)
        predicted[held] = classes[np.argmax(test @ weights + intercept, axis=1)]
    return predicted


def _checked(x, y):
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or not x.size or y.shape != x.shape[:1]:
        raise InputError(f"linear probe: features {x.shape}, labels {y.shape} found; [n, d] and [n] wanted. A map?")
    if not np.isfinite(np.min(x)) or not np.isfinite(np.max(x)):
        raise InputError("linear probe: features that are not finite found, numbers wanted. Overflow in float16?")
    return x, y
