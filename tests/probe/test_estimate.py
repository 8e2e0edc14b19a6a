"""The dry run: its arithmetic, and its windows and bytes against a real extraction. Seconds are the machine's."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

import birdprobe as bp
from birdprobe.features.recordings import read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.windows import Selection
from birdprobe.probe.extraction.estimate import Load, estimate
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.cores import cores
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return Backbone.open(tiny_backbone(tmp_path_factory.mktemp("m") / "tiny.onnx"), sample_rate=SAMPLE_RATE, threads=1)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("a"), classes=3, clips=40, seconds=3.0)


@pytest.mark.parametrize("rule", ["all", "center", "all:overlap=0.5"])
def test_windows_and_bytes_are_those_of_the_extraction(backbone, clips, tmp_path, rule):
    recordings, selection = read_recordings(clips), Selection.parse(rule)
    found = estimate(backbone, recordings, open_s=2.0, selection=selection, price=0.5, trial_s=0.01)
    done = extract(backbone, recordings, tmp_path / "f.h5", selection=selection, progress=False)
    assert found.whole.windows == done.windows
    assert found.whole.audio_s == pytest.approx(360.0) and found.archive.audio_s == 3_600_000.0
    with FeatureStore.open(tmp_path / "f.h5") as store:
        chunks = sum(store._file["taps"][tap].id.get_storage_size() for tap in store.taps)
        assert found.whole.bytes == pytest.approx(chunks + store.text("rows").nbytes, rel=0.01)
    assert found.archive.seconds - 2.0 == pytest.approx((found.whole.seconds - 2.0) * 10_000)
    assert found.whole.seconds > 2.0 and found.archive.windows == pytest.approx(done.windows * 10_000, rel=1e-3)
    assert found.archive.price == pytest.approx(0.5 * found.archive.seconds / 3600 * cores())


def test_long_recordings_are_tried_in_pieces(backbone, clips):
    recordings = read_recordings(clips)
    long = replace(recordings, clips=tuple(replace(clip, start_s=0.0, end_s=3.0) for clip in recordings.clips[:4]))
    found = estimate(backbone, long, selection=Selection("all"), trial_s=0.01)
    assert found.whole.audio_s == 12.0 and found.whole.windows == 12 and found.whole.price is None


def test_a_dry_run_writes_nothing(clips, tmp_path):
    model = tiny_backbone(tmp_path / "tiny.onnx")
    before = sorted(tmp_path.rglob("*"))
    said = str(bp.extract(model, clips, dry_run=True, sample_rate=SAMPLE_RATE, per_class=3, progress=False))
    assert "all of it, 0.01 hours of audio" in said and "an archive, 1,000.00 hours of audio" in said
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(bp.InputError, match=r"-o STORE\.h5 is needed, unless it is a --dry-run"):
        bp.extract(model, clips, sample_rate=SAMPLE_RATE)


DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "birdnet").is_dir(), reason="needs ../shared/data")
def test_what_birdnet_computes_for_esc10_is_foretold(tmp_path):
    """In seconds that the cores compute: seconds of the clock are those of whatever else the machine does."""
    backbone = Backbone.open(DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx", threads=1)
    recordings = read_recordings(DATA / "esc10")
    found = estimate(backbone, recordings, selection=Selection("all"))
    begun = time.process_time()
    done = extract(backbone, recordings, tmp_path / "f.h5", selection=Selection("all"), progress=False)
    assert found.whole.cpu_s == pytest.approx(time.process_time() - begun, rel=0.2)
    assert found.whole.windows == pytest.approx(done.windows, rel=0.05)


def test_a_load_in_words():
    assert str(Load(5400.0, 90.0, 1080, 2_500_000, None)) == "1.50 hours of audio: 90 s, 1,080 windows, 2.5 MB"
    busy = Load(5400.0, 90.0, 1080, 2_500_000, None, 700.0)
    assert str(busy) == "1.50 hours of audio: 90 s (0.19 h of computing), 1,080 windows, 2.5 MB"
    assert str(Load(3.6e6, 36_000.0, 720_000, 4_500_000_000, 1.0)).endswith(
        "10.00 h, 720,000 windows, 4.50 GB, 1 at that price"
    )
