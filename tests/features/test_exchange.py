"""Stores as files of other programs, and back: the same numbers, rows, labels and folds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.features.recordings import assign_folds
from birdprobe.features.store import FeatureStore
from tests.head_stores import KEY, make_rows, make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("store") / "ours.h5")


def exported(store, path, taps=("block_01", "embedding"), **options):
    with FeatureStore.open(store) as opened:
        return opened.export(path, taps, **options)


def assert_came_back(store, path, taps=("block_01", "embedding"), as_=None, atol=0.0):
    with FeatureStore.open(store) as ours, FeatureStore.open(path) as theirs:
        assert theirs.complete and theirs.check() == []
        mine, rows = ours.rows(), theirs.rows()
        order = [mine.index[(mine.file == r.file) & (mine.start_s == r.start_s)][0] for r in rows.itertuples()]
        assert sorted(order) == list(range(len(mine)))
        for column in ("file", "start_s", "end_s", "labels", "group"):
            assert rows[column].tolist() == mine[column].iloc[order].tolist(), column
        for tap in taps:
            wanted = ours.read(tap)[order].reshape(len(order), -1)
            np.testing.assert_allclose(theirs.read(as_ or tap), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["x.npz", "x.csv", "x.h5ad", "x.parquet"])
def test_out_and_in_again(store, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = exported(store, tmp_path / name)
    assert_came_back(store, bp.import_features(path, tmp_path / "back.h5"))


def test_folds_are_those_of_a_sweep_and_no_longer_blank(store, tmp_path):
    table = pd.read_csv(exported(store, tmp_path / "x.csv", ()))
    clips = table.drop_duplicates("clip")
    wanted = assign_folds(clips["label"].tolist(), None, None, 5, 0)[0]
    assert clips["fold"].tolist() == wanted.tolist()
    with np.load(exported(store, tmp_path / "x.npz")) as arrays:
        assert arrays["row_fold"].tolist() == table["fold"].astype(str).tolist()
    given = make_store(tmp_path / "given.h5", make_rows().assign(fold="7"))
    assert set(pd.read_csv(exported(given, tmp_path / "g.csv", ()))["fold"]) == {7}
    unlabelled = make_store(tmp_path / "none.h5", make_rows().assign(label="x", labels="x"))
    assert pd.read_csv(exported(unlabelled, tmp_path / "n.csv", ()))["fold"].isna().all()


def test_opensoundscape_reads_its_multiindex(store, tmp_path):
    path = exported(store, tmp_path / "x.csv", ("embedding",), form="opensoundscape")
    frame = pd.read_csv(path, index_col=[0, 1, 2])  # as opensoundscape reads its own tables
    assert frame.index.names == ["file", "start_time", "end_time"] and list(frame.columns) == [str(i) for i in range(8)]
    with pytest.raises(InputError, match="opensoundscape holds one vector a window; `--taps` must be one of block_00"):
        exported(store, tmp_path / "y.csv", form="opensoundscape")
    labels = tmp_path / "labels.csv"
    make_rows().rename(columns={"file": "path"})[["path", "label"]].drop_duplicates("path").to_csv(labels, index=False)
    for name in make_rows()["file"].unique():
        (tmp_path / name).write_bytes(b"sound")
    back = bp.import_features(path, tmp_path / "back.h5", tap="other", labels=labels)
    with FeatureStore.open(back) as opened:
        assert opened.taps == ("other",) and set(opened.rows()["labels"]) == {"s0", "s1", "s2"} and len(opened) == 60
    with pytest.raises(InputError, match="no labels; say where they are"):
        bp.import_features(path, tmp_path / "no.h5")


def test_anndata_reads_our_file(store, tmp_path):
    anndata = pytest.importorskip("anndata")
    held = anndata.read_h5ad(exported(store, tmp_path / "x.h5ad"))
    with FeatureStore.open(store) as ours:
        np.testing.assert_array_equal(held.X, ours.read("embedding"))
        np.testing.assert_array_equal(held.obsm["block_01"], ours.read("block_01"))
        assert held.obs["labels"].astype(str).tolist() == ours.rows()["labels"].tolist()
    held.write_h5ad(tmp_path / "theirs.h5ad")  # anndata makes categories of text
    assert_came_back(store, bp.import_features(tmp_path / "theirs.h5ad", tmp_path / "back.h5"))


def test_a_hoplite_database(store, tmp_path):
    pytest.importorskip("perch_hoplite")
    from perch_hoplite.db.sqlite_usearch_impl import SQLiteUSearchDB

    folder = exported(store, tmp_path / "db", ("embedding",), form="hoplite")
    db = SQLiteUSearchDB.create(str(folder), readonly=True)
    assert len(db.get_all_windows()) == 60 and set(db.get_all_labels()) == {"s0", "s1", "s2"}
    assert len(db.get_all_recordings()) == 30
    db.db.close()
    assert_came_back(store, bp.import_features(folder, tmp_path / "back.h5"), ("embedding",), atol=0.02)  # float16


def test_hoplite_and_parquet_say_what_they_need(store, tmp_path):
    for module, form, needs in (("perch_hoplite", "hoplite", "needs perch-hoplite"), ("pyarrow", "parquet", "pyarrow")):
        try:
            __import__(module)
        except ImportError:
            with pytest.raises(InputError, match=needs):
                exported(store, tmp_path / "x", ("embedding",), form=form)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"start": [0.0], "label": ["x"], "0": [1.0]}, "no column says which recording"),
        ({"file": ["a.wav"], "label": ["x"], "note": ["y"]}, "no vectors found"),
        ({"file": ["a.wav"], "label": ["x"], "0": [np.nan]}, "expected finite values"),
    ],
)
def test_tables_that_hold_no_features(tmp_path, columns, message):
    pd.DataFrame(columns).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(InputError, match=message):
        bp.import_features(tmp_path / "x.csv", tmp_path / "x.h5")


def test_archives_of_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", path=np.array(["a", None], dtype=object), x=np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"no \.npz of plain arrays"):
        bp.import_features(tmp_path / "x.npz", tmp_path / "x.h5")


def test_imported_features_are_ranked_beside_ours_and_trained_on(store, tmp_path):
    with FeatureStore.open(store) as opened:
        rows, x = opened.rows(), opened.read("embedding")
    names = rows["file"].str.replace(".ogg", ".wav")
    np.savez(tmp_path / "o.npz", vectors=x + 100, filepath=names.to_numpy(str), start=rows["start_s"], end=rows["end_s"],
             labels=rows["labels"].to_numpy(str))  # fmt: skip
    other = bp.import_features(tmp_path / "o.npz", tmp_path / "other.h5", tap="birdnet")
    found = bp.rank_stores([store, other], readout="centroid,linear").table
    assert {"ours/block_01", "ours/embedding", "other/birdnet"} <= set(found["tap"])
    score = found.set_index(["tap", "readout"])["score"]
    assert score["other/birdnet", "linear"] == pytest.approx(score["ours/embedding", "linear"], abs=0.05)
    with pytest.raises(InputError, match="two stores of one name"):
        bp.rank_stores([store, store])
    strangers = make_store(tmp_path / "far.h5", make_rows(prefix="z"), replace(KEY, seed=1))
    with pytest.raises(InputError, match="no clip is in all of them"):
        bp.rank_stores([store, strangers])
    run = bp.train([other], tmp_path / "run", taps="birdnet", head="linear", progress=False)
    assert len(run.scores)
