"""A finished sweep read back: the vectors that were ranked, with the labels, groups and folds they were ranked by."""

import shutil

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import knn
from birdprobe.analysis.scored_items import make_units, read_run
from birdprobe.features import InputError
from tests.swept import make_sweep


@pytest.fixture(scope="module", params=["clip", "window"])
def run(request, tmp_path_factory):
    return make_sweep(tmp_path_factory.mktemp("sweeps") / "run", unit=request.param)


def test_what_is_read_gives_the_predictions_that_were_written(run):
    probed = read_run(run)
    written = pd.read_csv(run / "predictions.csv")
    for tap, x in probed.features.items():
        predicted = knn.predict(x, probed.labels, probed.folds, probed.k, probed.metric)
        assert (predicted == written[tap]).all()
    assert (probed.groups == written["group"]).all()
    assert len(written) == (36 if probed.unit == "clip" else 72)


def test_a_clips_vector_is_the_mean_of_its_windows():
    rows = pd.DataFrame({"clip": [4, 4, 9], "file": ["a", "a", "b"], "start_s": [0.0, 5, 0], "end_s": [5.0, 10, 5]})
    clips = pd.DataFrame({"label": ["x", "y"]}, index=pd.Index([4, 9], name="clip"))
    units = make_units(rows, clips, "clip")
    assert units.vectors(np.array([[1.0, 2], [3, 4], [7, 8]])).tolist() == [[2, 3], [7, 8]]
    assert units.table["end_s"].tolist() == [10, 5]


@pytest.mark.parametrize("name", ["config.json", "predictions.csv", "features.h5"])
def test_an_unfinished_sweep_is_told(run, name, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / name).unlink()
    with pytest.raises(InputError, match=f"expected a run of `birdprobe sweep`, got no {name} in it"):
        read_run(copy)


def test_files_of_two_sweeps_are_told_apart(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    pd.read_csv(copy / "predictions.csv").iloc[:-7].to_csv(copy / "predictions.csv", index=False)
    with pytest.raises(InputError, match=r"in features\.h5, \d+ in predictions\.csv\. Was the sweep run again"):
        read_run(copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json: no settings\. Was it written by birdprobe"):
        read_run(copy)
    (copy / "config.json").write_bytes((run / "config.json").read_bytes())
    (copy / "predictions.csv").write_text("clip,file\n1,a\n")
    with pytest.raises(InputError, match="lacks column label, group, fold"):
        read_run(copy)


def test_a_maps_vector_is_its_mean_over_positions():
    rows = pd.DataFrame({"clip": [0, 0, 1], "file": ["a", "a", "b"], "start_s": [0.0, 5, 0], "end_s": [5.0, 10, 5]})
    clips = pd.DataFrame({"label": ["x", "y"]}, index=pd.Index([0, 1], name="clip"))
    x = np.random.default_rng(0).normal(size=(3, 4, 2, 3)).astype(np.float32)  # [rows, dims, height, width]
    units = make_units(rows, clips, "clip")
    wanted = np.stack([x[:2].mean(axis=(0, 2, 3)), x[2].mean(axis=(1, 2))])
    np.testing.assert_allclose(units.vectors(x), wanted, atol=1e-6)
    maps = units.maps(x)
    assert maps.shape == (2, 6, 4)
    np.testing.assert_allclose(maps[1, 4], x[2, :, 1, 1], atol=1e-6)  # row 1, column 1 of the map: its position 4
    np.testing.assert_allclose(maps.mean(axis=1), wanted, atol=1e-6)
    vectors = x[:, :, 0, 0]
    np.testing.assert_array_equal(units.maps(vectors)[:, 0], units.vectors(vectors))  # a map of one position
