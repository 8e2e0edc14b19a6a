"""What is in the store: every row as a plain loop computes it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from birdprobe.features import InputError, audio
from birdprobe.features.playback import Playback
from birdprobe.features.recordings import Clip, Recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection, grid
from birdprobe.probe.extraction.clip_batches import ClipBatch, seed_of
from birdprobe.probe.extraction.extract import extract, key_of
from tests.probe.extraction.material import ALL
from tests.tiny import N_SAMPLES, SAMPLE_RATE


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
