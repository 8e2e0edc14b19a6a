"""Attentive read-out of un-pooled maps: a learned query chooses where to look, a linear layer says what is there.

    a = softmax_t(x_t . q / sqrt(d)),   h = sum_t a_t x_t,   logits = h W + b

Standardised by the training rows' statistics per channel; softmax cross-entropy where every training row carries one
class, else a sigmoid a class; penalty / 2 (|W|^2 + |q|^2) on top of the mean loss; L-BFGS in float64. With q = 0 it is
the linear read-out of the mean. The attentive probe of Yu et al. (CoCa, 2022) with one query and one head.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from ...features import InputError

PENALTY = 1e-2
_MAX_STEPS = 300


def out_of_fold_attentive(x, targets, folds, seed: int = 0, penalty: float = PENALTY) -> np.ndarray:
    """Class scores (logits) of every row from the rows outside its fold.

    Args: x [n, T, d] maps of T positions; targets bool [n, K]; folds [n]; seed: of the start; penalty: of the weights.
    Returns: float64 [n, K]; a class without a training row scores just below the row's smallest other score.
    Raises: InputError: shapes that do not match, features that are not finite, fewer than two folds.
    """
    x, targets = _checked(x, targets)
    folds = np.asarray(folds)
    if folds.shape != (len(x),) or len(np.unique(folds)) < 2:
        raise InputError(
            f"attentive: expected one fold a row, two or more in all, got {folds.shape} for {len(x)} rows."
        )
    scores = np.empty(targets.shape)
    for fold in np.unique(folds):
        held = folds == fold
        scores[held] = attentive_transfer(x[~held], targets[~held], x[held], seed, penalty)
    return scores


def attentive_transfer(x, targets, x_test, seed: int = 0, penalty: float = PENALTY) -> np.ndarray:
    """Class scores (logits) float64 [m, K] of the maps x_test [m, T, d], learnt from all rows of x [n, T, d]."""
    x, targets = _checked(x, targets)
    x = x.astype(np.float64)
    d, present = x.shape[2], targets.any(axis=0)
    mean, deviation = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    constant = deviation <= 1e-12 * (np.abs(mean) + np.finfo(np.float64).tiny)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    x = (x - mean) * factor
    y = targets[:, present]
    softmaxed = bool(np.all(y.sum(axis=1) == 1))
    start = 0.01 * np.random.default_rng([seed, 11]).standard_normal(d + d * y.shape[1] + y.shape[1])
    found = minimize(
        _loss, start, (x, y, softmaxed, penalty), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS}
    )
    q, w, b = _unpack(found.x, d, y.shape[1])
    _, pooled = _attend((np.asarray(x_test).astype(np.float64) - mean) * factor, q)
    logits = pooled @ w + b
    scores = np.zeros((len(logits), targets.shape[1]))
    if present.any():
        scores[:, ~present] = np.nextafter(logits.min(axis=1, keepdims=True), -np.inf)
        scores[:, present] = logits
    return scores


def _checked(x, targets):
    x, targets = np.asarray(x), np.asarray(targets)
    if x.ndim != 3 or not x.size or targets.ndim != 2 or len(targets) != len(x) or targets.dtype != bool:
        raise InputError(
            f"attentive: expected features [n, positions, d] and targets bool [n, K], got {x.shape} and "
            f"{targets.dtype} {targets.shape}. Was the map pooled? It takes `--pool grid:HxW`."
        )
    if not np.isfinite(x).all():
        raise InputError("attentive: expected numbers, got features that are not finite. Overflow in float16?")
    return x, targets


def _unpack(theta, d, k):
    return theta[:d], theta[d : d + d * k].reshape(d, k), theta[d + d * k :]


def _attend(x, q):
    """(attention [n, T], attended mean [n, d])."""
    attention = softmax(x @ q / np.sqrt(x.shape[2]), axis=1)
    return attention, np.einsum("nt,ntd->nd", attention, x)


def _loss(theta, x, y, softmaxed, penalty):
    """(mean loss with penalty, its gradient in theta = (q, W, b))."""
    n, _, d = x.shape
    q, w, b = _unpack(theta, d, y.shape[1])
    attention, pooled = _attend(x, q)
    logits = pooled @ w + b
    if softmaxed:
        log_p = log_softmax(logits, axis=1)
        loss, slope = -log_p[y].sum(), np.exp(log_p) - y
    else:
        loss, slope = (np.logaddexp(0.0, logits) - y * logits).sum(), expit(logits) - y
    slope = slope / n  # [n, K]
    back = slope @ w.T  # of the attended mean
    of_attention = np.einsum("ntd,nd->nt", x, back)
    of_score = attention * (of_attention - (attention * of_attention).sum(axis=1, keepdims=True))
    gradient_q = np.einsum("nt,ntd->d", of_score, x) / np.sqrt(d) + penalty * q
    gradient = np.concatenate([gradient_q, (pooled.T @ slope + penalty * w).ravel(), slope.sum(axis=0)])
    return loss / n + penalty / 2 * (np.sum(w**2) + np.sum(q**2)), gradient
