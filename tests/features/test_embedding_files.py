"""Embeddings as other tools write them, and their windows found again in recordings of other names and folders."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.features.store.exchange.alignment import align, match_files
from birdprobe.probe.assets import WREN
from tests.head_stores import KEY, make_rows, make_store

WRITTEN = Path(__file__).parent / "embedding_files"
RNG = np.random.default_rng(0)


def labels_of(folder: Path, *names: str) -> Path:
    """Empty recordings and a table of their labels: label `dawn` for dawn.wav."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")
    rows = "".join(f"{name},{Path(name).stem}\n" for name in names)
    (folder / "labels.csv").write_text("path,label\n" + rows)
    return folder / "labels.csv"


def read(store: Path) -> tuple[pd.DataFrame, np.ndarray]:
    with FeatureStore.open(store) as opened:
        return opened.rows(), opened.read(opened.taps[0])


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_the_package_birdnets_own_files(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    labels = labels_of(tmp_path, "site/dawn.wav", "site/dusk.wav")
    rows, x = read(bp.import_features(WRITTEN / f"birdnet.{suffix}", tmp_path / "x.h5", labels=labels))
    assert rows[["start_s", "end_s"]].to_numpy().tolist() == [[0, 3], [3, 6], [6, 9], [0, 3], [3, 6]]
    assert rows["labels"].tolist() == ["dawn"] * 3 + ["dusk"] * 2
    with np.load(WRITTEN / "birdnet.npz") as held:
        np.testing.assert_allclose(x, held["embeddings"].reshape(6, 6)[:5], atol=1e-6)


@pytest.mark.parametrize("column", ["embeddings", "embedding", "0"])
def test_lists_as_birdnet_gives_them_and_columns_as_opensoundscape_does(tmp_path, column):
    vectors = RNG.normal(size=(3, 5)).astype(np.float32)
    about = {"file": ["a/dawn.wav", "a/dawn.wav", "dusk.wav"], "start_time": [0.0, 3, 0], "end_time": [3.0, 6, 3]}
    if column == "embeddings":  # birdnetlib's list of records, a row a window
        frame = pd.DataFrame(about).assign(embeddings=vectors.tolist(), label="x")
        frame.to_csv(tmp_path / "e.csv", index=False)
    elif column == "embedding":  # BirdNET-Analyzer's
        lines = [f'{f},{s},{e},"{",".join(map(str, v.tolist()))}"' for f, s, e, v in zip(*about.values(), vectors)]
        (tmp_path / "e.csv").write_text("\n".join(["file_path,start,end,embedding", *lines]))
    else:  # model.embed(...) there: a MultiIndex, one column a number
        frame = pd.DataFrame(vectors, index=pd.MultiIndex.from_frame(pd.DataFrame(about)))
        frame.to_csv(tmp_path / "e.csv")
    rows, x = read(
        bp.import_features(tmp_path / "e.csv", tmp_path / "x.h5", labels=labels_of(tmp_path, "dawn.wav", "dusk.wav"))
    )
    np.testing.assert_allclose(x, vectors, atol=1e-6)
    assert rows["file"].tolist() == about["file"] and rows["labels"].tolist() == ["dawn", "dawn", "dusk"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["[0.1 0.2 ... 0.9]"], r"row 1: numbers left out by '\.\.\.', as NumPy prints"),
        (["[1, 2, 3]", "[1, 2]"], "row 2: 2 numbers, 3 in the first row; equally many wanted"),
        (["[1, 2, 3]", "none"], r"row 2: no list of numbers \(none\)"),
    ],
)
def test_lists_that_are_not_whole(tmp_path, values, message):
    pd.DataFrame({"file": "a.wav", "label": "x", "embedding": values}).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(InputError, match=message):
        bp.import_features(tmp_path / "e.csv", tmp_path / "x.h5")


def test_labels_of_several_numbers_are_no_vectors(tmp_path):
    frame = pd.DataFrame({"file": ["a.wav"], "label": ["14,20"], "0": [1.0], "1": [2.0]})
    frame.to_csv(tmp_path / "e.csv", index=False)
    rows, x = read(bp.import_features(tmp_path / "e.csv", tmp_path / "x.h5"))
    assert rows["labels"].tolist() == ["14,20"] and x.tolist() == [[1.0, 2.0]]


def test_times_that_are_none_are_told_by_row(tmp_path):
    frame = pd.DataFrame({"file": ["a.wav"] * 2, "label": "x", "start": ["0", "soon"], "0": [1.0, 2.0]})
    frame.to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(InputError, match="line 3: start_s 'soon', expected seconds from 0 on"):
        bp.import_features(tmp_path / "e.csv", tmp_path / "x.h5")


