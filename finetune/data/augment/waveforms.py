"""Augmentations of waveforms [N, S]: shifts and levels, what is added at a signal-to-noise ratio, coloured noise.

SNR = 20 log10(rms(example) / rms(what is added)), over the whole window. Silence has no SNR: a silent example, and a
silent addition, leave waveform and labels as they are.
"""

import torch
from torch import Tensor

from .draws import beta, chosen, integers, uniform

SILENCE = 1e-8  # rms under which there is nothing to scale


def cyclic(clips: Tensor, rows: Tensor, offsets: Tensor, samples: int) -> Tensor:
    """[len(rows), samples]: row by row a clip of [M, P] from its offset on, starting over at its end."""
    offsets = offsets % clips.shape[1]
    return (_copied if clips.device.type == "cpu" else _gathered)(clips, rows, offsets, samples)


def _copied(clips: Tensor, rows: Tensor, offsets: Tensor, samples: int) -> Tensor:
    """Two copies of memory a row, mostly: on a CPU twenty times faster than indexing every sample."""
    out = clips.new_empty((len(rows), samples))
    for line, row, start in zip(out, rows.tolist(), offsets.tolist()):
        done = 0
        while done < samples:
            piece = clips[row, start : start + samples - done]
            line[done : done + len(piece)] = piece
            done, start = done + len(piece), 0
    return out


def _gathered(clips: Tensor, rows: Tensor, offsets: Tensor, samples: int) -> Tensor:
    """One kernel for all rows, on a GPU."""
    device = clips.device
    at = (offsets.to(device)[:, None] + torch.arange(samples, device=device)) % clips.shape[1]
    return clips[rows.to(device)[:, None], at]


