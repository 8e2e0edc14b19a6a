"""Extraction: equal to a plain loop, whatever threads, kills, jobs and bad files do."""

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from birdprobe.features import InputError, audio
from birdprobe.features.playback import Playback
from birdprobe.features.recordings import Clip, Recordings
from birdprobe.features.store import FeatureStore, store
from birdprobe.features.windows import Selection, grid
from birdprobe.probe.extraction.clip_batches import ClipBatch, Settings, compute, seed_of
from birdprobe.probe.extraction.extract import extract, key_of
from birdprobe.probe.runtime.backbone import Backbone
from tests.tiny import N_SAMPLES, SAMPLE_RATE, tiny_backbone

ALL = Selection("all")
LENGTHS_S = (0.4, 1.0, 1.3, 2.0, 3.7, 6.2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def backbone(model):
    return Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return make(tmp_path_factory.mktemp("audio"), 40)


def make(folder, n):
    """n clips of noise: several formats, rates, channel counts and lengths, two labels, groups of two."""
    rng, clips = np.random.default_rng(0), []
    for i in range(n):
        rate, suffix = (8000, "wav") if i % 3 else (16000, "flac")
        samples = 0.3 * rng.standard_normal((int(LENGTHS_S[i % 6] * rate), 1 + i % 2)).astype(np.float32)
        path = folder / f"{'ab'[i % 2]}/{i:03d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.clip(samples, -1, 1), rate)
        clips.append(
            Clip(path, f"{path.parent.name}/{path.name}", ("ab"[i % 2], "x"), group=f"g{i // 2}", fold=str(i % 4))
        )
    return Recordings(folder, tuple(clips), "two by two", ("a warning",))


def assert_same(one, other):
    with FeatureStore.open(one) as a, FeatureStore.open(other) as b:
        assert a.complete and b.complete and a.check() == b.check() == []
        pd.testing.assert_frame_equal(a.rows(), b.rows())
        pd.testing.assert_frame_equal(a.skipped(), b.skipped())
        for tap in a.taps:
            np.testing.assert_array_equal(a.read(tap), b.read(tap))


@pytest.fixture(scope="module")
def reference(backbone, recordings, tmp_path_factory):
    """A store from one uninterrupted extraction."""
    path = tmp_path_factory.mktemp("reference") / "features.h5"
    extract(backbone, recordings, path, selection=ALL)
    return path


# ---- what is in the store


def test_every_row_is_the_features_of_its_window(backbone, recordings, reference):
    with FeatureStore.open(reference) as store:
        rows, features = store.rows(), {tap: store.read(tap) for tap in store.taps}
        assert store.key == key_of(backbone, ALL, 0, "float32") and store.meta["grouping"] == "two by two"
        assert store.meta["architecture"]["blocks"] and store.meta["warnings"] == ["a warning"]
    at = 0
    for number, clip in enumerate(recordings.clips):
        samples, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
        samples = samples.mean(axis=1)
        samples = samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
        for start in grid(len(samples), N_SAMPLES):
            row = rows.iloc[at].to_dict()
            window = np.zeros((1, N_SAMPLES), np.float32)
            window[0, : len(samples) - start] = samples[start : start + N_SAMPLES]
            for tap, wanted in backbone(window).items():
                np.testing.assert_allclose(features[tap][at], wanted[0], rtol=1e-5, atol=1e-6)
            assert len(row.pop("sha256")) == 64
            start_s = start / SAMPLE_RATE
            assert row == {
                **{"clip": number, "file": clip.name, "start_s": start_s, "end_s": start_s + 1},
                **{"label": clip.label, "labels": f"{clip.label};x", "group": clip.group, "fold": clip.fold},
                "size": clip.path.stat().st_size,
            }
            at += 1
    assert at == len(rows)


def test_pieces_of_a_file_keep_its_times(backbone, tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * rng.standard_normal(5 * SAMPLE_RATE), SAMPLE_RATE)
    whole = Recordings(tmp_path, (Clip(path, "long.wav", ("a",)),))
    pieces = tuple(Clip(path, "long.wav", ("a",), start_s=float(s), end_s=s + 1.0) for s in range(5))
    extract(backbone, whole, tmp_path / "whole.h5", selection=ALL)
    done = extract(backbone, replace(whole, clips=pieces), tmp_path / "pieces.h5", selection=ALL)
    assert (done.clips, done.windows) == (5, 5)
    with FeatureStore.open(tmp_path / "whole.h5") as a, FeatureStore.open(tmp_path / "pieces.h5") as b:
        assert b.rows()["start_s"].tolist() == a.rows()["start_s"].tolist() == [0, 1, 2, 3, 4]
        assert b.rows()["end_s"].tolist() == a.rows()["end_s"].tolist()
        np.testing.assert_array_equal(a.read("embedding"), b.read("embedding"))


@pytest.mark.parametrize("rule", ["center", "first", "random:2", "energy:1"])
def test_selections_do_not_depend_on_company(backbone, recordings, tmp_path, rule):
    selection = Selection.parse(rule)
    extract(backbone, recordings, tmp_path / "all.h5", selection=selection, seed=3)
    some = replace(recordings, clips=recordings.clips[7:20:2])
    extract(backbone, some, tmp_path / "some.h5", selection=selection, seed=3, batch_size=3)
    with FeatureStore.open(tmp_path / "all.h5") as store:
        every = store.rows()
    with FeatureStore.open(tmp_path / "some.h5") as store:
        few = store.rows()
    for clip in some.clips:
        assert every[every.file == clip.name]["start_s"].tolist() == few[few.file == clip.name]["start_s"].tolist()


def test_seeds_differ_by_clip_and_seed():
    clip = Clip(Path("a.wav"), "a.wav", ("a",))
    seeds = {
        seed_of(clip, 0),
        seed_of(clip, 1),
        seed_of(replace(clip, name="b.wav"), 0),
        seed_of(replace(clip, start_s=1.0), 0),
    }
    assert len(seeds) == 4
    assert seed_of(clip, 0) == 1638103489717699323  # the same on every machine and in every process


def test_portions_cover_the_clips_and_fill_batches(recordings):
    for rule, batch_size, most in (("all", 8, 8), ("center", 8, 8), ("random:3", 8, 3), ("energy:20", 8, 1)):
        batches = ClipBatch(5, recordings.clips).split(Selection.parse(rule), batch_size)
        assert [clip for batch in batches for clip in batch.clips] == list(recordings.clips)
        assert [batch.first for batch in batches] == [5 + at for at in range(0, 40, most)]
    (batch, *_) = ClipBatch(0, recordings.clips).split(ALL, 8)
    assert batch.without({0, 1, 3}).first == 2 and len(batch.without({0, 1, 3}).clips) == 6


def test_one_large_file_is_a_portion_of_its_own(tmp_path):
    (tmp_path / "big.wav").write_bytes(b"x" * 3_000_000)
    (tmp_path / "small.wav").write_bytes(b"x")
    clips = tuple(Clip(tmp_path / f"{name}.wav", name, ("a",)) for name in ("big", "small", "big", "small", "gone"))
    assert [len(batch.clips) for batch in ClipBatch(0, clips).split(ALL, 8)] == [1, 2, 2]


# ---- resume, reuse, refuse


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


# ---- clips that cannot be used


def test_bad_clips_are_skipped_and_listed(backbone, recordings, reference, tmp_path):
    bad = {"text.wav": b"hello", "empty.flac": b""}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    soundfile.write(tmp_path / "silent.wav", np.zeros(9000), 8000)
    names = [*bad, "silent.wav", "gone.wav"]
    broken = [Clip(tmp_path / name, name, ("b",)) for name in names]
    clips = list(recordings.clips)
    for at, clip in zip((0, 9, 17, 43), broken):
        clips.insert(at, clip)
    path = tmp_path / "features.h5"
    done = extract(backbone, replace(recordings, clips=tuple(clips)), path, selection=ALL)
    assert [(s.clip, s.file) for s in done.skipped] == list(zip((0, 9, 17, 43), names))
    assert all(str(tmp_path) not in s.reason for s in done.skipped) and "silent" in done.skipped[2].reason
    assert done.clips == 40
    with FeatureStore.open(path) as store, FeatureStore.open(reference) as wanted:
        assert store.check() == [] and store.complete
        assert store.rows()["file"].tolist() == wanted.rows()["file"].tolist()
        np.testing.assert_allclose(store.read("embedding"), wanted.read("embedding"), rtol=1e-5, atol=1e-6)
    # once a skipped file is repaired, --overwrite takes it in
    soundfile.write(tmp_path / "silent.wav", np.sin(np.arange(9000)), 8000)
    assert extract(backbone, replace(recordings, clips=tuple(clips)), path, selection=ALL, overwrite=True).clips == 41


def test_bad_headers_are_skipped_and_warnings_reach_the_caller(backbone, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(tmp_path / "good.wav", noise, 8000)
    good = (tmp_path / "good.wav").read_bytes()
    for name, at, value in (("rate1.wav", 24, 1), ("channels.wav", 22, 1025), ("short.wav", 40, 0)):
        data = bytearray(good)
        data[at : at + (2 if at == 22 else 4)] = value.to_bytes(2 if at == 22 else 4, "little")
        (tmp_path / name).write_bytes(data)
    soundfile.write(tmp_path / "opposed.wav", np.stack([noise, -noise], axis=1), 8000)
    names = ("rate1.wav", "good.wav", "channels.wav", "short.wav", "opposed.wav")
    clips = tuple(Clip(tmp_path / name, name, ("a",)) for name in names)
    for jobs in (1, 2):
        done = extract(backbone, Recordings(tmp_path, clips), tmp_path / f"{jobs}.h5", selection=ALL, jobs=jobs)
        assert [one.file for one in done.skipped] == ["rate1.wav", "channels.wav"]
        assert done.clips == 3 and len(done.warnings) == 2
        assert "lost power" in " ".join(done.warnings) and "cancel each other" in " ".join(done.warnings)


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


def test_nothing_usable_is_an_error_and_leaves_nothing(backbone, tmp_path):
    clips = []
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", np.zeros(9000), 8000)
        clips.append(Clip(tmp_path / f"{i}.wav", f"{i}.wav", ("a",)))
    with pytest.raises(InputError, match=r"none of the 3 clips can be used. The first, 0.wav: .*silent"):
        extract(backbone, Recordings(tmp_path, tuple(clips)), tmp_path / "f.h5", selection=ALL)
    assert not (tmp_path / "f.h5").exists()
    with pytest.raises(InputError, match="no clips to extract"):
        extract(backbone, Recordings(tmp_path, ()), tmp_path / "f.h5", selection=ALL)


def test_a_clip_that_the_model_cannot_stand_is_skipped_alone(backbone, recordings, tmp_path):
    # float32 samples of 1e38 are finite, and overflow in the first convolution
    path = tmp_path / "loud.wav"
    soundfile.write(path, 1e38 * np.sign(np.sin(np.arange(8000, dtype=np.float32))), 8000, subtype="FLOAT")
    clips = (*recordings.clips[:3], Clip(path, "loud.wav", ("a",)), *recordings.clips[3:6])
    computed = compute(backbone, ClipBatch(0, clips), Settings(ALL, 0, 8))
    assert [(number, name) for number, name, _ in computed.skipped] == [(3, "loud.wav")]
    assert sorted(set(computed.rows["clip"])) == [0, 1, 2, 4, 5, 6]
    assert {len(x) for x in computed.features.values()} == {len(computed.rows)}


def test_float16_overflow_names_the_remedy(model, recordings, tmp_path):
    backbone = Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)
    path = tmp_path / "loud.wav"
    soundfile.write(path, 1e7 * np.sin(np.arange(8000, dtype=np.float32)), 8000, subtype="FLOAT")
    loud = replace(recordings, clips=(Clip(path, "loud.wav", ("a",)),))
    with pytest.raises(
        InputError, match=r"loud.wav, tap block_00: .* does not fit float16. Extract with --dtype float32"
    ):
        extract(backbone, loud, tmp_path / "f.h5", selection=ALL, dtype="float16")


# ---- several processes


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


# ---- kills


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


# ---- slower, filtered, overlapping


def test_playback_and_hop_reach_the_rows_and_the_key(backbone, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "bat.wav", 0.3 * rng.standard_normal(20_000), 80_000)  # a quarter of a second
    recordings = Recordings(tmp_path, (Clip(tmp_path / "bat.wav", "bat.wav", ("bat",)),))
    playback = Playback.parse(0.1, "2000,30000")
    spaced = Selection.parse("all", overlap=0.5)
    done = extract(backbone, recordings, tmp_path / "f.h5", selection=spaced, playback=playback)
    with FeatureStore.open(done.store) as found:
        rows, key = found.rows(), found.key
        assert (key.speed, key.bandpass, key.selection, key.playback) == (0.1, "2000,30000", "all:hop=0.5", playback)
        np.testing.assert_allclose(rows["start_s"], [0.0, 0.05, 0.1, 0.15], atol=1e-9)
        np.testing.assert_allclose(rows["end_s"] - rows["start_s"], 0.1)
        waveform = audio.read(tmp_path / "bat.wav", SAMPLE_RATE, playback=playback)
        assert len(waveform) == 20_000
        window = waveform[round(0.1 * 80_000) :][:N_SAMPLES][None]
        np.testing.assert_allclose(found.read("embedding")[2], backbone(window)["embedding"][0], rtol=1e-4, atol=1e-5)
    with pytest.raises(
        InputError, match=r"speed 0\.1 on disk, expected 1\.0\. Was the store made with another --speed"
    ):
        extract(backbone, recordings, tmp_path / "f.h5", selection=spaced)


def test_stores_that_name_no_playback_are_as_recorded(reference):
    with FeatureStore.open(reference) as found:
        assert "speed" not in found.key.to_json() and found.key.speed == 1.0 and found.key.bandpass == "none"
