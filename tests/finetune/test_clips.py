"""Examples: determinism under restarts, threads and memory; windows, targets, faults, validation."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from birdprobe.features import InputError
from birdprobe.features.audio import read
from birdprobe.features.recordings import Clip
from birdprobe.features.windows import grid
from birdprobe.finetune.data import waveforms
from birdprobe.finetune.data.clips import Clips, clip_means
from birdprobe.finetune.data.energy_peaks import peaks_file
from birdprobe.finetune.data.waveforms import Waveforms

RATE, WINDOW_S, SAMPLES = 8000, 0.5, 4000


def write(folder: Path, name: str, seconds: float, rate: int = RATE, seed: int = 0, channels: int = 1) -> Path:
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    wave = 0.2 * np.sin(2 * np.pi * (300 + 70 * seed) * np.arange(n) / rate)[:, None] + 0.05 * rng.standard_normal(
        (n, channels)
    )
    soundfile.write(folder / name, wave.astype(np.float32), rate)
    return folder / name


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Clip, ...]:
    """Twelve clips of 0.3 to 2.5 s: three species, formats and rates; some with a second label, one a piece."""
    folder = tmp_path_factory.mktemp("clips")
    made = []
    for i in range(12):
        suffix, rate = ("wav", "flac", "ogg")[i % 3], (RATE, RATE, RATE, 11025)[i % 4]
        path = write(folder, f"{i}.{suffix}", 0.3 + 0.2 * i, rate, seed=i, channels=1 + i % 2)
        labels = (f"s{i % 3}", "s9") if i % 5 == 0 else (f"s{i % 3}",)
        piece = {"start_s": 0.7, "end_s": 1.9} if i == 10 else {}
        made.append(Clip(path, path.name, labels, **piece))
    return tuple(made)


def dataset(clips, labels=("s0", "s1", "s2", "s9"), **options) -> Clips:
    options = {"sample_rate": RATE, "window_s": WINDOW_S, "cache_bytes": 0, "workers": 2} | options
    return Clips(clips, labels, **options)


def epoch_of(data: Clips, *args, **options) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(data.batches(*args, **options))


def same(a, b) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for one, two in zip(a, b) for x, y in zip(one, two))


@pytest.mark.parametrize("selection", ["random", "energy"])
def test_an_epoch_depends_on_seed_and_number_alone(clips, selection):
    first = epoch_of(dataset(clips, selection=selection), 3, 4, seed=7)
    for options in ({"workers": 1}, {"workers": 8}, {"cache_bytes": 1 << 30}, {"cache_bytes": 60_000}):
        assert same(first, epoch_of(dataset(clips, selection=selection, **options), 3, 4, seed=7)), options
    used = dataset(clips, selection=selection)
    for epoch in range(3):  # what came before does not matter
        epoch_of(used, epoch, 4, seed=7)
    assert same(first, epoch_of(used, 3, 4, seed=7))
    assert not same(first, epoch_of(used, 4, 4, seed=7))
    assert not same(first, epoch_of(used, 3, 4, seed=8))


@pytest.mark.parametrize("start", [1, 2, 3])
def test_a_restarted_epoch_goes_on_at_its_step(clips, start):
    whole = epoch_of(dataset(clips), 5, 4, seed=0)
    assert len(whole) == 3 == dataset(clips).steps(4)
    assert same(whole[start:], epoch_of(dataset(clips), 5, 4, 0, start_step=start))


def test_every_clip_comes_once_an_epoch_with_its_own_targets(clips):
    data = dataset(clips)
    order = data.order(2, seed=1)
    assert sorted(order) == list(range(12))
    assert list(order) != list(data.order(3, seed=1))
    targets = torch.cat([t for _, t in data.batches(2, 4, seed=1)])
    assert torch.equal(targets, torch.from_numpy(data.targets[order]))
    assert targets[list(order).index(10)].tolist() == [0, 1, 0, 1]  # s1 and, secondary, s9


def test_processes_share_a_batch(clips):
    whole = epoch_of(dataset(clips), 0, 4, seed=0)
    shares = [epoch_of(dataset(clips), 0, 4, seed=0, share=(p, 2)) for p in (0, 1)]
    for step, (x, y) in enumerate(whole):
        assert torch.equal(torch.stack([shares[0][step][0], shares[1][step][0]], dim=1).flatten(0, 1), x)
        assert torch.equal(torch.stack([shares[0][step][1], shares[1][step][1]], dim=1).flatten(0, 1), y)
    with pytest.raises(InputError, match="expected a row for each of 2 processes, got 1"):
        epoch_of(dataset(clips), 0, 1, seed=0, share=(0, 2))


def test_incomplete_batches_wait_unless_there_is_no_other(clips):
    assert [len(x) for x, _ in dataset(clips).batches(0, 5, seed=0)] == [5, 5]
    assert [len(x) for x, _ in dataset(clips).batches(0, 50, seed=0)] == [12]


@pytest.mark.parametrize("selection", ["random", "energy"])
def test_windows_are_cut_from_the_recording_and_padded_at_its_end(clips, selection):
    data = dataset(clips, selection=selection)
    for epoch in range(3):
        windows = torch.cat([x for x, _ in data.batches(epoch, 4, seed=0)]).numpy()
        assert windows.shape == (12, SAMPLES)
        assert windows.dtype == np.float32
        for i, window in zip(data.order(epoch, 0), windows):
            clip = clips[i]
            whole = read(clip.path, RATE, start_s=clip.start_s, end_s=clip.end_s)
            padded = np.pad(whole, (0, max(0, SAMPLES - len(whole))))
            every = np.lib.stride_tricks.sliding_window_view(padded, SAMPLES)
            assert (every == window).all(axis=1).any(), clip.name


def test_random_offsets_are_uniform_over_the_recording(tmp_path):
    ramp = np.linspace(-0.9, 0.9, 3 * RATE, dtype=np.float32)  # the first sample of a window tells its start
    soundfile.write(tmp_path / "ramp.wav", ramp, RATE, subtype="FLOAT")
    data = dataset([Clip(tmp_path / "ramp.wav", "ramp.wav", ("s0",))])
    first = [next(iter(data.batches(e, 1, seed=0)))[0][0, 0].item() for e in range(300)]
    starts = (np.array(first) + 0.9) / 1.8 * (3 * RATE - 1)
    room = 3 * RATE - SAMPLES
    assert starts.min() >= -0.01
    assert starts.max() <= room + 0.01
    counts = np.histogram(starts, bins=5, range=(0, room))[0]
    assert counts.min() > 35  # 60 expected, standard deviation 7


def test_energy_selection_finds_the_song(tmp_path):
    rng = np.random.default_rng(0)
    wave = 0.003 * rng.standard_normal(20 * RATE)
    song = slice(14 * RATE, 15 * RATE)
    wave[song] += 0.5 * np.sin(2 * np.pi * 1500 * np.arange(RATE) / RATE) * np.hanning(RATE)
    soundfile.write(tmp_path / "song.flac", wave, RATE)
    clip = Clip(tmp_path / "song.flac", "song.flac", ("s0",))
    heard = {}
    for selection in ("random", "energy"):  # the noise has a peak too, and a random window the song now and then
        data = dataset([clip], selection=selection, window_s=2.0)
        powers = [next(iter(data.batches(e, 1, seed=0)))[0].square().mean().item() for e in range(40)]
        heard[selection] = np.mean(np.array(powers) > 0.01)
    assert heard["random"] < 0.25
    assert heard["energy"] > 0.4


def test_peaks_are_found_once_and_kept_in_a_file(clips, tmp_path, monkeypatch):
    path = tmp_path / "run" / "peaks.json"
    plain = dataset(clips, selection="energy")
    first = dataset(clips, selection="energy", peaks=path)
    wanted = [epoch_of(plain, epoch, 4, seed=0) for epoch in range(2)]
    assert same(epoch_of(first, 0, 4, seed=0), wanted[0])
    assert len(json.loads(path.read_text())["starts"]) == 12
    assert [file.name for file in path.parent.iterdir()] == ["peaks.json"]

    def refuse(*_):
        raise AssertionError("peaks sought again")

    with monkeypatch.context() as patched:
        patched.setattr(waveforms, "select", refuse)
        assert same(epoch_of(first, 1, 4, seed=0), wanted[1])
        restarted = dataset(clips, selection="energy", peaks=path)
        assert same(epoch_of(restarted, 1, 4, seed=0), wanted[1])
        with pytest.raises(AssertionError, match="sought again"):  # other windows have other peaks
            epoch_of(dataset(clips, selection="energy", peaks=path, window_s=0.4), 0, 4, seed=0)
    path.write_text("{")
    assert same(epoch_of(dataset(clips, selection="energy", peaks=path), 0, 4, seed=0), wanted[0])
    assert len(json.loads(path.read_text())["starts"]) == 12


def test_peaks_have_a_place_in_the_user_s_cache(tmp_path, monkeypatch):
    assert peaks_file(tmp_path, 32000, 160000) is None  # tests keep nothing
    monkeypatch.setenv("BIRDPROBE_CACHE", str(tmp_path / "cache"))
    places = [peaks_file(tmp_path / name, 32000, samples) for name, samples in (("a", 5), ("b", 5), ("a", 6))]
    assert len(set(places)) == 3 and {place.parent for place in places} == {tmp_path / "cache" / "energy-peaks"}


def test_folds_that_share_a_file_of_peaks_keep_each_others(clips, tmp_path):
    path = tmp_path / "peaks.json"
    one, two = (dataset(part, selection="energy", peaks=path) for part in (clips[:8], clips[4:]))
    for data in (one, two):
        epoch_of(data, 0, 4, seed=0)
    assert len(json.loads(path.read_text())["starts"]) == 12


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_piece_decoded_alone_equals_the_cut_from_the_whole(tmp_path, suffix):
    clip = Clip(write(tmp_path, f"a.{suffix}", 9.0, seed=3, channels=2), "a", ("s0",))
    kept, alone = Waveforms([clip], RATE), Waveforms([clip], RATE, cache_bytes=0)
    assert (kept.keeps, alone.keeps) == (1, 0)
    for seed in range(20):
        one, two = (w.random_window(0, SAMPLES, np.random.default_rng(seed)) for w in (kept, alone))
        assert np.array_equal(one, two)
    assert list(kept._kept) == [0]
    assert not alone._kept


def test_memory_holds_the_first_clips_that_fit(clips):
    seconds = [0.3 + 0.2 * i for i in range(12)]
    kept = Waveforms(clips, RATE, cache_bytes=int(4 * RATE * sum(seconds[:5])) + 100)
    assert kept.keeps == 5
    assert kept.whole(2) is kept.whole(2)
    assert kept.whole(8) is not kept.whole(8)
    assert Waveforms(clips, RATE, cache_bytes=4 * RATE * 1000).keeps == 12


def test_a_recording_that_is_silent_for_a_while_is_used_all_the_same(tmp_path):
    wave = np.zeros(4 * RATE, dtype=np.float32)
    wave[-2000:] = np.random.default_rng(0).standard_normal(2000) * 0.1
    soundfile.write(tmp_path / "late.wav", wave, RATE)
    data = dataset([Clip(tmp_path / "late.wav", "late.wav", ("s0",))])
    silent = [not next(iter(data.batches(e, 1, seed=0)))[0].any() for e in range(20)]
    assert any(silent)
    assert not data.skipped


def test_an_unreadable_clip_gives_its_place_to_the_next_and_is_named(clips, tmp_path):
    bad = tmp_path / "bad.ogg"
    bad.write_bytes(clips[11].path.read_bytes()[:3000])
    some = (clips[1], Clip(bad, "bad.ogg", ("s0",)), clips[2])
    data = dataset(some)
    targets = torch.cat([t for _, t in data.batches(0, 3, seed=0)])
    assert Counter(map(tuple, targets.tolist())) == {(0, 1, 0, 0): 1, (0, 0, 1, 0): 2}
    assert list(data.skipped) == ["bad.ogg"]
    assert "bad.ogg" in data.skipped["bad.ogg"]
    again = dataset(some)  # a restart has not seen the fault before
    epoch_of(data, 1, 3, seed=0)
    assert same(epoch_of(data, 2, 3, seed=0), epoch_of(again, 2, 3, seed=0))
    owners = torch.cat([owner for _, owner in data.held_out(4)])
    assert set(owners.tolist()) == {0, 2}


def test_nothing_readable_is_an_input_error(tmp_path):
    clip = Clip(tmp_path / "gone.wav", "gone.wav", ("s0",))
    with pytest.raises(InputError, match=r"none of 1 can be read; the first: .*gone.wav"):
        epoch_of(dataset([clip]), 0, 1, seed=0)
    with pytest.raises(InputError, match="none of 1 can be read"):
        list(dataset([clip]).held_out(1))


def test_validation_windows_are_the_grid_of_every_clip(clips):
    for cache_bytes in (0, 1 << 30):
        pieces = list(dataset(clips, cache_bytes=cache_bytes).held_out(5))
        assert [len(x) for x, _ in pieces[:-1]] == [5] * (len(pieces) - 1)
        windows, owners = (torch.cat(part) for part in zip(*pieces))
        for i, clip in enumerate(clips):
            whole = read(clip.path, RATE, start_s=clip.start_s, end_s=clip.end_s)
            starts = grid(len(whole), SAMPLES)
            mine = windows[owners == i].numpy()
            assert len(mine) == len(starts)
            for start, window in zip(starts, mine):
                piece = whole[start : start + SAMPLES]
                assert np.array_equal(window[: len(piece)], piece)
                assert not window[len(piece) :].any()


def test_clip_means_leave_out_clips_without_windows():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 0.0]])
    means, there = clip_means(values, torch.tensor([0, 0, 2]), 4)
    assert means.tolist() == [[2, 3], [10, 0]]
    assert there.tolist() == [0, 2]


def test_a_pool_of_backgrounds_is_seeded_and_fills_up_with_other_windows(clips):
    long = dataset([clip for clip in clips if clip.name in ("4.flac", "8.ogg")])
    pool = long.windows(6, epoch=1, seed=0)
    assert pool.shape == (6, SAMPLES)
    assert len(torch.unique(pool, dim=0)) == 6
    assert torch.equal(pool, dataset(long.clips).windows(6, epoch=1, seed=0))
    assert not torch.equal(pool, long.windows(6, epoch=2, seed=0))


def test_an_iterator_that_is_closed_early_leaves_no_thread(clips):
    import threading

    batches = dataset(clips, workers=4).batches(0, 2, seed=0)
    next(batches)
    assert any(thread.name.startswith("clips") for thread in threading.enumerate())
    batches.close()
    assert not any(thread.name.startswith("clips") for thread in threading.enumerate())


def test_faults_of_use_are_named(clips):
    with pytest.raises(InputError, match="clips: expected at least one, got none"):
        dataset([])
    with pytest.raises(InputError, match="`--selection` must be one of random, energy, got 'loud'"):
        dataset(clips, selection="loud")
    with pytest.raises(InputError, match=r"0.wav: expected one of the 3 classes, got label 's9'. Another taxonomy\?"):
        dataset(clips, labels=("s0", "s1", "s2"))


@pytest.mark.real
def test_real_clips_give_the_same_epoch_with_and_without_memory():
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "esc10"
    if not folder.is_dir():
        pytest.skip("no ../shared/data/esc10")
    from birdprobe.features.recordings import read_recordings

    clips = read_recordings(folder).clips[::25]
    labels = sorted({clip.label for clip in clips})
    for rate in (32_000, 44_100):  # resampled, and sought in
        one, two = (Clips(clips, labels, sample_rate=rate, window_s=2.0, cache_bytes=size) for size in (0, 1 << 30))
        assert same(epoch_of(one, 0, 8, seed=0), epoch_of(two, 0, 8, seed=0))
        assert not one.skipped
