"""Runs with and without read-outs, their pictures drawn once."""

import shutil

import numpy as np
import pandas as pd
import pytest

from tests.probe.report.material import draw
from tests.runs import add_readouts, make_run


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("runs") / "run")
    draw(run)
    return run


@pytest.fixture(scope="session")
def drawn_again(drawn, tmp_path_factory):
    """A run of this edition: read-outs, a shift, and the tables of the studies."""
    run = add_readouts(shutil.copytree(drawn, tmp_path_factory.mktemp("new") / "run"), shifted=True)
    taps = ["block_11", "block_15", "embedding"]
    shots = [(tap, "linear", n, 0.4 + i / 10 + n / 100) for i, tap in enumerate(taps) for n in (1, 2, 4)]
    table = pd.DataFrame(shots, columns=["tap", "readout", "shots", "score"])
    table.assign(lo=table.score - 0.1, hi=table.score + 0.1, n_draws=20, n_test=100, n_classes=10).to_csv(
        run / "shots.csv", index=False
    )
    projection = pd.read_csv(run / "projection.csv")
    projection.to_csv(run / "planes.csv", index=False)
    names = ("knn", "knn_lo", "knn_hi", "silhouette", "silhouette_lo", "silhouette_hi")
    scores = pd.DataFrame({"tap": projection.tap.unique()}).assign(**dict.fromkeys(names, 0.5), method="pca", seeds=1)
    scores.to_csv(run / "plane_scores.csv", index=False)
    pd.DataFrame(np.eye(3) + 0.4 * (1 - np.eye(3)), index=taps, columns=taps).to_csv(run / "cka.csv", index_label="tap")
    draw(run)
    return run


@pytest.fixture
def run(drawn_again, tmp_path):
    return shutil.copytree(drawn_again, tmp_path / "run")
