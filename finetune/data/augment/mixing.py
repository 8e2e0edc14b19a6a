"""What is added to a waveform at a signal-to-noise ratio, or put in its place: other examples, background, no call.

SNR = 20 log10(rms(example) / rms(what is added)), over the whole window. Silence has no SNR: a silent example, and a
silent addition, leave waveform and labels as they are.
"""

import torch
from torch import Tensor

from .draws import chosen, integers, uniform
from .shifts import cyclic

SILENCE = 1e-8  # rms under which there is nothing to scale


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
