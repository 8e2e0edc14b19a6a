"""Linear read-outs: ridge and logistic regression on standardised columns."""

import warnings

import numpy as np

from .standardise import standardise

PENALTIES = tuple(np.logspace(-1, 6, 15).tolist())  # half decades, for standardised columns
MAX_ITERATIONS = 2000


def ridge(x: np.ndarray, targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Decision values [m, K] of one-vs-rest ridge; equals scikit-learn's StandardScaler + RidgeClassifierCV.

    Ours takes one eigendecomposition for all penalties and the smaller of the two Gram matrices: several times faster.
    """
    train, test = standardise(x, others)
    weights, intercept = ridge_weights(train, np.where(targets, 1.0, -1.0), PENALTIES)
    return test @ weights + intercept


def logistic(x: np.ndarray, targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Log-odds [m, K]: multinomial where every row has one label, else one-vs-rest; scikit-learn's C = 1.

    A class that all rows or no row carries is no question for one-vs-rest: its column is constant.
    """
    from sklearn.linear_model import LogisticRegression

    train, test = standardise(x, others)
    scores = np.zeros((len(others), targets.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an optimiser that stops early is still a classifier
        if (targets.sum(axis=1) == 1).all() and targets.any(axis=0).sum() > 2:
            fitted = LogisticRegression(max_iter=MAX_ITERATIONS).fit(train, targets.argmax(axis=1))
            scores[:, fitted.classes_] = fitted.decision_function(test)
            return scores
        for column, target in enumerate(targets.T):
            if target.any() and not target.all():
                fitted = LogisticRegression(max_iter=MAX_ITERATIONS).fit(train, target)
                scores[:, column] = fitted.decision_function(test)
    return scores


def ridge_weights(x, target, penalties):
    """weights [d, C] and intercept [C] at the penalty with the smallest leave-one-out error.

    x [m, d] has zero column means, so the intercept is the mean target and adds 1/m to each leverage. With an
    orthogonal basis of the rows' span the fit is P diag(w / (w + penalty)) P' target, its leave-one-out residual
    (target - fit) / (1 - leverage).
    """
    m, d = x.shape
    mean = target.mean(axis=0)
    y = target - mean
    if d < m:
        w, v = np.linalg.eigh(x.T @ x)
        w = np.maximum(w, 0.0)
        scores = x @ v  # [m, d] = P sqrt(w)
        moment = v.T @ (x.T @ y)  # sqrt(w) P'y
        squared = scores**2
    else:
        w, p = np.linalg.eigh(x @ x.T)
        w = np.maximum(w, 0.0)
        moment = p.T @ y
        squared = p**2 * w
        scores = p * w
    errors = []
    for penalty in penalties:
        shrink = 1.0 / (w + penalty)
        leverage = squared @ shrink + 1.0 / m
        residual = (y - scores @ (shrink[:, None] * moment)) / (1.0 - leverage)[:, None]
        errors.append(np.sum(residual**2))
    shrink = 1.0 / (w + penalties[int(np.argmin(errors))])
    coefficients = shrink[:, None] * moment
    return (v @ coefficients if d < m else x.T @ (p @ coefficients)), mean
