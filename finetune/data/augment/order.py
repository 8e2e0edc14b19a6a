"""The augmentations in their published order, over a batch of waveforms and over its raw log-mel."""

import torch
from torch import Tensor

from .configuration import Augment
from .draws import integers
from .waveforms import background, beta_gain, coloured, gain, mixup, roll, without_call

SAMPLE_RATE = 32000  # Hz, of every member


@torch.no_grad()
def waveform(
    batch: Tensor,
    targets: Tensor,
    config: Augment,
    generator: torch.Generator,
    pool: Tensor | None = None,
    nocall: Tensor | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> tuple[Tensor, Tensor]:
    """Augmented (batch float32 [N, S], targets float32 [N, K]) on the batch's device; the arguments stay as they are.

    pool: background clips [M, P] of any length; nocall: clips without birds [M, P]. Without one of them its step
    is left out (Augment.idle says so). The same generator state gives the same result.
    """
    c = config
    if c.remove_mean:
        batch = batch - batch.mean(dim=1, keepdim=True)
    if c.roll_p > 0:
        batch = roll(batch, c.roll_p, generator)
    batch = beta_gain(batch, c.roll_gain, generator)
    if c.mixup_p > 0:
        batch, targets = mixup(batch, targets, c.mixup_p, c.mixup_partners, c.mixup_snr_db, generator)
    if c.background_p > 0 and pool is not None:
        batch = background(batch, pool, c.background_p, c.background_snr_db, generator)
    if c.noise_p > 0:
        batch = coloured(batch, c.noise_p, c.noise_snr_db, c.noise_slope, sample_rate, generator)
    if c.gain_p > 0:
        batch = gain(batch, c.gain_p, c.gain_db, generator)
    if c.nocall_p > 0 and nocall is not None:
        batch, targets = without_call(batch, targets, nocall, c.nocall_p, generator)
    return batch, targets


@torch.no_grad()
def spectrogram(raw: Tensor, config: Augment, generator: torch.Generator) -> Tensor:
    """A front end's raw [N, T, F] with a band and a stretch masked, between its `raw` and its `finish`."""
    raw = mask(raw, 2, config.frequency_p, config.frequency_mask, config.mask_value, generator)
    return mask(raw, 1, config.time_p, config.time_mask, config.mask_value, generator)


def mask(raw: Tensor, axis: int, p: float, widest: int, value: float, generator: torch.Generator) -> Tensor:
    """With probability p, `value` is written over up to `widest` neighbours along axis 1 (time) or 2 (frequency).

    SpecAugment (Park et al. 2019): one band and one stretch an example. The width is uniform over 0..widest (never more
    than there is), the place uniform over those where it fits.
    """
    n, size = len(raw), raw.shape[axis]
    on = torch.rand(n, generator=generator, device=generator.device) < p
    width = integers((n,), 0, min(widest, size), generator) * on
    place = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
    start = (place * (size - width + 1)).long()
    at = torch.arange(size, device=generator.device)
    hidden = (at >= start[:, None]) & (at < (start + width)[:, None])  # [N, size]
    return raw.masked_fill(hidden.unsqueeze(3 - axis).to(raw.device), value)
