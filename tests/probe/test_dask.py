"""Extraction on a real Dask cluster of two workers, one of which is killed midway."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.features.recordings import Recordings, read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection
from birdprobe.probe.extraction import workers
from birdprobe.probe.extraction.extract import Extraction, extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

distributed = pytest.importorskip("distributed")

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ALL = Selection("all")


def extract_losing_a_worker(backbone: Backbone, recordings: Recordings, store: Path, begun: int) -> Extraction:
    """Extract with two workers; one of them is killed once `begun` shards were begun."""
    killed = threading.Event()
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).pid

        def kill_midway() -> None:
            while len(list(workers.shards_of(store).glob("shard-*.h5"))) < begun:
                time.sleep(0.005)
            os.kill(victim, signal.SIGKILL)
            killed.set()

        threading.Thread(target=kill_midway, daemon=True).start()
        done = extract(backbone, recordings, store, selection=ALL, cluster=cluster.scheduler_address, progress=False)
        assert killed.is_set() and victim not in {nanny.pid for nanny in cluster.workers.values()}
    return done


def assert_same_store(one: Path, two: Path, rtol: float, atol: float) -> None:
    """atol: a share of a tap's largest value."""
    with FeatureStore.open(one) as a, FeatureStore.open(two) as b:
        assert a.complete and b.complete and b.check() == []
        assert a.key == b.key
        pd.testing.assert_frame_equal(a.rows(), b.rows())
        for tap in a.taps:
            wanted = a.read(tap)
            np.testing.assert_allclose(b.read(tap), wanted, rtol=rtol, atol=atol * np.abs(wanted).max(), err_msg=tap)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Dask's own, about the worker that went
def test_two_workers_one_killed_give_the_store_of_one_process(tmp_path, monkeypatch):
    backbone = Backbone.open(tiny_backbone(tmp_path / "tiny.onnx"), sample_rate=SAMPLE_RATE, threads=1)
    recordings = read_recordings(tiny_dataset(tmp_path / "clips", classes=4, clips=40, seconds=2.5))
    monkeypatch.setattr(workers, "SHARD_CLIPS", 8)  # twenty shards
    extract(backbone, recordings, tmp_path / "one.h5", selection=ALL, progress=False)
    done = extract_losing_a_worker(backbone, recordings, tmp_path / "two.h5", begun=1)
    assert done.clips == 160
    assert_same_store(tmp_path / "one.h5", tmp_path / "two.h5", rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not (DATA / "esc10").is_dir(), reason="needs ../shared/data")
def test_birdnet_on_esc10_by_two_workers_one_killed(tmp_path):
    backbone = Backbone.open(DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx", threads=1)
    recordings = read_recordings(DATA / "esc10")
    done = extract_losing_a_worker(backbone, recordings, tmp_path / "two.h5", begun=6)  # of twelve shards
    extract(backbone, recordings, tmp_path / "one.h5", selection=ALL, progress=False)
    assert done.clips == 400
    assert_same_store(tmp_path / "one.h5", tmp_path / "two.h5", rtol=1e-4, atol=1e-5)
