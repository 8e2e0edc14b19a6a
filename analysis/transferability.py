"""Scores without a read-out: LogME, effective rank and CKA of a tap, and how well such a score would have chosen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..features import InputError
from .vectors import check_taps, check_vectors

REGRET_COLUMNS = ("label_free", "tap", "score", "best_tap", "best_score", "regret", "spearman", "n_taps")
_MAX_STEPS = 1000


def logme(x, y) -> float:
    """LogME of features x [n, d] for labels y [n] (You et al., "LogME", ICML 2021): larger is better, nats per row.

    The log evidence of y = Xw + noise, w ~ N(0, I/alpha), noise ~ N(0, 1/beta), maximised over alpha and beta for each
    class's 0/1 column and divided by n; the mean over classes. With s the singular values of X, m the posterior mean:

        L = n/2 log(beta / 2 pi) + d/2 log alpha - beta/2 |y - Xm|^2 - alpha/2 |m|^2 - 1/2 sum log(alpha + beta s^2)

    maximised by MacKay's fixed point, gamma = sum beta s^2 / (alpha + beta s^2), alpha = gamma / |m|^2,
    beta = (n - gamma) / |y - Xm|^2. The features enter raw, as published: a common scale cancels, an offset does not.
    InputError: features that are no vectors or not finite, a single class.
    """
    x, y = check_vectors(x, "LogME"), np.asarray(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"LogME: expected at least two classes, got {len(classes)}. Are the labels one constant?")
    n, d = x.shape
    x = _scaled(x)  # a common scale cancels in L; this one keeps the squares in range
    target = (codes[:, None] == np.arange(len(classes))).astype(np.float64)  # [n, C]
    if d < n:
        s2, v = np.linalg.eigh(x.T @ x)
        keep = s2 > s2.max(initial=0.0) * max(n, d) * np.finfo(np.float64).eps
        s2 = s2[keep]
        z2 = (v[:, keep].T @ (x.T @ target)) ** 2 / s2[:, None]
    else:
        s2, u = np.linalg.eigh(x @ x.T)
        keep = s2 > s2.max(initial=0.0) * max(n, d) * np.finfo(np.float64).eps
        s2 = s2[keep]
        z2 = (u[:, keep].T @ target) ** 2
    return float(np.mean(_evidence(s2, z2, (target**2).sum(axis=0), n)) / n)


def _evidence(s2, z2, y2, n) -> np.ndarray:
    """Maximal log evidence per class [C]. s2 [r]: squared singular values; z2 [r, C]: of U'y; y2 [C]: |y|^2."""
    if not len(s2):  # a dead tap: w is never used, the evidence is the noise's alone
        return -n / 2 * (np.log(2 * np.pi * y2 / n) + 1)
    outside = np.maximum(y2 - z2.sum(axis=0), 0.0)  # of y, beyond the reach of the features
    floor = np.finfo(np.float64).eps * y2
    s2, alpha, beta = s2[:, None], np.ones(len(y2)), np.ones(len(y2))
    evidence = np.full(len(y2), -np.inf)
    for _ in range(_MAX_STEPS):
        precision = alpha + beta * s2  # [r, C]
        mean2 = np.maximum((s2 * z2 * (beta / precision) ** 2).sum(axis=0), np.finfo(np.float64).tiny)
        error2 = np.maximum((z2 * (alpha / precision) ** 2).sum(axis=0) + outside, floor)
        before = evidence
        evidence = n * np.log(beta / (2 * np.pi)) - beta * error2 - alpha * mean2
        # Directions without data add log(alpha) - log(alpha) = 0, so r of the d terms are left.
        evidence = (evidence + len(s2) * np.log(alpha) - np.log(precision).sum(axis=0)) / 2
        if np.all(np.abs(evidence - before) < 1e-8 * n):
            break
        gamma = (beta * s2 / precision).sum(axis=0)
        alpha, beta = gamma / mean2, (n - gamma) / error2
        beta = np.minimum(beta, n / floor)
    return evidence


