"""Extraction on a real Dask cluster of two workers, one of which is killed midway."""

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest

from birdprobe.features.recordings import read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection
from birdprobe.probe.extraction import workers
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

distributed = pytest.importorskip("distributed")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own, about the worker that went
def test_two_workers_one_killed_give_the_store_of_one_process(tmp_path, monkeypatch):
    backbone = Backbone.open(tiny_backbone(tmp_path / "tiny.onnx"), sample_rate=SAMPLE_RATE, threads=1)
    recordings = read_recordings(tiny_dataset(tmp_path / "clips", classes=4, clips=40, seconds=2.5))
    monkeypatch.setattr(workers, "SHARD_CLIPS", 8)  # twenty shards
    everything = Selection("all")
    extract(backbone, recordings, tmp_path / "one.h5", selection=everything, progress=False)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        killed = threading.Event()

        def kill_midway() -> None:
            shards = workers.shards_of(tmp_path / "two.h5")
            while not list(shards.glob("shard-*.h5")):
                time.sleep(0.005)
            os.kill(victim, signal.SIGKILL)
            killed.set()

        threading.Thread(target=kill_midway, daemon=True).start()
        done = extract(
            *(backbone, recordings, tmp_path / "two.h5"),
            selection=everything,
            cluster=cluster.scheduler_address,
            progress=False,
        )
    assert killed.is_set() and done.clips == 160
    with FeatureStore.open(tmp_path / "one.h5") as one, FeatureStore.open(tmp_path / "two.h5") as two:
        assert two.check() == []
        pd.testing.assert_frame_equal(one.rows(), two.rows())
        for tap in one.taps:
            np.testing.assert_allclose(one.read(tap), two.read(tap), rtol=1e-5, atol=1e-6)
