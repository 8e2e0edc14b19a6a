"""Windows: every sample once, every rule deterministic, and energy peaks where the sound is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.features.windows import NORMALISATIONS, Selection, cut, grid, normalise_file, normalise_windows, select

RATE = 8_000
RULES = ["all", "center", "first", "random:3", "energy:2"]


def calls(at_s: list[float], seconds: float, rate: int = 16_000) -> np.ndarray:
    """0.5-s tones that rise and fall, centred on the given times, in faint noise."""
    time = np.arange(round(seconds * rate)) / rate
    sound = np.random.default_rng(0).normal(0, 0.002, len(time))
    for centre in at_s:
        sound += 0.3 * np.exp(-(((time - centre) / 0.2) ** 2)) * np.sin(2 * np.pi * 2000 * time)
    return sound.astype(np.float32)


@given(n=st.integers(0, 5000), window=st.integers(1, 700))
def test_the_grid_covers_every_sample_once_except_a_tail_of_codec_padding(n, window):
    starts = grid(n, window)
    assert starts.dtype == np.int64
    covered = np.zeros(n, dtype=int)
    for start in starts:
        covered[start : start + window] += 1
    tail = n % window
    dropped = tail if n > window and 0 < tail < 0.01 * window else 0
    np.testing.assert_array_equal(covered[: n - dropped], 1)
    np.testing.assert_array_equal(covered[n - dropped :], 0)


@given(n=st.integers(0, 3000), window=st.integers(100, 700))
def test_cutting_the_grid_and_joining_it_gives_the_recording_back(n, window):
    waveform = np.random.default_rng(n).normal(size=n).astype(np.float32)
    windows = cut(waveform, grid(n, window), window)
    assert windows.dtype == np.float32 and windows.shape[1] == window
    joined = windows.reshape(-1)
    kept = min(n, len(joined))
    np.testing.assert_array_equal(joined[:kept], waveform[:kept])
    np.testing.assert_array_equal(joined[kept:], 0)


def test_last_window_is_padded():  # a 5.0 s clip at 3 s windows once lost its tail
    windows = cut(np.ones(5 * RATE, np.float32), grid(5 * RATE, 3 * RATE), 3 * RATE)
    np.testing.assert_array_equal(windows.sum(axis=1), [3 * RATE, 2 * RATE])


def test_codec_padding_is_no_window_of_its_own():
    assert len(grid(160_032, 160_000)) == 1 and len(grid(161_600, 160_000)) == 2 and len(grid(32, 160_000)) == 1


@pytest.mark.parametrize("text", ["all", "center", "first", "random:1", "random:12", "energy:5"])
def test_selections_read_back_as_they_were_written(text):
    assert str(Selection.parse(text)) == text and Selection.parse(str(Selection.parse(text))) == Selection.parse(text)


@pytest.mark.parametrize(
    "text", ["", "every", "all:3", "random", "random:", "random:0", "energy:-1", "energy:x", "random:²"]
)
def test_other_selections_are_refused(text):
    with pytest.raises(InputError, match=rf"--select: expected all, center.*got '{text}'"):
        Selection.parse(text)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 1000, 3 * RATE])
def test_a_clip_no_longer_than_a_window_gives_one_window(rule, n):
    starts = select(np.random.default_rng(0).normal(size=n).astype(np.float32), RATE, 3.0, Selection.parse(rule), 7)
    assert starts.tolist() == [0] and starts.dtype == np.int64


@given(n=st.integers(1, 4 * RATE), rule=st.sampled_from(RULES), seed=st.integers(0, 2**32))
def test_starts_are_sorted_distinct_inside_and_repeatable(n, rule, seed):
    waveform = np.random.default_rng(n).normal(size=n).astype(np.float32)
    selection = Selection.parse(rule)
    starts = select(waveform, RATE, 1.0, selection, seed)
    assert len(starts) and starts[0] >= 0 and (np.diff(starts) > 0).all()
    if rule != "all":
        assert starts[-1] <= max(0, n - RATE) and len(starts) <= (selection.count or 1)
    np.testing.assert_array_equal(starts, select(waveform, RATE, 1.0, selection, seed))


def test_center_and_first():
    waveform = np.ones(10 * RATE, np.float32)
    assert select(waveform, RATE, 4.0, Selection.parse("center"), 0).tolist() == [3 * RATE]
    assert select(waveform, RATE, 4.0, Selection.parse("first"), 0).tolist() == [0]


def test_random_windows_are_as_many_as_there_is_room_for_and_differ_by_seed():
    waveform = np.ones(10 * RATE, np.float32)
    draws = {tuple(select(waveform, RATE, 4.0, Selection.parse("random:3"), seed).tolist()) for seed in range(20)}
    assert len(draws) == 20 and all(len(set(draw)) == 3 for draw in draws)
    assert select(np.ones(RATE + 1, np.float32), RATE, 1.0, Selection.parse("random:5"), 0).tolist() == [0, 1]


def test_random_starts_are_uniform():
    waveform = np.ones(3 * RATE, np.float32)
    starts = np.concatenate([select(waveform, RATE, 1.0, Selection.parse("random:1"), seed) for seed in range(2000)])
    assert abs(starts.mean() / (2 * RATE) - 0.5) < 4 / np.sqrt(12 * 2000)  # 4 standard errors


def test_energy_windows_are_centred_on_the_calls():
    waveform = calls([4.0, 11.0, 17.0], 20)
    starts = select(waveform, 16_000, 2.0, Selection.parse("energy:3"), 0)
    np.testing.assert_allclose(starts / 16_000 + 1.0, [4.0, 11.0, 17.0], atol=0.25)


def test_energy_prefers_the_strongest_and_stays_inside_the_recording():
    waveform = calls([0.3, 6.0], 10)
    waveform[:16_000] *= 3  # the first call is the louder one, and nearer to the edge than half a window
    assert select(waveform, 16_000, 4.0, Selection.parse("energy:1"), 0).tolist() == [0]


def test_energy_finds_calls_across_the_minutes_of_a_long_recording():
    times = [30.0, 60.2, 100.0, 119.8]  # two of them where the search is cut into minutes
    starts = select(calls(times, 150), 16_000, 2.0, Selection.parse("energy:4"), 0)
    np.testing.assert_allclose(starts / 16_000 + 1.0, times, atol=0.25)


@pytest.mark.parametrize("rate", [2_000, 22_050, 44_100, 96_000])
def test_energy_at_any_rate(rate):
    time = np.arange(6 * rate) / rate
    waveform = 0.001 * np.random.default_rng(0).normal(size=len(time))
    waveform += 0.3 * np.exp(-(((time - 4) / 0.2) ** 2)) * np.sin(2 * np.pi * 500 * time)
    starts = select(waveform.astype(np.float32), rate, 1.0, Selection.parse("energy:1"), 0)
    assert abs(starts[0] / rate + 0.5 - 4.0) < 0.25


@pytest.mark.parametrize("waveform", [np.zeros(4 * RATE), np.full(4 * RATE, 0.3), np.eye(1, 4 * RATE, 100)[0]])
def test_without_a_peak_the_window_with_the_highest_energy_is_taken(waveform):
    waveform = waveform.astype(np.float32)
    starts = select(waveform, RATE, 1.0, Selection.parse("energy:5"), 0)
    assert len(starts) >= 1
    energy = np.square(cut(waveform, starts, RATE)).sum()
    best = max(np.square(waveform[i : i + RATE]).sum() for i in range(0, 3 * RATE + 1, 80))
    assert energy >= 0.999 * best


def test_peak_normalisation_as_perch_hoplite():
    windows = np.random.default_rng(0).normal(3, 2, (4, 500)).astype(np.float32)
    windows[2] = 0.7  # a constant window has no peak to scale
    scaled = normalise_windows(windows, "peak")
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(np.abs(scaled).max(axis=1), [0.25, 0.25, 0, 0.25], atol=1e-6)


def test_file_peak_normalisation():
    waveform = np.array([0.1, -0.4, 0.2], np.float32)
    np.testing.assert_allclose(normalise_file(waveform, "file-peak"), [0.25, -1, 0.5], atol=1e-7)
    np.testing.assert_array_equal(normalise_file(np.zeros(3, np.float32), "file-peak"), 0)
    assert normalise_file(waveform, "file-peak").dtype == np.float32


@pytest.mark.parametrize(
    "rule, file_changes, windows_change", [(NORMALISATIONS[0], 0, 0), ("peak", 0, 1), ("file-peak", 1, 0)]
)
def test_each_rule_works_in_one_place(rule, file_changes, windows_change):
    windows = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    assert np.array_equal(normalise_file(windows[0], rule), windows[0]) == (not file_changes)
    assert np.array_equal(normalise_windows(windows, rule), windows) == (not windows_change)


def test_an_unknown_normalisation_is_refused():
    for normalise in (normalise_file, normalise_windows):
        with pytest.raises(InputError, match=r"--normalise: expected one of none, peak, file-peak.*got 'loud'"):
            normalise(np.ones((1, 5), np.float32), "loud")


@given(n=st.integers(1, 5000), window=st.integers(100, 700), hop=st.integers(1, 900))
def test_overlapping_windows_end_with_the_first_that_reaches_the_end(n, window, hop):
    starts = grid(n, window, hop)
    assert starts[0] == 0 and (np.diff(starts) == hop).all() and starts[-1] < n
    if hop <= window:
        assert len(starts) == 1 or starts[-2] + window < n
        assert starts[-1] + window > n - 0.01 * window


def test_hops_and_overlaps_are_one_thing_in_the_key():
    assert str(Selection.parse("all", overlap=0.5).spaced(5.0)) == "all:hop=2.5"
    assert Selection.parse("all:hop=2.5") == Selection.parse("all", hop_s=2.5)
    assert str(Selection.parse("all:overlap=0.25")) == "all:overlap=0.25"
    assert (
        str(Selection.parse("all", hop_s=3.0).spaced(3.0))
        == str(Selection.parse("all", overlap=0).spaced(3.0))
        == "all"
    )
    waveform = np.ones(10 * RATE, np.float32)
    starts = select(waveform, RATE, 5.0, Selection.parse("all", overlap=0.5))
    assert (starts / RATE).tolist() == [0.0, 2.5, 5.0]


@pytest.mark.parametrize(
    ("text", "hop", "overlap", "message"),
    [
        ("first", 2.0, None, "--hop and --overlap space the windows of `--select all`"),
        ("all", 2.0, 0.5, "either --hop SECONDS or --overlap PART"),
        ("all:hop=x", None, None, "either --hop"),
        ("all:stride=2", None, None, "either --hop"),
        ("all:hop", None, None, "--select: expected all, center"),
        ("all:hop=2", 3.0, None, "either --hop"),
        ("all", 0.0, None, "--hop: expected seconds above 0"),
        ("all", None, 1.0, "--overlap: expected a part"),
    ],
)
def test_spacings_that_cannot_work(text, hop, overlap, message):
    with pytest.raises(InputError, match=message):
        Selection.parse(text, hop, overlap)
