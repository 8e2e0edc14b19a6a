"""Projection: classes that move apart have paths; geometry, alignment and determinism."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from birdprobe.analysis import projection
from birdprobe.features import InputError


def parting_classes(seed=0, per_class=20):
    """Three taps of unequal width: classes a and b stay together, c moves away from tap to tap."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(["a", "b", "c"]), per_class)
    features = {}
    for i, (tap, d) in enumerate([("block_00", 12), ("block_01", 40), ("block_02", 90)]):
        centre = np.zeros((3, d))
        centre[2] = 3.0 * i
        features[tap] = 1e3 * (centre[np.repeat([0, 1, 2], per_class)] + rng.standard_normal((3 * per_class, d)))
    return features, labels


def test_pca_gives_one_row_per_tap_and_item():
    features, labels = parting_classes()
    frame = projection.trajectories(features, labels, method="pca")
    assert list(frame.columns) == ["tap", "item", "label", "x", "y"] and len(frame) == 180
    assert list(pd.unique(frame["tap"])) == list(features) and frame.attrs["method"] == "pca"
    assert list(frame["item"][:60]) == list(range(60)) and list(frame["label"][60:120]) == list(labels)
    assert np.isfinite(frame[["x", "y"]].to_numpy()).all()
    assert frame.equals(projection.trajectories(features, labels, method="pca"))


def test_the_class_that_moves_has_the_longest_path():
    features, labels = parting_classes()
    centres = projection.centroids(projection.trajectories(features, labels, method="pca"))
    assert list(centres.columns) == ["tap", "label", "x", "y", "n", "step", "path"] and len(centres) == 9
    assert projection.longest(centres, 1) == ["c"]
    assert len(projection.longest(centres, 99)) == 3


def test_centroids_and_paths_by_hand():
    points = pd.DataFrame(
        [("t1", 0, "x", 0, 0), ("t1", 1, "x", 0, 2), ("t0", 0, "x", 3, 5), ("t0", 1, "x", 3, 5), ("t1", 2, "w", 1, 1)],
        columns=["tap", "item", "label", "x", "y"],
    )
    centres = projection.centroids(points)
    assert list(zip(centres["tap"], centres["label"], centres["n"])) == [("t1", "w", 1), ("t1", "x", 2), ("t0", "x", 2)]
    np.testing.assert_allclose(centres["step"], [0, 0, 5])  # from (0, 1) to (3, 5): taps in order of appearance
    np.testing.assert_allclose(centres["path"], [0, 0, 5])
    assert projection.longest(centres, 2) == ["x", "w"]