def roll(batch: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """With probability p, shifted cyclically by a uniform offset."""
    n, samples = batch.shape
    rows = chosen(n, p, generator)
    offsets = integers((n,), 0, samples - 1, generator)[rows]
    rolled = cyclic(batch, rows, offsets, samples)
    return batch.index_copy(0, rows.to(batch.device), rolled)


def beta_gain(batch: Tensor, a: int, generator: torch.Generator) -> Tensor:
    """Every example times 0.5 + Beta(a, a): from 0.5 to 1.5, mean 1. a = 0 leaves the batch as it is."""
    if a == 0:
        return batch
    return batch * (0.5 + beta(len(batch), a, generator)).to(batch.device)[:, None]


def gain(batch: Tensor, p: float, gain_db: tuple[float, float], generator: torch.Generator) -> Tensor:
    """With probability p, times a factor of U(gain_db) dB."""
    n = len(batch)
    factor = torch.ones(n, device=generator.device)
    rows = chosen(n, p, generator)
    factor[rows] = 10 ** (uniform((n,), *gain_db, generator)[rows] / 20)
    return batch * factor.to(batch.device)[:, None]


def rms(waveform: Tensor) -> Tensor:
    """[N, S] -> [N]."""
    return waveform.square().mean(dim=1).sqrt()


def scale(signal: Tensor, added: Tensor, snr_db: Tensor) -> Tensor:
    """Factors [n] that bring `added` [n, S] to snr_db [n] under `signal` [n, S]; 0 where either is silent."""
    loud, noise = rms(signal), rms(added)
    factor = loud / noise.clamp(min=SILENCE) * 10 ** (-snr_db.to(loud.device) / 20)
    return torch.where((loud > SILENCE) & (noise > SILENCE), factor, 0.0)


def mixup(
    batch: Tensor,
    targets: Tensor,
    p: float,
    partners: tuple[int, int],
    snr_db: tuple[float, float],
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """With probability p, `partners` other examples of the batch are added, each rolled and at its own SNR.

    batch [N, S], targets [N, K] in [0, 1]. The number of partners is uniform over the range, no partner comes twice or
    is the example itself (a batch of n examples has n - 1 partners to give), SNRs are U(snr_db) against the example
    before anything was added, and the labels are the union.
    """
    n, samples = batch.shape
    mixed, union = batch.clone(), targets.clone()
    rows = chosen(n, p, generator)
    count = integers((n,), *partners, generator)[rows]
    # the order of random numbers is a random order: the first of them are partners drawn without replacement
    order = torch.rand((n, max(n - 1, 0)), generator=generator, device=generator.device).argsort(dim=1)
    for slot in range(min(partners[1], n - 1)):
        offsets, snr = integers((n,), 0, samples - 1, generator), uniform((n,), *snr_db, generator)
        at = rows[count > slot]
        other = (at + 1 + order[at, slot]) % n
        added = cyclic(batch, other, offsets[at], samples)
        at, other, snr = at.to(batch.device), other.to(batch.device), snr[at]
        factor = scale(batch[at], added, snr)
        mixed.index_add_(0, at, added * factor[:, None])
        present = (factor > 0).to(targets.dtype)[:, None]
        union[at] = torch.maximum(union[at], targets[other] * present)
    return mixed, union


def background(
    batch: Tensor, pool: Tensor, p: float, snr_db: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """With probability p, a clip of the pool [M, P] is added, from a random sample on (cyclic), at U(snr_db)."""
    n = len(batch)
    rows = chosen(n, p, generator)
    added, snr = _cuts(pool, n, batch.shape[1], rows, generator), uniform((n,), *snr_db, generator)[rows]
    rows, added = rows.to(batch.device), added.to(batch)
    return batch.index_add(0, rows, added * scale(batch[rows], added, snr)[:, None])


def without_call(
    batch: Tensor, targets: Tensor, clips: Tensor, p: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """With probability p, the example becomes a cut of a clip without birds [M, P], and its labels all zero."""
    rows = chosen(len(batch), p, generator)
    cuts = _cuts(clips, len(batch), batch.shape[1], rows, generator).to(batch)
    return batch.index_copy(0, rows.to(batch.device), cuts), targets.index_fill(0, rows.to(targets.device), 0.0)


def _cuts(clips: Tensor, n: int, samples: int, rows: Tensor, generator: torch.Generator) -> Tensor:
    which, offsets = integers((n,), 0, len(clips) - 1, generator), integers((n,), 0, clips.shape[1] - 1, generator)
    return cyclic(clips, which[rows], offsets[rows], samples)


def tilt(samples: int, sample_rate: int, slope: Tensor) -> Tensor:
    """Amplitude factors [n, samples // 2 + 1] over frequency: (1 + (sqrt(F) - 1) f / F) ** -slope, F = Nyquist in Hz.

    The rule of torch-audiomentations' coloured noise, which the published recipe used: amplitude falls as f ** -slope
    above some 100 Hz and is level below, so slope 1 is -6 dB an octave, -2 is +12.
    """
    nyquist = sample_rate / 2
    share = torch.fft.rfftfreq(samples, device=slope.device) * 2  # f / F
    return (1 + (nyquist**0.5 - 1) * share)[None] ** -slope[:, None]


def coloured(
    batch: Tensor,
    p: float,
    snr_db: tuple[float, float],
    slope: tuple[float, float],
    sample_rate: int,
    generator: torch.Generator,
) -> Tensor:
    """With probability p, Gaussian noise of a tilt of U(slope) is added to [N, S] at an SNR of U(snr_db)."""
    n, samples = batch.shape
    rows = chosen(n, p, generator)
    if not len(rows):  # the CPU's FFT refuses an empty batch
        return batch
    snr, slopes = uniform((n,), *snr_db, generator)[rows], uniform((n,), *slope, generator)[rows].to(batch.device)
    white = torch.randn((len(rows), samples), generator=generator, device=generator.device).to(batch.device)
    noise = torch.fft.irfft(torch.fft.rfft(white) * tilt(samples, sample_rate, slopes), n=samples)
    rows = rows.to(batch.device)
    return batch.index_add(0, rows, noise * scale(batch[rows], noise, snr)[:, None])
