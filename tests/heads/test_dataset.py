"""Stores to tensors: what is read equals what was stored, and everything that does not fit is told by name."""

import zlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.finetune.data.targets import multi_hot
from birdprobe.heads.dataset import label_set, load
from tests.head_stores import KEY, make_rows, make_store


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "a.h5")


def test_reads_what_the_store_holds(path):
    data = load([path], "0,2-1,embedding")
    with FeatureStore.open(path) as store:
        assert np.array_equal(data.xs["block_00"].numpy(), store.read("block_00").reshape(60, 8))
        assert np.array_equal(data.xs["block_02-block_01"].numpy(), store.read("block_02") - store.read("block_01"))
    assert data.widths == {"block_00": 8, "block_02-block_01": 6, "embedding": 8}
    assert data.labels == ("s0", "s1", "s2") and data.key == KEY and data.warnings == ()
    assert data.targets.dtype == torch.float32 and data.targets[0].tolist() == [1, 0, 0]
    assert data.targets[12].tolist() == [1, 1, 0]  # clip 6: primary s0, secondary s1
    assert data.rows["unit"].tolist() == [clip for clip in range(30) for _ in range(2)]


def test_float16_stores_train_in_float32(tmp_path):
    half = make_store(tmp_path / "half.h5", key=replace(KEY, dtype="float16"))
    full = load([make_store(tmp_path / "full.h5")], "1")
    data = load([half], "1")
    assert data.xs["block_01"].dtype == torch.float32
    torch.testing.assert_close(data.xs["block_01"], full.xs["block_01"], atol=0.02, rtol=1e-3)


def test_several_stores_are_several_sources(path, tmp_path):
    other = make_store(tmp_path / "b.h5", make_rows(classes=4, clips=3, windows=1, prefix="scape"))
    data = load([path, other], "embedding")
    assert data.sources == ("focal", "soundscape") and len(data.rows) == 72
    assert data.rows["unit"].nunique() == 42  # clip 0 of one store is not clip 0 of the other
    assert data.labels == ("s0", "s1", "s2", "s3") and data.targets.shape == (72, 4)


def test_taxonomy_gives_the_order_and_empty_columns_are_named(path):
    data = load([path], "embedding", labels=["s2", "owl", "s0", "s1"])
    assert data.labels == ("s2", "owl", "s0", "s1") and data.targets[:, 1].sum() == 0
    assert data.warnings == ("1 of 4 classes without a positive row: owl. Nothing can be learned of them.",)
    with pytest.raises(InputError, match="expected one of the 2 classes, got label 's1'"):
        load([path], "embedding", labels=["s0", "s2"])


def test_refuses_an_unfinished_store(tmp_path):
    with pytest.raises(InputError, match=r"expected a complete store, got an unfinished one.*still being written"):
        load([make_store(tmp_path / "a.h5", finish=False)], "embedding")


def test_refuses_an_unknown_tap(path):
    with pytest.raises(InputError, match=r"`--taps` must be .*got '7'"):
        load([path], "embedding,7")


def test_refuses_nan_features(path):
    with h5py.File(path, "r+") as file:
        file["taps/embedding"][5, 2] = np.nan  # with the checksum of whoever forged it
        place = 5 + list(KEY.taps).index("embedding")
        file["commits"][0, place] = zlib.crc32(np.ascontiguousarray(file["taps/embedding"][:]))
    assert load([path], "1").widths == {"block_01": 6}  # another tap is still good
    with pytest.raises(
        InputError, match=r"tap embedding: expected numbers, got NaN or infinity in 1 rows \(first: row 5\)"
    ):
        load([path], "embedding")


def test_refuses_stores_of_different_keys(path, tmp_path):
    other = make_store(tmp_path / "b.h5", key=replace(KEY, pooling="max"))
    with pytest.raises(InputError, match=r"b.h5: pooling max on disk, expected mean"):
        load([path, other], "embedding")
    same = make_store(tmp_path / "c.h5", key=replace(KEY, selection="center", seed=3))
    assert len(load([path, same], "embedding").sources) == 2  # other windows of the same model fit


def test_number_of_stores(path):
    with pytest.raises(InputError, match=r"expected 1 to 3 stores .*got 4"):
        load([path] * 4, "embedding")


def test_labels_of_a_row():
    assert label_set(" a;b ;;c") == ("a", "b", "c")
    assert label_set("") == label_set(None) == ()
    assert multi_hot([("b",), (), ("a", "b")], "ab").tolist() == [[0, 1], [0, 0], [1, 1]]
