"""Windows of recordings in memory, and what a head over time says of them, many recordings at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .recordings import Recordings

PREDICTED = 256  # recordings at a time


@dataclass(frozen=True, eq=False)
class Windows:
    """xs: float [n, width] per token; targets float [n, K]; first_pass: logits float [n, K] with NaN, or None."""

    xs: list[Tensor]
    targets: Tensor
    recordings: Recordings
    first_pass: Tensor | None = None

    def inputs(self, at: np.ndarray) -> tuple[Tensor, tuple]:
        """(row numbers [B, T], what the head takes) of these recordings, no longer than the longest of them."""
        longest = int(self.recordings.mask[at].sum(axis=1).max())
        index = torch.from_numpy(self.recordings.index[at, :longest])
        mask = index >= 0  # what stands where the padding points to is never seen
        site, hour = (torch.from_numpy(part[at]) for part in (self.recordings.site, self.recordings.hour))
        first = None if self.first_pass is None else self.first_pass[index]
        return index, ([x[index] for x in self.xs], mask, site, hour, first)

    @torch.no_grad()
    def said(self, model: Callable[..., Tensor], n_classes: int, recordings: np.ndarray) -> Tensor:
        """What a model says of the windows of these recordings [m], float32 [n, K]; zeros in the rows of others."""
        found = torch.zeros(len(self.targets), n_classes)
        for at in np.array_split(recordings, math.ceil(len(recordings) / PREDICTED)):
            index, given = self.inputs(at)
            found[index[given[1]]] = model(*given)[given[1]]
        return found
