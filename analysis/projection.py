"""Planes: one for several taps, with the path each class takes from block to block; or one a tap, with its scores.

Figure 2 of Yadav 2026 shows per-species centroid trajectories through the last blocks in one joint UMAP space. Blocks
have unequal widths, so before the joint projection each tap is brought to a common space: standardise, PCA to a common
number of dimensions, unit mean row norm, orthogonal Procrustes onto the previous tap. What is left between two taps is
then change of arrangement, not of width, scale or orientation.
"""

import atexit
import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ..features import InputError
from . import knn
from .runs import PLANE_COLUMNS
from .vectors import check_taps

_COMMON_DIMS = 50
_UMAP_NEIGHBOURS = 15
_UMAP_MIN_POINTS = 2 * _UMAP_NEIGHBOURS  # fewer are no manifold to learn: PCA instead


def trajectories(features: Mapping[str, np.ndarray], labels, method: str = "umap", seed: int = 0) -> pd.DataFrame:
    """Columns tap, item, label, x, y: every row of every tap in one plane, taps in the order given, items 0..n-1.

    features: tap -> [n, d_tap], the same rows in the same order; labels [n]. Deterministic in `seed`. UMAP falls back
    to PCA when there are fewer than 30 points or it cannot be loaded; `.attrs["method"]` says which was used, and
    `.attrs["reason"]` why no other.
    InputError: fewer than 3 rows, features that are no vectors of as many rows or not finite.
    """
    labels = np.asarray(labels)
    points = np.concatenate(_aligned(_checked(features, labels), seed))
    reason = "" if method != "umap" else "fewer than 30 points" if len(points) < _UMAP_MIN_POINTS else why_no_umap()
    method = "pca" if reason else method
    plane = _umap(points, seed) if method == "umap" else _pca(points, 2, seed)
    frame = _points(list(features), labels, plane)
    frame.attrs |= {"method": method, "reason": reason}
    return frame


@dataclass(frozen=True, eq=False)
class Planes:
    """One plane a tap: `scores`, one row a tap, columns PLANE_COLUMNS; `points`, columns tap, item, label, x, y, of
    the first seed. A score's lo and hi are its lowest and highest value over the seeds."""

    scores: pd.DataFrame
    points: pd.DataFrame


def plane_scores(
    features: Mapping[str, np.ndarray],
    labels,
    folds,
    method: str = "umap",
    seeds: Sequence[int] = (0, 1, 2),
    k: int = 5,
) -> Planes:
    """How much of the labels is left in each tap's own plane, seed by seed.

    features: tap -> [n, d_tap], the same rows; labels, folds [n]. Planes are by "umap" or "pca" after standardising and
    a PCA to at most 50 dimensions; UMAP falls back to PCA with fewer than 30 rows (the column `method` says which),
    and PCA, which has no seed, is drawn once. Scores are the out-of-fold Euclidean k-NN accuracy in the plane and the
    labels' silhouette (nan with one class, or as many as rows). UMAP sees all rows, held-out ones included, but no
    labels.

    Silhouette: Rousseeuw 1987. UMAP: McInnes, Healy & Melville 2018.
    """
    labels = np.asarray(labels)
    checked = _checked(features, labels)
    used = "pca" if method == "umap" and (len(labels) < _UMAP_MIN_POINTS or why_no_umap()) else method
    rows, points = [], []
    for tap, x in zip(features, checked):
        narrow = _standardised_pca(x, min(_COMMON_DIMS, len(x) - 1, x.shape[1]), seeds[0])
        seen: list[tuple[float, float]] = []
        for seed in seeds if used == "umap" else seeds[:1]:
            plane = _umap(narrow, seed) if used == "umap" else _pca(narrow, 2, seed)
            if not seen:
                points.append(_points([tap], labels, plane))
            seen.append((knn.correct(plane, labels, folds, k).mean(), _silhouette(plane, labels)))
        accuracy, silhouette = np.array(seen).T
        ends = (f(score) for score in (accuracy, silhouette) for f in (np.mean, np.min, np.max))
        rows.append((tap, *ends, used, len(seen)))
    return Planes(pd.DataFrame(rows, columns=list(PLANE_COLUMNS)), pd.concat(points, ignore_index=True))


