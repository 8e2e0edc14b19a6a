"""Planes: what is left of the labels in each tap's own plane, `--planes`; see `analysis.projection.plane_scores`."""

from ....analysis import projection
from ..items import Items
from .finding import Finding


def study_planes(items: Items, method: str, k: int, seed: int) -> Finding:
    """Every tap in a plane of its own, by "umap" (three seeds from `seed`) or "pca"; planes.csv: the first seed."""
    labels, folds = (items.column(name) for name in ("label", "fold"))
    features = {tap: items.vectors(tap) for tap in items.taps}
    found = projection.plane_scores(features, labels, folds, method, seeds=(seed, seed + 1, seed + 2), k=k)
    return Finding(tables={"planes.csv": found.points, "plane_scores.csv": found.scores})
