"""Slower and filtered: where a tone ends up, what the filter lets through, and what the words mean."""

import numpy as np
import pytest
import soundfile

from birdprobe.features import InputError, audio
from birdprobe.features.playback import AS_RECORDED, Playback


def tone(hz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def loudest(samples: np.ndarray, rate: int) -> float:
    return float(np.fft.rfftfreq(len(samples), 1 / rate)[np.abs(np.fft.rfft(samples)).argmax()])


def test_a_bat_played_ten_times_slower_is_heard(tmp_path):
    soundfile.write(tmp_path / "bat.wav", tone(45_000, 256_000, 0.5), 256_000)
    heard = audio.read(tmp_path / "bat.wav", 32_000, playback=Playback(0.1))
    assert len(heard) == 5 * 32_000 and loudest(heard, 32_000) == pytest.approx(4_500, abs=1)
    piece = audio.read(tmp_path / "bat.wav", 32_000, start_s=0.1, end_s=0.2, playback=Playback(0.1))
    assert len(piece) == 32_000
    assert len(audio.read(tmp_path / "bat.wav", 32_000)) == 16_000


def test_the_filter_is_at_the_recordings_own_rate_and_delays_nothing(tmp_path):
    rate = 48_000
    low, mid, high = (tone(hz, rate) for hz in (200, 3_000, 15_000))
    soundfile.write(tmp_path / "a.wav", low + mid, rate, subtype="FLOAT")
    heard = audio.read(tmp_path / "a.wav", rate, playback=Playback.parse(1.0, "1000,8000"))
    inner = slice(rate // 4, -rate // 4)
    np.testing.assert_allclose(heard[inner], mid[inner], atol=0.01)
    np.testing.assert_allclose(
        Playback.parse(bandpass="1000,").filtered(low + high, rate)[inner], high[inner], atol=0.01
    )
    np.testing.assert_allclose(
        Playback.parse(bandpass=",1000").filtered(low + high, rate)[inner], low[inner], atol=0.01
    )


def test_an_edge_that_the_recording_cannot_hold_is_open_or_said(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(3_000, 16_000), 16_000)
    heard = audio.read(tmp_path / "a.wav", 16_000, playback=Playback.parse(bandpass="1000,12000"))
    assert loudest(heard, 16_000) == pytest.approx(3_000, abs=2)
    with pytest.raises(InputError, match=r"a\.wav: sampled at 16,000 Hz, so nothing is left above 20000 Hz"):
        audio.read(tmp_path / "a.wav", 16_000, playback=Playback.parse(bandpass="20000,60000"))


@pytest.mark.parametrize("text", ["none", "1000,12000", "1000,", ",8000"])
def test_words_read_back(text):
    assert Playback.parse(0.5, text).bandpass == text
    assert Playback.parse() == AS_RECORDED


@pytest.mark.parametrize(
    ("speed", "bandpass", "message"),
    [
        (0.0, None, "`--speed` must be 0.001 to 1000"),
        (float("nan"), None, "`--speed` must be 0.001 to 1000"),
        (1.0, "8000,1000", "`--bandpass` must be LOW,HIGH in Hz"),
        (1.0, "1,2,3", "`--bandpass`"),
        (1.0, "low", "`--bandpass`"),
        (1.0, "1000", "`--bandpass`"),
        (1.0, ",", "`--bandpass`"),
        (1.0, "-5,100", "`--bandpass`"),
    ],
)
def test_words_that_cannot_work(speed, bandpass, message):
    with pytest.raises(InputError, match=message):
        Playback.parse(speed, bandpass)
