"""Coloured noise: white noise whose spectrum is tilted."""

import torch
from torch import Tensor

from .draws import chosen, uniform
from .mixing import scale


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
