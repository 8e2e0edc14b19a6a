"""Folds of first passes: fitted in one go to the training rows of the scored source, judged on the held-out rows."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ...features.progress import Progress
from ..training.folds import Split
from ..training.loop import Fitted
from .heads import FirstPassHead


@torch.no_grad()
def fit_first_pass(
    make: Callable[[], FirstPassHead],
    xs: Sequence[Tensor],
    targets: Tensor,
    splits: Sequence[Split],
    source: int,
    judge: Callable[[np.ndarray, Tensor], float] | None = None,
    bar: Progress | None = None,
) -> list[Fitted]:
    """One head a split, fitted to its training rows of one source alone (labelled soundscapes, where there are any).

    Args:
        make: a new head. xs, targets: all rows, float [n, width] per token and [n, K].
        splits: of the rows. source: number of the source.
        judge: (held-out rows, their logits) -> score. bar: told of every fold.
    """
    fitted = []
    for split in splits:
        head = make().eval()
        rows = torch.from_numpy(split.train[source])
        head.solve([x[rows] for x in xs], targets[rows])
        held = torch.from_numpy(split.held)
        logits = head([x[held] for x in xs]) if len(held) else targets[:0]
        score = judge(split.held, logits) if judge and len(held) else math.nan
        fitted.append(Fitted(head, logits, score, 0, (), ()))
        if bar is not None:
            bar.advance(1, f"held-out AUC {score:.4f}")
    return fitted