def test_files_are_matched_by_the_end_of_their_paths():
    known = ["robin/1.wav", "wren/1.wav", "2.flac", "v1.5.wav"]
    names = ["/data/wren/1.ogg", "C:/x/robin/1.wav", "deep/2.wav", "v1.5", "3.wav"]
    assert match_files(names, known) == dict(zip(names, ["wren/1.wav", "robin/1.wav", "2.flac", "v1.5.wav"]))
    assert match_files(["1.wav", "1.flac"], ["a/1.wav", "a/1.flac"]) == {"1.wav": "a/1.wav", "1.flac": "a/1.flac"}
    with pytest.raises(InputError, match=r"'1\.wav' may be 'robin/1\.wav' or 'wren/1\.wav'"):
        match_files(["1.wav"], known)
    with pytest.raises(InputError, match=r"'2\.flac' may be 'x/2\.wav' or 'y/2\.wav'"):
        match_files(["x/2.wav", "y/2.wav"], known)
    assert match_files(["x/2.wav", "y/2.wav"], ["y/2.wav"]) == {"y/2.wav": "y/2.wav"}


def test_windows_of_other_lengths_are_weighted_by_the_time_they_share():
    pieces = pd.DataFrame({"file": ["a.wav"] * 2 + ["b.wav"], "start_s": [0.0, 5, 0], "end_s": [5.0, 10, 5]})
    windows = pd.DataFrame({"file": ["x/a.ogg"] * 4, "start_s": [0.0, 3, 6, 20], "end_s": [3.0, 6, 9, 23]})
    found = align(pieces, windows)
    x = np.array([[1.0], [2], [4], [8]])
    np.testing.assert_allclose(found.means(x)[:2, 0], [(3 * 1 + 2 * 2) / 5, (1 * 2 + 3 * 4) / 4])
    assert found.found.tolist() == [True, True, False] and found.unused == 1
    assert found.windows(1).tolist() == [2, 1]


@pytest.fixture
def ours(tmp_path):
    return make_store(tmp_path / "ours.h5")


def theirs(store: Path, path: Path, shift_s: float = 0.0) -> Path:
    """The embedding of a store as another tool's .npz, plus 100, of its first 20 recordings, folders in front."""
    rows, _ = read(store)
    with FeatureStore.open(store) as opened:
        x = opened.read("embedding") + 100
    kept = rows["file"].isin(rows["file"].unique()[:20]).to_numpy()
    rows, x = rows[kept], x[kept]
    names = ("/archive/" + rows["file"]).to_numpy(str)
    np.savez(path.with_suffix(".npz"), vectors=x, filepath=names, start=rows["start_s"] + shift_s,
             end=rows["end_s"] + shift_s, label=rows["labels"].to_numpy(str))  # fmt: skip
    return bp.import_features(path.with_suffix(".npz"), path, tap="theirs")


def test_stores_joined_hold_both_on_the_windows_of_the_first(ours, tmp_path):
    other = theirs(ours, tmp_path / "other.h5")
    both = bp.join_features([ours, other], tmp_path / "both.h5")
    with FeatureStore.open(ours) as a, FeatureStore.open(both) as b:
        assert b.complete and b.check() == [] and b.taps == (*a.taps, "other/theirs")
        assert len(b) < len(a) and b.meta["left_out"] == len(a) - len(b) and "model" not in b.meta
        kept = a.rows()["file"].isin(b.rows()["file"].unique()).to_numpy()
        pd.testing.assert_frame_equal(b.rows(), a.rows()[kept].reset_index(drop=True))
        for tap in a.taps:
            np.testing.assert_array_equal(b.read(tap), a.read(tap)[kept])
        np.testing.assert_allclose(b.read("other/theirs"), a.read("embedding")[kept] + 100, rtol=1e-6)
    run = bp.train([both], tmp_path / "run", taps="block_01,other/theirs", head="concat", epochs=2, progress=False)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert len(run.scores) and "other/theirs" in json.dumps(config)
    for one_model in (
        lambda: bp.open_predictor(tmp_path / "run"),
        lambda: bp.fuse(tmp_path / "run", WREN, tmp_path / "x"),
    ):
        with pytest.raises(InputError, match=r"`store join` made, a single model that gives these taps wanted"):
            one_model()


def test_a_table_without_times_holds_a_vector_a_recording(ours, tmp_path):
    files = make_rows()["file"].unique()
    pd.DataFrame({"file": files, "label": "x", "0": np.arange(len(files)), "1": 1.0}).to_csv(tmp_path / "e.csv")
    whole = bp.import_features(tmp_path / "e.csv", tmp_path / "whole.h5")
    both = bp.join_features([ours, whole], tmp_path / "both.h5")
    with FeatureStore.open(ours) as a, FeatureStore.open(both) as b:
        assert len(a) == len(b) and a.rows()["start_s"].max() > 1
        wanted = [list(files).index(file) for file in b.rows()["file"]]
        np.testing.assert_array_equal(b.read(b.taps[-1])[:, 0], wanted)


def test_stores_that_cannot_be_joined(ours, tmp_path):
    other = theirs(ours, tmp_path / "other.h5", shift_s=1000.0)
    with pytest.raises(InputError, match=r"other\.h5: none of its .* windows lies in a window of .*ours\.h5, by file"):
        bp.join_features([ours, other], tmp_path / "both.h5")
    with pytest.raises(InputError, match="1 store found, at least two wanted"):
        bp.join_features([ours], tmp_path / "both.h5")
    strangers = make_store(tmp_path / "far.h5", make_rows(prefix="z"), KEY)
    with pytest.raises(InputError, match=r"none of its .* windows lies in"):
        bp.join_features([ours, strangers], tmp_path / "both.h5")
    assert not (tmp_path / "both.h5").exists()
