"""Whatever kills and signals do, the store ends the same."""

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace

import pytest

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, store
from birdprobe.probe.extraction.extract import extract, key_of
from birdprobe.probe.runtime.backbone import Backbone
from tests.probe.extraction.material import ALL, assert_same
from tests.tiny import SAMPLE_RATE


def hold(path, key, dims, ready, done):
    with FeatureStore.create(path, key, dims, {}):
        ready.set()
        done.wait()


def test_a_store_in_use_is_never_replaced(server, backbone, recordings, tmp_path):
    path, ready, done = tmp_path / "features.h5", server.Event(), server.Event()
    key = key_of(backbone, ALL, 0, "float32")
    holder = server.Process(target=hold, args=(path, key, backbone.dims, ready, done))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(InputError, match="another process"):
        extract(backbone, recordings, path, selection=ALL, overwrite=True)
    done.set()
    holder.join()
    assert holder.exitcode == 0 and path.exists()


@pytest.fixture(scope="module")
def server():
    """Starts child processes that have the imports behind them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["birdprobe.probe.extraction.extract", __name__])
    return context


def resume(model, recordings, path):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a background job would ignore it
    store.COMMIT_ROWS = 32  # commits in quick succession
    commit = FeatureStore.commit

    def paced(store):  # so that a fast machine is not done before it is killed
        time.sleep(0.06)
        commit(store)

    FeatureStore.commit = paced  # in the child process only
    extract(Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1), recordings, path, selection=ALL)


def kill_and_resume(server, model, recordings, path, kills, seed):
    """An extraction killed at random moments, each time resumed: never a row lost, doubled or wrong."""
    rng, before = random.Random(seed), 0
    for _ in range(kills):
        child = server.Process(target=resume, args=(model, recordings, path))
        child.start()
        time.sleep(rng.uniform(0.3, 1.3))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL, "it was done before the kill: give it more clips"
        if path.exists():
            with FeatureStore.open(path) as store:
                assert [fault for fault in store.check() if "not complete" not in fault] == []
                assert len(store) >= before
                before = len(store)
    assert before
    last = server.Process(target=resume, args=(model, recordings, path))
    last.start()
    last.join()
    assert last.exitcode == 0


def many(recordings, n):
    """n clips from few files."""
    clips = [replace(recordings.clips[i % 40], name=f"{i}-{recordings.clips[i % 40].name}") for i in range(n)]
    return replace(recordings, clips=tuple(clips))


def test_killed_extractions_end_in_the_same_store(server, backbone, model, recordings, tmp_path):
    recordings = many(recordings, 2000)
    extract(backbone, recordings, tmp_path / "whole.h5", selection=ALL)
    kill_and_resume(server, model, recordings, tmp_path / "killed.h5", kills=4, seed=0)
    assert_same(tmp_path / "whole.h5", tmp_path / "killed.h5")


@pytest.mark.slow
def test_twenty_killed_extractions_end_in_the_same_store(server, backbone, model, recordings, tmp_path):
    recordings = many(recordings, 6000)
    extract(backbone, recordings, tmp_path / "whole.h5", selection=ALL)
    kill_and_resume(server, model, recordings, tmp_path / "killed.h5", kills=20, seed=1)
    assert_same(tmp_path / "whole.h5", tmp_path / "killed.h5")


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_extraction_leaves_a_store_that_opens(server, model, recordings, tmp_path, stop):
    recordings, path = many(recordings, 3000), tmp_path / "f.h5"
    child = server.Process(target=resume, args=(model, recordings, path))
    child.start()
    while not path.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(child.pid, stop)
    child.join()
    assert child.exitcode != 0
    with FeatureStore.open(path) as store:
        assert store.check() == ["not complete: the extraction was interrupted (the same command resumes it)"]
