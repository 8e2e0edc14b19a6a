"""Probes that read taps together without concatenating them: sums of one [n, n] matrix a tap.

Squared distances of concatenated vectors are sums over the taps, and so are inner products. So each tap is turned into
one matrix once, and any set of taps is read from the sum of theirs.

How taps are put on one scale: without labels and over all rows given, held-out ones included.
- `distances`: the tap is centred and divided by the root mean square length of its rows, so every tap adds the same
  mean squared distance, whatever its width. One tap alone is read as `analysis.knn` reads it.
- `gram`: each column is standardised, and the tap divided by the root of its number of columns that vary. One tap
  alone is read nearly as by `analysis.readouts.linear`, which standardises inside each training fold instead.

Both probes: read_* gives out-of-fold labels and what was tuned, apply_* the labels of some rows from others with that.
Labels are codes 0..C-1 and folds any numbers, each [n]; everything was checked by the caller.
"""

import numpy as np

from . import knn

NEIGHBOURS = 5
PENALTIES = tuple(np.logspace(-5, 2, 8).tolist())  # of Gram matrices whose mean diagonal is the number of taps


def distances(x) -> np.ndarray:
    """Squared distances float32 [n, n] of x [n, d], centred, at a root mean square length of 1."""
    x = x.astype(np.float64)
    x -= x[0]  # so that a constant column becomes exactly zero, not rounding errors
    x -= x.mean(axis=0)
    norm2 = np.einsum("ij,ij->i", x, x)
    scale = norm2.mean() or 1.0  # a dead tap adds nothing
    squared = (norm2[:, None] + norm2 - 2 * (x @ x.T)) / scale
    return np.maximum(squared, 0.0).astype(np.float32)


def _vote(squared, codes) -> np.ndarray:
    """Majority of the NEIGHBOURS nearest columns, [rows]; ties as in `knn`. squared [rows, columns]."""
    return knn.vote(codes[knn.closest(squared, NEIGHBOURS)], int(codes.max()) + 1)


def read_knn(squared, codes, folds):
    """(out-of-fold labels [n], None: nothing is tuned)."""
    outside = np.where(folds[:, None] == folds, np.float32(np.inf), squared)
    return _vote(outside, codes), None


def apply_knn(squared, codes, train, test, _):
    return _vote(squared[np.ix_(test, train)], codes[train])


def gram(x) -> np.ndarray:
    """Inner products float32 [n, n] of x [n, d], its columns standardised, with a mean diagonal of 1."""
    x = x.astype(np.float64)
    x -= x[0]  # so that a constant column becomes exactly zero
    x -= x.mean(axis=0)
    deviation = np.sqrt(np.einsum("ij,ij->j", x, x) / len(x))
    varies = deviation > 0
    x = x[:, varies] / deviation[varies]
    return (x @ x.T / max(1, x.shape[1])).astype(np.float32)


def _targets(codes) -> np.ndarray:
    return np.where(codes[:, None] == np.arange(codes.max() + 1), 1.0, -1.0)


def _centred(gram):
    """Inner products after the mean row was taken off: the intercept is then the mean target."""
    mean = gram.mean(axis=0)
    return gram - mean - mean[:, None] + mean.mean()


def read_linear(gram, codes, folds):
    """(out-of-fold labels [n], the penalty with the smallest squared out-of-fold error over all classes).

    Ridge is a linear smoother, fit = H y, and leaving a fold F out needs no second fit: its residual is
    (I - H_FF)^-1 (y - H y)_F (Cook & Weisberg 1982, ch. 2). One eigendecomposition serves all folds and penalties.
    """
    target = _targets(codes)
    n = len(target)
    mean = target.mean(axis=0)
    w, p = np.linalg.eigh(_centred(gram.astype(np.float64)))
    w = np.maximum(w, 0.0)
    moment = p.T @ (target - mean)
    best = None
    for penalty in PENALTIES:
        shrink = w / (w + penalty)
        residual = target - mean - p @ (shrink[:, None] * moment)
        left_out = np.empty_like(target)
        for fold in np.unique(folds):
            at = folds == fold
            hat = (p[at] * shrink) @ p[at].T + 1.0 / n
            left_out[at] = np.linalg.solve(np.eye(len(hat)) - hat, residual[at])
        error = np.sum(left_out**2)
        if best is None or error < best[0]:
            best = error, np.argmax(target - left_out, axis=1), penalty
    return best[1], best[2]


def apply_linear(gram, codes, train, test, penalty):
    """Labels of the rows `test` by ridge on the rows `train`."""
    target = _targets(codes)[train]
    inside, across = gram[np.ix_(train, train)].astype(np.float64), gram[np.ix_(test, train)].astype(np.float64)
    across = across - across.mean(axis=1, keepdims=True) - inside.mean(axis=0) + inside.mean()
    kernel = _centred(inside)
    kernel[np.diag_indices_from(kernel)] += penalty
    weights = np.linalg.solve(kernel, target - target.mean(axis=0))
    return np.argmax(across @ weights + target.mean(axis=0), axis=1)
