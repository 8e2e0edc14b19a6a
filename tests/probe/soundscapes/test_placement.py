"""Rows and their names, and where the windows of a row lie."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.probe.soundscapes import rows
from birdprobe.probe.soundscapes.placement import Placement, as_shifts, probabilities, shifts_of

RATE = 100


class Level:
    """Two "classes" that can be computed by hand: the mean of a window, and one less that."""

    labels, sample_rate, normalise, identity = ("mean", "rest"), RATE, "none", "level"

    def __init__(self, window_s: float):
        self.window_samples = round(window_s * RATE)
        self.sizes = []

    def __call__(self, windows):
        assert windows.shape[1] == self.window_samples and windows.dtype == np.float32
        self.sizes.append(len(windows))
        mean = windows.mean(axis=1)
        return np.stack([mean, 1 - mean], axis=1).astype(np.float32)


def means(waveform, window_s, row_s, shifts=(0.0,), batch_size=8):
    found = probabilities(Level(window_s), waveform.astype(np.float32), Placement(row_s, shifts, batch_size), int)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    return found[:, 0]


def ramp(seconds: float) -> np.ndarray:
    """Each sample its time, in minutes."""
    return np.arange(round(seconds * RATE)) / RATE / 60


def test_a_row_that_is_a_window_is_that_window():
    wave = ramp(60)
    np.testing.assert_allclose(means(wave, 5, 5), wave.reshape(12, 500).mean(axis=1), atol=1e-6)


def test_last_row_is_padded_and_a_codecs_tail_is_none():
    assert len(means(np.ones(1204), 5, 5)) == 3
    np.testing.assert_allclose(means(np.ones(1250), 5, 5), [1, 1, 0.5])
    assert len(means(np.ones(1004), 5, 5)) == 2  # 0.04 s, under 1 %
    assert len(means(np.ones(3), 5, 5)) == 1


def test_short_windows_are_spread_over_the_row():
    place = Placement(5.0)
    assert place.starts(1000, 300, RATE).tolist() == [[0, 200], [500, 700]]
    assert place.starts(500, 200, RATE).tolist() == [[0, 150, 300]]
    np.testing.assert_allclose(means(ramp(60), 3, 5), (np.arange(12) * 5 + 2.495) / 60, atol=1e-6)


def test_a_long_window_has_the_row_in_its_middle_and_stays_in_the_file():
    assert Placement(1.0).starts(1000, 500, RATE)[:, 0].tolist() == [0, 0, 0, 100, 200, 300, 400, 500, 500, 500]
    assert Placement(1.0).starts(200, 500, RATE)[:, 0].tolist() == [0, 0]  # a file shorter than the window is padded


def test_windows_beyond_the_end_have_no_say():
    # the last row holds 1 s: of its windows at 0 and 2 s only the first holds sound
    np.testing.assert_allclose(means(np.ones(600), 3, 5), [1, 1 / 3], atol=1e-6)


def test_shifts_are_averaged_over_silence_outside():
    found = means(np.ones(1000), 5, 5, shifts=(0.0, 1.0, -1.0))
    np.testing.assert_allclose(found, [(1 + 1 + 0.8) / 3, (1 + 0.8 + 1) / 3], atol=1e-6)
    np.testing.assert_allclose(means(ramp(60), 5, 5, (0, 1, -1))[3], means(ramp(60), 5, 5)[3], atol=1e-6)
    # a tail of 0.5 s: shifted by a second the window holds nothing
    np.testing.assert_allclose(means(np.ones(550), 5, 5, (0.0, 1.0)), [(1 + 0.9) / 2, 0.1], atol=1e-6)


def test_windows_are_computed_once_and_shared_out_evenly():
    level = Level(5)
    probabilities(level, np.ones(6000, np.float32), Placement(5.0, batch_size=8), int)
    assert level.sizes == [6, 6]
    level = Level(5)
    probabilities(level, np.ones(1000, np.float32), Placement(1.0), int)
    assert sum(level.sizes) == 6  # ten rows, three of them clamped to each end


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 3000),
    window=st.integers(1, 700),
    row=st.integers(1, 700),
    shift=st.integers(-300, 300),
    batch=st.integers(1, 9),
)
def test_any_geometry_is_a_mean_over_windows_of_the_padded_file(n, window, row, shift, batch):
    rng = np.random.default_rng(n)
    wave = rng.random(n).astype(np.float32)
    place = Placement(row / RATE, (0.0, shift / RATE), batch)
    level = Level(window / RATE)
    found = probabilities(level, wave, place, int)
    assert len(found) == rows.count(n, row) and max(level.sizes) <= batch
    padded = np.concatenate([np.zeros(1000), wave, np.zeros(2500)])
    starts = place.starts(n, window, RATE)
    for row_starts, value in zip(starts, found[:, 0]):
        each = {at: padded[1000 + at : 1000 + at + window].mean() for at in row_starts.tolist()}
        heard = [at for at in row_starts.tolist() if at < n and at + window > 0] or row_starts.tolist()
        assert np.isclose(value, np.mean([each[at] for at in heard]), atol=1e-5)


@pytest.mark.parametrize("bad", [{"row_s": 0.0}, {"row_s": -1.0}, {"row_s": np.nan}])
def test_bad_rows_are_refused(bad):
    with pytest.raises(InputError, match="rows of"):
        Placement(**bad)


def test_shifts_of_the_command():
    assert shifts_of("0,1,-1") == (0.0, 1.0, -1.0) == as_shifts([0, 1, -1, 1])
    with pytest.raises(InputError, match="'0;1' found"):
        shifts_of("0;1")
    with pytest.raises(InputError, match="shifts"):
        Placement(5.0, (float("inf"),))


def test_row_ids_end_in_the_last_second():
    assert rows.ids("BC2026_Test_0001_S01_20260512_050000", 12, 5.0)[::11] == [
        "BC2026_Test_0001_S01_20260512_050000_5",
        "BC2026_Test_0001_S01_20260512_050000_60",
    ]
    assert rows.ids("a", 3, 2.5) == ["a_2.5", "a_5", "a_7.5"]
    assert rows.ids("a", 25_000, 5.0)[-1] == "a_125000"
    assert rows.ids("a", 3, 0.1)[-1] == "a_0.3"


def write(path: Path, seconds: float, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)), rate)
    return path


def test_soundscapes_are_found_in_the_order_of_their_names(tmp_path):
    for name in ("b.wav", "a.flac", "deep/c.ogg", ".hidden/d.wav", ".e.wav"):
        write(tmp_path / name, 2.5)
    (tmp_path / "notes.txt").write_text("no sound")
    (tmp_path / "f.wav").write_text("no sound either")
    found = rows.find(tmp_path)
    assert [file.stem for file in found] == ["a", "b", "c", "f"]
    assert [file.duration_s for file in found] == [2.5, 2.5, 2.5, None]
    assert [rows.expected(file, 1.0, 32000) for file in found] == [3, 3, 3, None]
    assert rows.find(tmp_path / "b.wav") == (found[1],)
    assert rows.find([tmp_path / "b.wav", str(tmp_path / "a.flac")]) == found[:2]


def test_bad_soundscapes_are_one_line(tmp_path):
    with pytest.raises(InputError, match="no audio files found"):
        rows.find(tmp_path)
    with pytest.raises(InputError, match=r"gone\.ogg: no such file"):
        rows.find(tmp_path / "gone.ogg")
    write(tmp_path / "x/a.wav", 1)
    write(tmp_path / "x/a.flac", 1)
    with pytest.raises(InputError, match=r"x/a\.flac and .*x/a\.wav: one stem"):
        rows.find(tmp_path)


def test_most_common():
    assert rows.most_common([12, 3, 12]) == 12
    assert rows.most_common([3, 12]) == 12
    assert rows.most_common([]) is None
