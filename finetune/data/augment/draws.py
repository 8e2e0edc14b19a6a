"""Random draws that depend on a generator alone, handed over on the batch's device.

A generator on the CPU gives the same augmentation on every device; one on the batch's device saves the copies.
"""

import torch
from torch import Tensor


def uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """float32, U[low, high), on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def integers(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    """int64 from low to high inclusive, on the generator's device."""
    return torch.randint(low, high + 1, shape, generator=generator, device=generator.device)


def chosen(n: int, p: float, generator: torch.Generator) -> Tensor:
    """Rows of a batch, int64 sorted, each taken with probability p; on the generator's device."""
    return (torch.rand(n, generator=generator, device=generator.device) < p).nonzero()[:, 0]


def beta(n: int, a: int, generator: torch.Generator) -> Tensor:
    """float32 [n], Beta(a, a) for whole a: the median of 2a - 1 uniform draws has exactly that distribution.

    (torch's own Beta takes no generator.)"""
    return torch.rand((n, 2 * a - 1), generator=generator, device=generator.device).sort(dim=1).values[:, a - 1]
