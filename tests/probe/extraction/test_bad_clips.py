"""Clips that cannot be used are skipped and listed."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from birdprobe.features import InputError
from birdprobe.features.recordings import Clip, Recordings
from birdprobe.features.store import FeatureStore
from birdprobe.probe.extraction.clip_batches import ClipBatch, Settings, compute
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.probe.extraction.material import ALL
from tests.tiny import SAMPLE_RATE


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
