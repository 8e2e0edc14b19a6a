"""Attentive read-out: one learned query attends over the positions of a map, a linear softmax reads what it sees.

score(x) = W sum_t softmax_t(q . x_t) x_t + b, trained on cross-entropy with an L2 penalty by L-BFGS; q begins at zero,
which is mean pooling. (Attentive probing: Bardes et al. 2024; on bird transformers Rauch et al. 2025.)
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from ...features import InputError

PENALTY = 1e-2  # of the squared weights, a row
MAX_ITERATIONS = 200


def attentive_transfer(x: np.ndarray, targets: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Class scores of other maps, fitted on all of x.

    Args:
        x: [n, T, d]: T positions of a map.
        targets: bool [n, K].
        others: [m, T, d].

    Returns:
        float64 [m, K].

    Raises:
        InputError: vectors in place of maps.
    """
    if x.ndim != 3 or others.ndim != 3:
        raise InputError(f"read-out attentive: features {x.shape} found, maps [n, T, d] wanted. Use --pool grid?")
    flat = x.reshape(-1, x.shape[-1]).astype(np.float64)
    mean, deviation = flat.mean(axis=0), flat.std(axis=0)
    factor = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    train, test = (x - mean) * factor, (others - mean) * factor
    d, classes = x.shape[-1], targets.shape[1]
    goal = targets / np.maximum(targets.sum(axis=1, keepdims=True), 1)
    start = np.zeros(d + classes * d + classes)
    found = minimize(
        objective, start, args=(train, goal), jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS}
    )
    query, weights, bias = _parts(found.x, d, classes)
    return _attended(test, query)[0] @ weights.T + bias


def attentive_out_of_fold(x: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """`attentive_transfer` for every fold [n] from the other folds: float64 [n, K]."""
    scores = np.empty(targets.shape)
    for fold in np.unique(folds):
        held = folds == fold
        scores[held] = attentive_transfer(x[~held], targets[~held], x[held])
    return scores


def objective(flat: np.ndarray, x: np.ndarray, goal: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy with the penalty, and its gradient, at the parameters `flat` = (query, weights, bias)."""
    n, _, d = x.shape
    query, weights, bias = _parts(flat, d, goal.shape[1])
    seen, attention = _attended(x, query)
    logs = log_softmax(seen @ weights.T + bias, axis=1)
    loss = -(goal * logs).sum() / n + PENALTY * ((weights**2).sum() + (query**2).sum()) / 2
    error = (np.exp(logs) * goal.sum(axis=1, keepdims=True) - goal) / n  # [n, K]
    to_seen = error @ weights  # [n, d]
    along = np.einsum("nd,ntd->nt", to_seen, x)
    to_logit = attention * (along - (attention * along).sum(axis=1, keepdims=True))
    to_query = np.einsum("nt,ntd->d", to_logit, x) + PENALTY * query
    return loss, np.concatenate([to_query, (error.T @ seen + PENALTY * weights).ravel(), error.sum(axis=0)])


def _attended(x: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    attention = softmax(x @ query, axis=1)  # [n, T]
    return np.einsum("nt,ntd->nd", attention, x), attention


def _parts(flat: np.ndarray, d: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return flat[:d], flat[d : d + classes * d].reshape(classes, d), flat[d + classes * d :]
