"""Planes: what is left of the labels in each tap's own plane, `--planes`; see `analysis.projection.plane_scores`."""

from ....analysis import projection
from ....analysis.scored_items import Units
from ....features.store import FeatureStore
from .finding import Finding, vectors_of


def study_planes(store: FeatureStore, units: Units, method: str = "umap", k: int = 5, seed: int = 0) -> Finding:
    """Every tap in a plane of its own: plane_scores.csv and, of the first seed, planes.csv.

    Args:
        store, units: what was ranked. method: "umap" (three seeds from `seed`) or "pca". k: neighbours in the plane.
    """
    labels, folds = (units.table[name].to_numpy() for name in ("label", "fold"))
    features = vectors_of(store, units, store.taps)
    found = projection.plane_scores(features, labels, folds, method, seeds=(seed, seed + 1, seed + 2), k=k)
    return Finding(tables={"planes.csv": found.points, "plane_scores.csv": found.scores})
