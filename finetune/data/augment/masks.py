"""Masks over a log-mel [N, T, F] (SpecAugment, Park et al. 2019): one band and one stretch an example."""

import torch
from torch import Tensor

from .draws import integers


def mask(raw: Tensor, axis: int, p: float, widest: int, value: float, generator: torch.Generator) -> Tensor:
    """With probability p, `value` is written over up to `widest` neighbours along axis 1 (time) or 2 (frequency).

    The width is uniform over 0..widest (never more than there is), the place uniform over those where it fits.
    """
    n, size = len(raw), raw.shape[axis]
    on = torch.rand(n, generator=generator, device=generator.device) < p
    width = integers((n,), 0, min(widest, size), generator) * on
    place = torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)
    start = (place * (size - width + 1)).long()
    at = torch.arange(size, device=generator.device)
    hidden = (at >= start[:, None]) & (at < (start + width)[:, None])  # [N, size]
    return raw.masked_fill(hidden.unsqueeze(3 - axis).to(raw.device), value)
