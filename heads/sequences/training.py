"""Training over recordings: the loop of `heads.training.loop` with sequences in the place of rows.

Settings, batches (here of recordings), optimiser, mixup, early stopping and what comes out are that loop's. Losses are
means over windows, padding left out. Two recordings are mixed window by window; the one with the larger share keeps
its length, place and first pass. ProtoSSM's second task, the groups in a recording, has a tenth of the loss's weight.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...features.progress import Progress
from ...finetune.losses import bce, loss
from ..training.finished_folds import FinishedFolds
from ..training.folds import Batches, Split
from ..training.loop import ASL_GAMMA_POSITIVE, Fitted, Keeper, Settings, batch_size, optimised
from .head import SequenceHead
from .recordings import Recordings
from .ssm import ProtoSSM
from .windows import Windows

GROUP_WEIGHT = 0.1


def fit_recordings(
    make: Callable[[], SequenceHead],
    windows: Windows,
    splits: Sequence[Split],
    settings: Settings,
    judge: Callable[[np.ndarray, Tensor], float] | None = None,
    bar: Progress | None = None,
    finished: FinishedFolds | None = None,
) -> list[Fitted]:
    """Train one sequence head per split of rows; no recording may have rows on both sides.

    splits, settings, judge, bar: as of `heads.training.loop.fit`. finished: what an earlier run left, and what is left
    for a later one. Deterministic in `settings.seed` on CPU; the global random state is left as it was.
    """
    bar = bar or Progress("training", 0, wanted=False)
    of_recordings = [_split(windows.recordings, split) for split in splits]
    batch = batch_size(settings, of_recordings)
    fitted = []
    with torch.random.fork_rng(devices=[]):
        for fold, split in enumerate(splits):
            one = finished.get(fold, windows, of_recordings[fold].held, split.held) if finished else None
            if one is None:
                one = _fit(make, windows, split, of_recordings[fold], fold, batch, settings, judge, bar)
                if finished:
                    finished.keep(fold, one)
            fitted.append(one)
    return fitted


def _split(recordings: Recordings, split: Split) -> Split:
    """The same split of the recordings, by their first windows."""
    first = recordings.index[:, 0]
    return Split(
        tuple(np.flatnonzero(np.isin(first, rows)) for rows in split.train),
        np.flatnonzero(np.isin(first, split.held)),
    )


def _fit(make, windows, rows, split, fold, batch, settings, judge, bar) -> Fitted:
    torch.manual_seed(1000 * settings.seed + fold)
    head = make()
    train = torch.from_numpy(np.concatenate(rows.train))
    site = torch.from_numpy(windows.recordings.site[np.concatenate(split.train)])
    first = None if windows.first_pass is None else windows.first_pass[train]
    head.fit_statistics([x[train] for x in windows.xs], windows.targets[train], site, first)
    batches = Batches(split, batch, settings.fractions, settings.mixup, (settings.seed, fold))
    keeper = Keeper(settings.patience if judge else None)
    steps = math.ceil(sum(map(len, split.train)) / batch)
    optimiser, schedule = optimised(head.parameters(), settings)
    for _ in range(settings.epochs):
        cost = _train_epoch(head, windows, batches, steps, optimiser, settings)
        schedule.step()
        said = windows.said(head.eval(), head.n_classes, split.held) if len(rows.held) else windows.targets
        logits = said[rows.held]
        score = judge(rows.held, logits) if judge else math.nan
        keeper.see(head.state_dict(), logits, cost, score)
        bar.advance(1, f"loss {cost:.4f}, held-out AUC {keeper.score:.4f}")
        if keeper.done:
            break
    return keeper.fitted(head)


def _train_epoch(head, windows, batches, steps, optimiser, settings) -> float:
    """Mean loss."""
    head.train()
    total = 0.0
    for given, targets in _mixed(windows, batches, steps):
        mask, first = given[1], given[4]
        encoded = head.encode(*given)
        cost = loss(settings.loss, head.classify(encoded, first)[mask], targets[mask], gamma_pos=ASL_GAMMA_POSITIVE)
        if isinstance(head, ProtoSSM) and head.group is not None:
            wanted = head.group_targets(targets, mask)
            cost = cost + GROUP_WEIGHT * bce(head.group_logits(encoded, mask), wanted)
        optimiser.zero_grad(set_to_none=True)
        cost.backward()
        optimiser.step()
        total += float(cost.detach())
    return total / steps


def _mixed(windows: Windows, batches: Batches, steps: int) -> Iterator[tuple[tuple, Tensor]]:
    """(what the head takes, targets [B, T, K]) of each batch of an epoch."""
    for at, partner, weight in zip(*batches.epoch(steps)):
        index, (xs, mask, *place) = windows.inputs(at)
        targets = windows.targets[index]
        if batches.mixup:
            other = torch.from_numpy(windows.recordings.index[partner, : index.shape[1]])
            share = torch.from_numpy(np.maximum(weight, 1 - weight))[:, None]
            share = torch.where(mask & (other >= 0), share, 1.0)[..., None]
            xs = [torch.lerp(all_rows[other], x, share) for all_rows, x in zip(windows.xs, xs)]
            targets = torch.lerp(windows.targets[other], targets, share)
        yield (xs, mask, *place), targets
