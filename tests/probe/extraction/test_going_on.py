"""Resumed, reused, refused or replaced; threads, shards and batches change nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection
from birdprobe.probe.extraction.clip_batches import compute
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.probe.extraction.material import ALL, assert_same, make
from tests.tiny import SAMPLE_RATE


def test_threads_and_batches_change_nothing(model, recordings, reference, tmp_path, monkeypatch):
    backbone = Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)
    for workers in (1, 5):
        monkeypatch.setattr("birdprobe.probe.extraction.extract.workers_for", lambda _, n=workers: n)
        extract(backbone, recordings, tmp_path / f"{workers}.h5", selection=ALL)
        assert_same(reference, tmp_path / f"{workers}.h5")


def test_a_complete_store_is_left_as_it_is(backbone, recordings, reference):
    before = reference.read_bytes()
    for overwrite in (False, True):  # features are a cache: what still holds is kept
        done = extract(backbone, recordings, reference, selection=ALL, overwrite=overwrite)
        assert done.clips == 40 and done.skipped == ()
    assert reference.read_bytes() == before


def test_an_interrupted_store_is_resumed(backbone, recordings, reference, tmp_path, monkeypatch):
    path, real = tmp_path / "features.h5", compute

    def interrupted(backbone, batch, settings):
        if batch.first >= 24:
            raise KeyboardInterrupt
        return real(backbone, batch, settings)

    monkeypatch.setattr("birdprobe.probe.extraction.writer.compute", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(backbone, recordings, path, selection=ALL)
    with FeatureStore.open(path) as store:
        assert store.done_clips() == set(range(24)) and not store.complete
    computed = []
    monkeypatch.setattr("birdprobe.probe.extraction.writer.compute", lambda *a: computed.append(a[1].first) or real(*a))
    extract(backbone, recordings, path, selection=ALL)
    assert computed == [24, 32]
    assert_same(reference, path)


def test_another_extraction_is_refused_or_replaced(backbone, recordings, tmp_path):
    path = tmp_path / "features.h5"
    fewer = replace(recordings, clips=recordings.clips[:6])
    extract(backbone, fewer, path, selection=ALL)
    with pytest.raises(InputError, match="selection all on disk, expected center"):
        extract(backbone, fewer, path, selection=Selection("center"))
    with pytest.raises(InputError, match="made from 6 clips, 40 wanted"):
        extract(backbone, recordings, path, selection=ALL)
    regrouped = replace(fewer, clips=tuple(replace(clip, group="one") for clip in fewer.clips))
    with pytest.raises(InputError, match=r"made from 6 clips, 6 wanted\. Another AUDIO"):
        extract(backbone, regrouped, path, selection=ALL)
    extract(backbone, regrouped, path, selection=Selection("center"), overwrite=True)
    with FeatureStore.open(path) as store:
        assert len(store) == 6 and set(store.rows()["group"]) == {"one"}
    with FeatureStore.open(path), pytest.raises(InputError, match="a folder, wanted the name"):
        extract(backbone, fewer, tmp_path, selection=ALL, overwrite=True)


def test_changed_audio_is_noticed(backbone, tmp_path):
    recordings, path = make(tmp_path, 4), tmp_path / "f.h5"
    extract(backbone, recordings, path, selection=ALL)
    soundfile.write(recordings.clips[2].path, np.sin(np.arange(9000)), 8000)
    with pytest.raises(InputError, match=r"made when a/002.wav had \d+ bytes, it has 18044 now"):
        extract(backbone, recordings, path, selection=ALL)
    extract(backbone, recordings, path, selection=ALL, overwrite=True)
    with FeatureStore.open(path) as store:
        assert 18044 in set(store.rows()["size"])


def test_a_damaged_store_is_replaced_on_overwrite(backbone, recordings, tmp_path):
    path = tmp_path / "f.h5"
    fewer = replace(recordings, clips=recordings.clips[:6])
    extract(backbone, fewer, path, selection=ALL)
    with FeatureStore.open(path) as store:
        at = path.read_bytes().find(store.read("embedding")[1].tobytes())
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)
    extract(backbone, fewer, path, selection=ALL, overwrite=True)
    with FeatureStore.open(path) as store:
        assert store.check() == []


def test_overwrite_recovers_a_store_whose_row_text_changed(backbone, recordings, tmp_path):
    path, few = tmp_path / "f.h5", replace(recordings, clips=recordings.clips[:4])
    extract(backbone, few, path, selection=ALL)
    data = bytearray(path.read_bytes())
    data[data.find(b"a/000.flac")] = 0xC5
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"f\.h5: rows, bytes .* --overwrite"):
        extract(backbone, few, path, selection=ALL)
    assert path.read_bytes() == bytes(data)
    extract(backbone, few, path, selection=ALL, overwrite=True)
    with FeatureStore.open(path) as store:
        assert store.check() == [] and len(store.rows())


def test_shards_give_the_same_store(backbone, tmp_path, monkeypatch):
    recordings = make(tmp_path, 70)
    monkeypatch.setattr(
        "birdprobe.probe.extraction.workers.SHARD_CLIPS", 16
    )  # whole portions of 8, so equal to the last bit
    done = extract(backbone, recordings, tmp_path / "f.h5", selection=ALL, jobs=2)
    assert done.clips == 70 and len(list((tmp_path / "f.h5.shards").iterdir())) == 4
    extract(backbone, recordings, tmp_path / "one.h5", selection=ALL)
    with FeatureStore.open(tmp_path / "f.h5") as a, FeatureStore.open(tmp_path / "one.h5") as b:
        assert a.check() == [] and a.meta["clips"] == 70
        pd.testing.assert_frame_equal(a.rows(), b.rows())
        for tap in a.taps:
            np.testing.assert_allclose(a.read(tap), b.read(tap), rtol=1e-5, atol=1e-6)
    # interrupted before the end: what is there is kept, whatever the number of jobs is now
    (tmp_path / "f.h5").unlink()
    kept = (tmp_path / "f.h5.shards/shard-002.h5").stat().st_mtime_ns
    (tmp_path / "f.h5.shards/shard-001.h5").unlink()
    assert extract(backbone, recordings, tmp_path / "f.h5", selection=ALL, jobs=1).clips == 70
    assert (tmp_path / "f.h5.shards/shard-002.h5").stat().st_mtime_ns == kept
    with pytest.raises(InputError, match="selection all on disk, expected first"):
        extract(backbone, recordings, tmp_path / "f.h5", selection=Selection("first"), jobs=2)
    extract(backbone, recordings, tmp_path / "f.h5", selection=Selection("first"), overwrite=True)
    assert not (tmp_path / "f.h5.shards").exists()


def test_cluster_needs_dask_and_a_scheduler(backbone, recordings, tmp_path):
    try:
        import dask.distributed  # noqa: F401

        wanted = "no Dask scheduler answers there"
    except ImportError:
        wanted = r"--cluster: dask is not installed. pip install 'birdprobe\[cluster\]'"
    with pytest.raises(InputError, match=wanted):
        extract(backbone, recordings, tmp_path / "f.h5", selection=ALL, cluster="tcp://127.0.0.1:9")
