"""One-vs-rest ridge on standardised vectors, its penalty chosen inside the training rows, in closed form.

Standardise (constant columns become zero), regress +-1 targets with an intercept, take the one penalty with the
smallest squared leave-one-out error over all classes (ordinary cross-validation of Golub, Heath & Wahba 1979). Equals
scikit-learn's StandardScaler + RidgeClassifierCV; one eigendecomposition of size min(d, training rows).
"""

import numpy as np

PENALTIES = tuple(np.logspace(-1, 6, 15).tolist())  # half decades, for standardised columns


def standardised(train, test):
    """Both in float64, less the training mean, over the training standard deviation (1 where a column is constant)."""
    first = train[0].astype(np.float64)
    train = train - first  # so that a constant column becomes exactly zero, not a column of rounding errors
    shift = train.mean(axis=0)
    train -= shift
    mean = first + shift
    deviation = np.sqrt(np.einsum("ij,ij->j", train, train) / len(train))
    constant = deviation <= len(train) * np.finfo(np.float64).eps * np.abs(mean)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    train *= factor
    return train, (test - mean) * factor


def ridge(x, target, test, inside=None, across=None) -> np.ndarray:
    """Ridge scores of `test` [t, d] at the penalty with the smallest leave-one-out error, float64 [t, C].

    x [m, d] has zero column means, so the intercept is the mean target and adds 1/m to each leverage. With an
    orthogonal basis of the rows' span the fit is P diag(w / (w + penalty)) P' target, its leave-one-out residual
    (target - fit) / (1 - leverage). Where d >= m, only inner products are needed: inside = x x' and across = test x'
    are used when given.
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
        w, p = np.linalg.eigh(x @ x.T if inside is None else inside)
        w = np.maximum(w, 0.0)
        moment = p.T @ y
        squared = p**2 * w
        scores = p * w
    errors = []
    for penalty in PENALTIES:
        shrink = 1.0 / (w + penalty)
        leverage = squared @ shrink + 1.0 / m
        residual = (y - scores @ (shrink[:, None] * moment)) / (1.0 - leverage)[:, None]
        errors.append(np.sum(residual**2))
    shrink = 1.0 / (w + PENALTIES[int(np.argmin(errors))])
    coefficients = shrink[:, None] * moment
    if d < m:
        return test @ (v @ coefficients) + mean
    return (test @ x.T if across is None else across) @ (p @ coefficients) + mean