def test_a_turned_and_scaled_tap_does_not_move():
    """The same points on other axes and in another unit: after alignment both taps coincide."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((50, 6)) @ np.diag([6, 5, 4, 3, 2, 1])
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    # Standardising undoes a unit; a general rotation it does not, so this one swaps and mirrors axes.
    moved = 7.0 * x[:, [3, 0, 5, 1, 2, 4]] * [1, -1, -1, 1, 1, -1]
    frame = projection.trajectories({"one": x, "two": moved}, np.zeros(50), method="pca")
    first, second = (frame.loc[frame["tap"] == tap, ["x", "y"]].to_numpy() for tap in ("one", "two"))
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_dead_and_narrow_taps_are_safe():
    rng = np.random.default_rng(2)
    features = {
        "dead": np.full((10, 5), 3.0),
        "narrow": rng.standard_normal((10, 1)),
        "wide": rng.standard_normal((10, 99)),
    }
    frame = projection.trajectories(features, np.arange(10) % 2, method="pca")
    assert np.isfinite(frame[["x", "y"]].to_numpy()).all()
    assert np.ptp(frame.loc[frame["tap"] == "dead", "x"]) == 0


def test_few_points_fall_back_to_pca_without_importing_umap():
    before = "umap" in sys.modules
    frame = projection.trajectories({"a": np.eye(6), "b": np.eye(6)}, np.arange(6), method="umap")
    assert frame.attrs["method"] == "pca" and ("umap" in sys.modules) == before


@pytest.mark.slow  # importing umap compiles for many seconds
def test_umap_is_deterministic_and_keeps_classes_together():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.array(["a", "b", "c"]), 30)
    features = {
        tap: 8 * np.eye(3, d)[np.repeat([0, 1, 2], 30)] + rng.standard_normal((90, d))
        for tap, d in [("p", 10), ("q", 60)]
    }
    frame = projection.trajectories(features, labels, seed=4)
    assert frame.attrs["method"] == "umap"
    assert frame.equals(projection.trajectories(features, labels, seed=4))
    plane = frame.loc[frame["tap"] == "p", ["x", "y"]].to_numpy()
    centre = np.array([plane[labels == name].mean(axis=0) for name in "abc"])
    nearest = np.argmin(np.linalg.norm(plane[:, None] - centre, axis=2), axis=1)
    assert np.mean(np.array(["a", "b", "c"])[nearest] == labels) > 0.95


def test_bad_input_is_one_line():
    x = np.ones((5, 2))
    with pytest.raises(InputError, match="expected 3 or more rows"):
        projection.trajectories({"a": x[:2]}, np.arange(2))
    with pytest.raises(InputError, match=r"tap b: expected \[5, d\].*got features \(4, 2\)"):
        projection.trajectories({"a": x, "b": x[:4]}, np.arange(5))
    with pytest.raises(InputError, match="tap a: expected numbers"):
        projection.trajectories({"a": x * np.nan}, np.arange(5))


def test_plane_scores_equal_scikit_learn():
    features, labels = parting_classes()
    features["dead"] = np.zeros((60, 4))
    folds = np.arange(60) % 3
    planes = projection.plane_scores(features, labels, folds, method="pca")
    assert list(planes.scores.columns) == list(projection.PLANE_COLUMNS)
    assert list(planes.points.columns) == ["tap", "item", "label", "x", "y"] and len(planes.points) == 240
    scores = planes.scores.set_index("tap")
    for tap in list(features)[:3]:
        plane = planes.points.loc[planes.points["tap"] == tap, ["x", "y"]].to_numpy()
        assert scores.loc[tap, "silhouette"] == pytest.approx(silhouette_score(plane, labels))
        expected = cross_val_predict(KNeighborsClassifier(5), plane, labels, cv=PredefinedSplit(folds))
        assert scores.loc[tap, "knn"] == pytest.approx(np.mean(expected == labels))
    assert scores.loc["block_02", "silhouette"] > scores.loc["block_00", "silhouette"]
    assert (scores["seeds"] == 1).all() and (scores["knn_lo"] == scores["knn_hi"]).all()
    one = projection.plane_scores(features, ["a"] * 60, folds, method="pca").scores
    assert one["silhouette"].isna().all() and (one["knn"] == 1).all()


def test_plane_scores_over_seeds(monkeypatch):
    features, labels = parting_classes()
    seen = []

    def noisy(points, seed):
        seen.append((points.shape, seed))
        return points[:, :2] + np.random.default_rng(seed).standard_normal((len(points), 2))

    monkeypatch.setattr(projection, "_umap", noisy)
    planes = projection.plane_scores(features, labels, np.arange(60) % 3, seeds=(4, 5))
    assert seen == [((60, d), seed) for d in (12, 40, 50) for seed in (4, 5)]
    scores = planes.scores
    assert (scores["silhouette_lo"] < scores["silhouette_hi"]).all() and (scores["method"] == "umap").all()
    np.testing.assert_allclose(scores["silhouette"], scores[["silhouette_lo", "silhouette_hi"]].mean(axis=1))
    few = projection.plane_scores({"a": features["block_00"][::3]}, labels[::3], np.arange(20) % 2)
    assert few.scores["method"].tolist() == ["pca"]
