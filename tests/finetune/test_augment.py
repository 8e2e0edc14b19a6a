"""Augmentations do what their numbers say: probabilities, ranges, SNRs and spectra are measured on what comes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from birdprobe.finetune.data.augment import Augment, spectrogram, waveform
from birdprobe.finetune.data.augment.order import mask
from birdprobe.finetune.data.augment.waveforms import (
    _copied,
    _gathered,
    background,
    beta_gain,
    coloured,
    gain,
    mixup,
    rms,
    roll,
    tilt,
    without_call,
)

ALL = Augment()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(n, samples, seed=0):
    return torch.randn(n, samples, generator=seeded(seed)) * 0.1


def tones(n, samples=4096):
    """[n, samples], row i a whole number of periods, 10 + i: orthogonal to all others however it is shifted."""
    at = torch.arange(samples, dtype=torch.float64) / samples
    level = torch.linspace(0.02, 0.5, n, dtype=torch.float64)[:, None]
    return (level * torch.sin(2 * torch.pi * (10 + torch.arange(n))[:, None] * at)).float()


def uniform(values, low, high):
    """These draws may well be U(low, high): in range, and Kolmogorov-Smirnov does not object."""
    values = np.asarray(values)
    assert values.min() > low - 1e-2 and values.max() < high + 1e-2
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def likely(count, n, p):
    """count of n is what probability p gives, to five standard deviations."""
    return abs(count - n * p) <= 5 * np.sqrt(n * p * (1 - p))


def decibels(ratio):
    return 20 * torch.log10(ratio)


def test_the_same_seed_gives_the_same_batch():
    batch, targets = noise(8, 2000), torch.eye(8)
    before, pool = batch.clone(), noise(3, 5000, 1)
    first, labels = waveform(batch, targets, ALL, seeded(7), pool, pool)
    again, labels_again = waveform(batch, targets, ALL, seeded(7), pool, pool)
    other, _ = waveform(batch, targets, ALL, seeded(8), pool, pool)
    assert torch.equal(first, again) and torch.equal(labels, labels_again) and not torch.equal(first, other)
    assert torch.equal(batch, before) and torch.equal(targets, torch.eye(8))  # the arguments stay
    raw = noise(8, 498 * 128).view(8, 498, 128)
    kept = raw.clone()
    assert torch.equal(spectrogram(raw, ALL, seeded(7)), spectrogram(raw, ALL, seeded(7))) and torch.equal(raw, kept)


def test_none_is_the_identity():
    batch, targets, pool = noise(8, 2000) + 0.1, torch.eye(8), noise(3, 5000, 1)
    same, labels = waveform(batch, targets, Augment.none(), seeded(), pool, pool)
    assert torch.equal(same, batch) and torch.equal(labels, targets)
    raw = noise(8, 498 * 128).view(8, 498, 128)
    assert torch.equal(spectrogram(raw, Augment.none(), seeded()), raw)


N = 3000
STEPS = {
    "roll": lambda x, y, p: roll(x, p, seeded()),
    "mixup": lambda x, y, p: mixup(x, y, p, (1, 3), (2.0, 30.0), seeded())[0],
    "background": lambda x, y, p: background(x, noise(5, 200, 1), p, (3.0, 30.0), seeded()),
    "noise": lambda x, y, p: coloured(x, p, (3.0, 30.0), (-2.0, 2.0), 32000, seeded()),
    "gain": lambda x, y, p: gain(x, p, (-18.0, 6.0), seeded()),
    "no call": lambda x, y, p: without_call(x, y, noise(5, 200, 1), p, seeded())[0],
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("p", [0.0, 0.2, 0.9, 1.0])
def test_each_step_happens_as_often_as_it_should(name, p):
    batch = noise(N, 64)
    changed = (STEPS[name](batch, torch.zeros(N, 2), p) != batch).any(dim=1)
    assert likely(int(changed.sum()), N, p * (63 / 64 if name == "roll" else 1))  # one offset of 64 is none


@pytest.mark.parametrize("name", STEPS)
def test_a_small_batch_passes_whatever_is_drawn(name):
    for n in (1, 2):
        assert torch.isfinite(STEPS[name](noise(n, 64), torch.zeros(n, 2), 0.2)).all()


def test_roll_is_cyclic_and_its_offset_uniform():
    ramp = torch.arange(1000.0).repeat(2000, 1)
    rolled = roll(ramp, 1.0, seeded())
    assert torch.equal(rolled.sort(dim=1).values, ramp)
    assert ((rolled.diff(dim=1) == 1).sum(dim=1) >= 998).all()
    assert uniform(rolled[:, 0] / 1000, 0, 1)


@pytest.mark.parametrize(("length", "samples"), [(50, 50), (50, 20), (7, 40), (1, 5)])
def test_a_shift_starts_over_at_the_end(length, samples):
    clips, rows = noise(4, length), torch.tensor([3, 0, 0, 2, 1, 3])
    offsets = torch.randint(0, length, (6,), generator=seeded())
    expected = np.stack([np.take(clips[r], np.arange(o, o + samples), mode="wrap") for r, o in zip(rows, offsets)])
    for way in (_copied, _gathered):  # a CPU's and a GPU's
        assert np.array_equal(way(clips, rows, offsets, samples), expected)


def test_gains_are_drawn_as_published():
    factors = beta_gain(torch.ones(4000, 1), 10, seeded())[:, 0] - 0.5
    assert stats.kstest(factors.numpy(), stats.beta(10, 10).cdf).pvalue > 1e-3
    assert torch.equal(beta_gain(torch.ones(4, 3), 0, seeded()), torch.ones(4, 3))
    assert uniform(decibels(gain(torch.ones(4000, 1), 1.0, (-18.0, 6.0), seeded())[:, 0]), -18, 6)


def test_mixup_adds_partners_at_their_snr_and_unites_labels():
    n = 600
    batch = tones(n)
    mixed, union = mixup(batch, torch.eye(n), 0.9, (1, 3), (2.0, 30.0), seeded())
    amplitude = torch.fft.rfft(mixed.double()).abs()[:, 10 : 10 + n] / 2048  # [row, whose tone]
    own, heard = amplitude.diagonal(), amplitude > 1e-4
    torch.testing.assert_close(own, torch.linspace(0.02, 0.5, n, dtype=torch.float64), rtol=1e-3, atol=0)
    assert torch.equal(union > 0, heard) and union.max() == 1  # labels: whoever is heard, and nobody else
    partners = heard.sum(dim=1) - 1
    assert likely(int((partners > 0).sum()), n, 0.9)
    assert partners.max() == 3 and all(likely(int((partners == k).sum()), n, 0.3) for k in (1, 2, 3))
    row, other = (heard & ~torch.eye(n, dtype=torch.bool)).nonzero(as_tuple=True)
    assert uniform(decibels(own[row] / amplitude[row, other]), 2, 30)
    assert uniform(((other - row) % n) / n, 0, 1)


def test_mixup_rolls_its_partners():
    batch = torch.zeros(400, 100)
    batch[:, 0] = 1.0  # a click at the start
    mixed, _ = mixup(batch, torch.zeros(400, 1), 1.0, (1, 1), (2.0, 2.0), seeded())
    assert uniform((mixed - batch).argmax(dim=1) / 100, 0, 1)


def test_silence_mixes_with_nothing():
    batch, targets = torch.cat([torch.zeros(1, 500), noise(1, 500)]), torch.eye(2)
    mixed, union = mixup(batch, targets, 1.0, (1, 3), (2.0, 30.0), seeded())
    assert torch.equal(mixed, batch) and torch.equal(union, targets)
    assert torch.equal(background(batch[1:], torch.zeros(2, 500), 1.0, (3.0, 30.0), seeded()), batch[1:])
    loud = coloured(batch, 1.0, (3.0, 3.0), (0.0, 0.0), 32000, seeded())
    assert torch.equal(loud[0], batch[0]) and not torch.equal(loud[1], batch[1])


def test_alone_in_its_batch_an_example_has_no_partner():
    batch, targets = noise(1, 500), torch.ones(1, 2)
    mixed, union = mixup(batch, targets, 1.0, (1, 3), (2.0, 30.0), seeded())
    assert torch.equal(mixed, batch) and torch.equal(union, targets)


@pytest.mark.parametrize("length", [300, 1000, 5000])
def test_background_lies_at_its_snr(length):
    batch, pool = noise(1500, 1000), 30 * noise(7, length, 1)
    added = background(batch, pool, 1.0, (3.0, 30.0), seeded()) - batch
    assert uniform(decibels(rms(batch) / rms(added)), 3, 30)
    # what was added is a cut of the pool: its first samples stand in one of the clips, one after the other
    unit = added[0, :50] / added[0, :50].norm()
    cuts = torch.cat([pool, pool[:, :49]], dim=1).unfold(1, 50, 1)
    assert float((cuts @ unit / cuts.norm(dim=2)).max()) > 0.999


@pytest.mark.parametrize("slope", [-2.0, -0.5, 0.0, 1.0, 2.0])
def test_coloured_noise_has_its_snr_and_its_slope(slope):
    batch = noise(64, 32000)
    added = coloured(batch, 1.0, (0.0, 0.0), (slope, slope), 32000, seeded()) - batch
    torch.testing.assert_close(decibels(rms(batch) / rms(added)), torch.zeros(64), atol=0.02, rtol=0)
    power = torch.fft.rfft(added.double()).abs().square().mean(dim=0)[1:-1]
    hz = np.arange(1, 16000)
    fit = np.polyfit(np.log(1 + (np.sqrt(16000) - 1) * hz / 16000), np.log(power.numpy()) / 2, 1)
    assert fit[0] == pytest.approx(-slope, abs=0.02)


def test_slope_one_falls_by_six_decibels_an_octave():
    (amplitude,) = tilt(32000, 32000, torch.tensor([1.0]))
    assert float(decibels(amplitude[8000] / amplitude[4000])) == pytest.approx(-6.02, abs=0.15)
    assert float(decibels(amplitude[20] / amplitude[10])) > -1  # level below some 100 Hz


def test_coloured_noise_draws_snr_and_slope_over_their_ranges():
    batch = noise(2000, 512)
    added = coloured(batch, 1.0, (3.0, 30.0), (-2.0, 2.0), 32000, seeded()) - batch
    assert uniform(decibels(rms(batch) / rms(added)), 3, 30)
    assert (rms(added.diff(dim=1)) / rms(added)).quantile(0.1) < 0.3  # some rumble, some hiss
    assert (rms(added.diff(dim=1)) / rms(added)).quantile(0.9) > 1.7


def test_no_call_replaces_sound_and_labels():
    batch, pool = noise(2000, 100), torch.full((3, 150), 0.5)
    replaced, targets = without_call(batch, torch.ones(2000, 4), pool, 0.075, seeded())
    gone = (replaced == 0.5).all(dim=1)
    assert likely(int(gone.sum()), 2000, 0.075)
    assert torch.equal(targets, (~gone).float()[:, None].repeat(1, 4)) and torch.equal(replaced[~gone], batch[~gone])


@pytest.mark.parametrize(("axis", "widest"), [(2, 50), (1, 100), (2, 1000)])
def test_masks_are_one_stretch_of_drawn_width(axis, widest):
    raw = torch.full((3000, 120, 128), -7.0)
    hidden = mask(raw, axis, 0.3, widest, 0.0, seeded()) == 0.0
    other = 3 - axis
    line = hidden.any(dim=other)
    assert torch.equal(hidden, line.unsqueeze(other).expand_as(hidden))  # the whole band, the whole stretch
    width = line.sum(dim=1)
    size = raw.shape[axis]
    assert (line.diff(dim=1).sum(dim=1) <= 2).all() and width.max() == min(widest, size)
    share = min(widest, size) / (min(widest, size) + 1)  # a width of 0 hides nothing
    assert likely(int((width > 0).sum()), 3000, 0.3 * share)
    assert uniform((width[width > 0] - 0.5) / min(widest, size), 0, 1)
    assert line[:, 0].any() and line[:, -1].any()
    none = ~(mask(raw, axis, 1.0, 9, 0.0, seeded()) == 0.0).any(dim=(1, 2))
    assert likely(int(none.sum()), 3000, 1 / 10)  # widths from 0 on


def test_masks_write_zero_into_the_raw_log_mel():
    raw = torch.full((400, 498, 128), -9.0)
    masked = spectrogram(raw, Augment(frequency_p=1.0, time_p=1.0), seeded())
    assert masked.unique().tolist() == [-9.0, 0.0]
    assert (masked == 0).all(dim=1).sum(dim=1).max() == 50 and (masked == 0).all(dim=2).sum(dim=1).max() <= 100
    assert spectrogram(raw, Augment(time_p=1.0, mask_value=-3.0), seeded()).unique().tolist() == [-9.0, -3.0]


def test_without_a_pool_a_step_is_left_out_and_said():
    assert ALL.idle(background=True, nocall=True) == ()
    said = " ".join(ALL.idle(background=False, nocall=False))
    assert "Background noise (p 0.5) is off" in said and "No-call mixing (p 0.075) is off" in said
    only = replace(Augment.none(), background_p=1.0, nocall_p=1.0)
    batch = noise(4, 100)
    assert torch.equal(waveform(batch, torch.eye(4), only, seeded())[0], batch)


def test_the_mean_is_removed():
    config = replace(Augment.none(), remove_mean=True)
    centred, _ = waveform(noise(4, 1000) + 0.3, torch.eye(4), config, seeded())
    assert float(centred.mean(dim=1).abs().max()) < 1e-6
