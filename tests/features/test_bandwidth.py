"""Recordings that are sampled far below the model's rate are counted in one line, by their headers alone."""

import numpy as np
import pytest
import soundfile

from birdprobe.features.playback import Playback
from birdprobe.features.recordings.bandwidth import LOOKED_AT, header_rate, narrow_band


def record(folder, rate, *names):
    for name in names:
        soundfile.write(folder / name, np.zeros(rate // 10), rate)
    return [folder / name for name in names]


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_the_header_tells_the_rate(tmp_path, name):
    assert header_rate(*record(tmp_path, 11_025, name)) == 11_025


def test_opus_tells_the_rate_before_coding(tmp_path):
    soundfile.write(tmp_path / "a.opus", np.zeros(8000), 8000, format="OGG", subtype="OPUS")
    assert header_rate(tmp_path / "a.opus") == 8000


def test_what_cannot_be_read_has_no_rate(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.ogg").write_text("OggS")
    for name in ("empty.wav", "text.ogg", "missing.wav", "."):
        assert header_rate(tmp_path / name) == 0


def test_files_are_counted_once_whatever_clips_they_hold(tmp_path):
    low = record(tmp_path, 10_000, "a.wav", "b.flac")
    high = record(tmp_path, 44_100, "c.wav", "d.ogg")
    said = narrow_band([*low, *low, *high], 32_000)
    assert said.startswith("2 of 4 recordings hold nothing above 5 kHz; the model reads up to 16 kHz: ")
    assert narrow_band([low[0], *high], 32_000).startswith("1 of 3 recordings holds nothing above 5 kHz")
    assert narrow_band(high, 48_000) is None and narrow_band(low, 16_000) is None
    assert narrow_band(low, 20_000) is not None  # half of it
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert narrow_band([*low, *high, tmp_path / "broken.wav"], 32_000).startswith("2 of 4 ")  # it will be skipped


def test_slower_playback_asks_for_higher_rates(tmp_path):
    high = record(tmp_path, 44_100, "c.wav")
    assert narrow_band(high, 32_000) is None
    assert "reads up to 160 kHz" in narrow_band(high, 32_000, Playback(speed=0.1))


def test_of_very_many_a_spread_is_looked_at(tmp_path):
    one = record(tmp_path, 8000, "a.wav")[0].read_bytes()
    paths = [tmp_path / f"{i}.wav" for i in range(LOOKED_AT + 5)]
    for path in paths:
        path.write_bytes(one)
    assert narrow_band(paths, 32_000).startswith(
        f"{LOOKED_AT:,} of {LOOKED_AT:,} recordings looked at hold nothing above 4"
    )
