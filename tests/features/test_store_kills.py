"""Writers of a store that are killed, and disks that are full: whatever was committed is there."""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from tests.features.stores import DIMS, KEY, ROOT, assert_holds, table, values


def write(path, n_clips, every):
    """A writer that resumes: n clips, each tenth skipped, a commit after each `every`-th."""
    store = FeatureStore.open(path, "a", KEY) if path.exists() else FeatureStore.create(path, KEY, DIMS, {})
    with store:
        done = store.done_clips() | set(store.skipped()["clip"])
        for clip in range(n_clips):
            if clip in done:
                continue
            if clip % 10 == 9:
                store.skip(clip, f"{clip}.wav", "tenth")
            else:
                store.append(table([clip]), values(table([clip])))
            if clip % every == 0:
                store.commit()
        if not store.complete:
            store.finish()


def forked(function, *args) -> int:
    """Run in a child process; exit code 1 for an exception. Returns the child's id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        function(*args)
        code = 0
    finally:
        os._exit(code)


def written(n_clips):
    return [clip for clip in range(n_clips) if clip % 10 != 9]


def kill_and_resume(path, kills, n_clips, seed, longest_s):
    """Kill a writer at random moments, resume it; each time every committed row must be right and none may be lost."""
    rng, before = random.Random(seed), 0
    done = 0
    while done < kills or not before:  # on a busy machine a writer may need longer to get anywhere
        child = forked(write, path, n_clips, 3)
        time.sleep(rng.uniform(0, longest_s) * max(1, done / kills))
        done += 1
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, "make n_clips larger"
        if path.exists():
            with FeatureStore.open(path) as store:
                clips = sorted(store.done_clips())
                assert clips == written(2 * n_clips)[: len(clips)] and len(clips) >= before
                assert_holds(store, clips)
                assert [fault for fault in store.check() if "not complete" not in fault] == []
                before = len(clips)
    assert 0 < before < len(written(n_clips))
    write(path, n_clips, 50)
    with FeatureStore.open(path) as store:
        assert store.check() == []
        assert_holds(store, written(n_clips))
        assert store.skipped()["clip"].tolist() == list(range(9, n_clips, 10))


def test_killed_writers_lose_nothing_committed(tmp_path):
    # text in HDF5's own strings of any length failed this: "bad heap index" when the next writer went on
    kill_and_resume(tmp_path / "s.h5", kills=12, n_clips=1200, seed=0, longest_s=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_many_killed_writers_lose_nothing_committed(tmp_path, seed):
    kill_and_resume(tmp_path / "s.h5", kills=20, n_clips=8000, seed=seed, longest_s=0.25)


def write_until_full(path, limit, told):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        write(path, 600, 20)
    except InputError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        told.write_text(str(error))


@pytest.mark.parametrize("limit", [0, 50_000, 600_000, 700_000])
def test_a_full_disk_keeps_what_is_committed(tmp_path, limit):
    # a limit on the file's size fails like a full disk: at creation, before the first row, and in the middle
    path, told = tmp_path / "s.h5", tmp_path / "told.txt"
    os.waitpid(forked(write_until_full, path, limit, told), 0)
    assert "no space left on the disk" in told.read_text()
    assert path.exists() == (limit > 0)
    if path.exists():
        with FeatureStore.open(path) as store:
            kept = sorted(store.done_clips())
            assert_holds(store, kept)
            assert (len(kept) > 0) == (limit >= 600_000)
            assert f"{len(store)} rows are safe" in told.read_text()
    write(path, 600, 20)
    with FeatureStore.open(path) as store:
        assert store.check() == []
        assert_holds(store, written(600))


def test_a_really_full_disk(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        path, filler = tmp_path / "s.h5", tmp_path / "filler"
        filler.write_bytes(b"x" * 1_400_000)
        code = (
            "import sys; from pathlib import Path; sys.path.insert(0, 'tests')\n"
            f"from tests.features.test_store_kills import write; write(Path({str(path)!r}), 600, 20)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        # the last word is ours: HDF5 adds nothing while the process ends
        assert done.returncode == 1 and done.stderr.strip().splitlines()[-1].startswith("birdprobe.features.InputError")
        assert "no space left on the disk" in done.stderr
        with FeatureStore.open(path) as store:
            kept = sorted(store.done_clips())
            assert kept
            assert_holds(store, kept)
        filler.unlink()
        write(path, 600, 20)
        with FeatureStore.open(path) as store:
            assert store.check() == []
            assert_holds(store, written(600))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
