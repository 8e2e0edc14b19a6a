"""Stores that were extracted apart and are read as one."""

from dataclasses import replace

import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, join
from tests.features.stores import DIMS, KEY, assert_holds, fill, table, values


def test_shards_read_as_one(tmp_path, monkeypatch):
    folder = tmp_path / "features.h5.shards"
    paths = [fill(folder / "a.h5", [0, 1, 6, 7]), fill(folder / "b.h5", [5]), fill(folder / "c.h5", [2, 3])]
    with FeatureStore.create(folder / "d.h5", KEY, DIMS, {}) as store:
        store.skip(4, "bad.wav", "silent")
        store.finish()
    out = join([*paths, folder / "d.h5"], tmp_path / "features.h5")
    moved = tmp_path / "moved"
    moved.mkdir()
    out.rename(moved / "features.h5")
    folder.rename(moved / "features.h5.shards")
    monkeypatch.chdir("/")
    with FeatureStore.open(moved / "features.h5", "r", KEY) as store:
        assert_holds(store, [0, 1, 2, 3, 5, 6, 7])
        np.testing.assert_array_equal(store.read("embedding", [9, 0]), values(table([5, 0]))["embedding"][[1, 2]])
        assert store.skipped()["clip"].tolist() == [4] and store.check() == []
    with pytest.raises(InputError, match="joined from shards"):
        FeatureStore.open(moved / "features.h5", "a")
    # a shard that was replaced is found, one that is gone is refused (HDF5 itself would read NaN without a word)
    fill(moved / "features.h5.shards/b.h5", [9], overwrite=True)
    with FeatureStore.open(moved / "features.h5") as store:
        assert len(store.check()) == 2
    (moved / "features.h5.shards/b.h5").unlink()
    with pytest.raises(InputError, match=r"its shard features.h5.shards/b.h5 is missing"):
        FeatureStore.open(moved / "features.h5")


def test_shards_that_do_not_fit_are_refused(tmp_path):
    a, b = fill(tmp_path / "a.h5", [0, 1]), fill(tmp_path / "b.h5", [1, 2])
    with pytest.raises(InputError, match=r"b.h5: clip 1 is also in .*a.h5"):
        join([a, b], tmp_path / "out.h5")
    c = fill(tmp_path / "c.h5", [3], replace(KEY, seed=3))
    with pytest.raises(InputError, match=r"c.h5: cannot be joined to .*a.h5: seed 0 on disk, expected 3"):
        join([a, c], tmp_path / "out.h5")
    with FeatureStore.create(tmp_path / "d.h5", KEY, DIMS, {}) as store:
        store.append(table([4]), values(table([4])))
    with pytest.raises(InputError, match=r"d.h5: not complete"):
        join([a, tmp_path / "d.h5"], tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()
