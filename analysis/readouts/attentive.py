"""Attentive read-out of un-pooled maps: a learned query chooses where to look, a linear layer says what is there.

    a = softmax_t(x_t . q / sqrt(d)),   h = sum_t a_t x_t,   logits = h W + b

Standardised by the training rows' statistics per channel; softmax cross-entropy where every training row carries one
class, else a sigmoid a class; penalty / 2 (|W|^2 + |q|^2) on top of the mean loss; L-BFGS in float64. With q = 0 it is
the linear read-out of the mean. The attentive probe of Yu et al. (CoCa, 2022) with one query and one head.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax

from .split import Split

PENALTY = 1e-2
_MAX_STEPS = 300
_SEED = (0, 11)  # of the start


def attentive_scores(split: Split) -> np.ndarray:
    """Logits of the maps [t, T, d] of a split, float64 [t, K]; 0 for classes without a training row."""
    x, test, targets = split.train.astype(np.float64), split.test.astype(np.float64), split.targets
    d, present = x.shape[2], targets.any(axis=0)
    mean, deviation = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
    constant = deviation <= 1e-12 * (np.abs(mean) + np.finfo(np.float64).tiny)
    factor = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
    y = targets[:, present]
    softmaxed = bool(np.all(y.sum(axis=1) == 1))
    start = 0.01 * np.random.default_rng(_SEED).standard_normal(d + d * y.shape[1] + y.shape[1])
    given = ((x - mean) * factor, y, softmaxed, PENALTY)
    found = minimize(_loss, start, given, jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS})
    q, w, b = _unpack(found.x, d, y.shape[1])
    _, pooled = _attend((test - mean) * factor, q)
    scores = np.zeros((len(test), targets.shape[1]))
    scores[:, present] = pooled @ w + b
    return scores


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