def centroids(points: pd.DataFrame) -> pd.DataFrame:
    """Mean position per label and tap: columns tap, label, x, y, n, step, path; by label, taps in order of `points`.

    n: items averaged. step: distance to the label's centroid at the previous tap, 0 at the first. path: steps so far.
    """
    order = {tap: i for i, tap in enumerate(pd.unique(points["tap"]))}
    mean = points.groupby(["label", "tap"], sort=False).agg(x=("x", "mean"), y=("y", "mean"), n=("x", "size"))
    mean = mean.reset_index()
    mean = mean.assign(place=mean["tap"].map(order)).sort_values(["label", "place"], ignore_index=True)
    moved = mean.groupby("label")[["x", "y"]].diff().fillna(0.0)
    mean["step"] = np.hypot(moved["x"], moved["y"])
    mean["path"] = mean.groupby("label")["step"].cumsum()
    return mean[["tap", "label", "x", "y", "n", "step", "path"]]


def longest(centres: pd.DataFrame, n: int) -> list:
    """The n labels with the longest total path of `centroids`, longest first, equal ones by label."""
    total = centres.groupby("label", sort=True)["step"].sum()
    return total.sort_values(ascending=False, kind="stable").index[:n].tolist()


def _points(taps: list[str], labels: np.ndarray, plane: np.ndarray) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "tap": np.repeat(np.array(taps, dtype=object), n),
            "item": np.tile(np.arange(n), len(taps)),
            "label": np.tile(labels, len(taps)),
            "x": plane[:, 0],
            "y": plane[:, 1],
        }
    )


def _silhouette(plane: np.ndarray, labels: np.ndarray) -> float:
    from sklearn.metrics import silhouette_score

    return silhouette_score(plane, labels) if 2 <= len(np.unique(labels)) < len(labels) else np.nan


def _checked(features, labels):
    if len(labels) < 3:
        raise InputError(f"projection: expected 3 or more rows, got {len(labels)}.")
    return [x.astype(np.float64) for x in check_taps(features, "projection", len(labels))]


def _aligned(taps, seed) -> list[np.ndarray]:
    """Each tap as [n, d], d common, unit mean row norm, turned onto the tap before it."""
    from scipy.linalg import orthogonal_procrustes

    n = len(taps[0])
    d = min(_COMMON_DIMS, n - 1, *(x.shape[1] for x in taps))
    aligned: list[np.ndarray] = []
    for x in taps:
        z = _standardised_pca(x, d, seed)
        z /= np.linalg.norm(z, axis=1).mean() or 1.0
        if aligned:
            turn, _ = orthogonal_procrustes(z, aligned[-1])
            z = z @ turn
        aligned.append(z)
    return aligned


def _standardised_pca(x, d, seed) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    return _pca(StandardScaler().fit_transform(x), d, seed)


def _pca(x, d, seed) -> np.ndarray:
    """[n, d] scores; columns of zeros where x has fewer directions. scikit-learn fixes the signs."""
    from sklearn.decomposition import PCA  # slow to import, and a ranking without a plane needs none of it

    if not np.ptp(x, axis=0).any():  # a dead tap: no variance to share out
        return np.zeros((len(x), d))
    fitted = PCA(min(d, *x.shape), random_state=seed).fit_transform(x)
    return np.pad(fitted, ((0, 0), (0, d - fitted.shape[1])))


@lru_cache(maxsize=1)
def why_no_umap() -> str:
    """Why UMAP cannot be loaded, "" where it can: a picture's plane must not cost the ranking.

    Its compiler wants to keep what it compiled. On a read-only disk without a home it is given a temporary folder.
    """
    if "NUMBA_CACHE_DIR" not in os.environ and not _is_writable(os.environ.get("XDG_CACHE_HOME") or "~/.cache"):
        with suppress(OSError):  # then umap says what it lacks
            os.environ["NUMBA_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="birdprobe-numba-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap  # noqa: F401 (it takes many seconds)
    except Exception as error:  # of a compiler and four libraries
        return f"UMAP cannot be loaded ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return ""


def _is_writable(folder: str) -> bool:
    try:
        place = Path(folder).expanduser()
    except RuntimeError:  # no home
        return False
    there = next((parent for parent in (place, *place.parents) if parent.exists()), None)
    return there is not None and os.access(there, os.W_OK)


def _umap(points, seed) -> np.ndarray:
    with warnings.catch_warnings():
        # Known and harmless: no TensorFlow; a seed makes it run on one thread; a few isolated points.
        warnings.simplefilter("ignore")
        import umap  # here, because its import takes many seconds

        reducer = umap.UMAP(n_neighbors=_UMAP_NEIGHBOURS, min_dist=0.1, random_state=seed, n_jobs=1)
        return np.asarray(reducer.fit_transform(points), dtype=np.float64)
