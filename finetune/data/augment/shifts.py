"""Cyclic shifts and levels of waveforms [N, S]; labels stay."""

import torch
from torch import Tensor

from .draws import beta, chosen, integers, uniform


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