def effective_rank(x: np.ndarray) -> float:
    """Directions that features [n, d] spread over, between 1 and min(n, d); 0 for a dead tap.

    exp(-sum p log p) with p the singular values of x, not centred, divided by their sum. RankMe: Garrido et al.,
    "RankMe", ICML 2023; Roy & Vetterli, "The effective rank", EUSIPCO 2007.
    """
    x = _scaled(check_vectors(x, "effective rank"))
    s2 = np.linalg.eigvalsh(x.T @ x if x.shape[1] < len(x) else x @ x.T)
    s = np.sqrt(s2[s2 > s2.max() * max(x.shape) * np.finfo(np.float64).eps])
    if not len(s):
        return 0.0
    p = s / s.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def cka(features: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Linear CKA between all pairs of taps: 1 where two taps arrange the rows alike up to rotation and scale.

    features: tap -> [n, d_tap], the same rows. [taps, taps], symmetric, in 0..1; nan against a tap whose rows are all
    equal. |Y'X|^2 / (|X'X| |Y'Y|) on centred columns: Kornblith et al., "Similarity of neural network representations
    revisited", ICML 2019. It is biased upwards where rows are few and columns many.
    """
    taps, n = list(features), len(next(iter(features.values()), ()))
    held = []  # per tap: the centred features, or their n x n Gram matrix where that is smaller
    for x in check_taps(features, "CKA", n):
        x = _scaled(x - x[0].astype(np.float64))  # a constant column becomes exactly zero
        x -= x.mean(axis=0)
        held.append((True, x @ x.T) if x.shape[1] > n else (False, x))
    norms = np.array([np.sqrt(_alignment(one, one)) for one in held])
    table = np.full((len(taps), len(taps)), np.nan)
    for i, one in enumerate(held):
        for j in range(i + 1):
            if norms[i] and norms[j]:
                table[i, j] = table[j, i] = 1.0 if i == j else _alignment(one, held[j]) / (norms[i] * norms[j])
    return pd.DataFrame(np.clip(table, 0.0, 1.0), index=taps, columns=taps)


def label_free_regret(label_free: pd.DataFrame, labelled: pd.Series) -> pd.DataFrame:
    """What choosing by each label-free score costs against choosing by a labelled one; both have the index tap.

    One row a label-free score, columns REGRET_COLUMNS: the tap that it chooses (the first of equals) and that tap's
    labelled score; the tap with the best labelled score; regret, the difference (0 or more); Spearman's rho of the two
    scores over taps (nan where one is constant).
    """
    label_free = label_free.reindex(labelled.index)
    best, rows = str(labelled.idxmax()), []
    for name, score in label_free.items():
        chosen = str(score.idxmax())
        varied = score.nunique() > 1 and labelled.nunique() > 1
        rho = score.rank().corr(labelled.rank()) if varied else np.nan  # Spearman's
        regret = labelled[best] - labelled[chosen]
        rows.append((name, chosen, labelled[chosen], best, labelled[best], regret, rho, len(labelled)))
    return pd.DataFrame(rows, columns=list(REGRET_COLUMNS))


def _alignment(one: tuple[bool, np.ndarray], other: tuple[bool, np.ndarray]) -> float:
    """|Y'X|^2 = <XX', YY'> of two centred taps, each given as (True, its Gram matrix) or (False, its features)."""
    (gram, x), (other_gram, y) = one, other
    if gram and other_gram:
        return float(np.vdot(x, y))
    if gram or other_gram:
        matrix, rows = (x, y) if gram else (y, x)
        return float(np.vdot(rows, matrix @ rows))
    return float(np.sum((x.T @ y) ** 2))


def _scaled(x: np.ndarray) -> np.ndarray:
    """In float64, the largest magnitude 1, so that squares neither overflow nor vanish."""
    x = x.astype(np.float64)
    return x / (np.abs(x).max() or 1.0)
