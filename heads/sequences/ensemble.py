"""The sequence heads of all folds as one: a recording's windows in, the mean of their probabilities out."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...features import InputError
from ...finetune.losses import probabilities
from ..inputs import assemble
from .head import SequenceHead
from .recordings import make_recordings
from .training import PREDICTED, Windows


class SequenceEnsemble(nn.Module):
    """Base taps, one float [B, T, ...] each -> mean over the members' probabilities [B, T, K]."""

    def __init__(self, members: Sequence[SequenceHead], tokens: Sequence[str], taps: Sequence[str], activation: str):
        super().__init__()
        self.members = nn.ModuleList(members).eval()
        self.tokens, self.taps, self.activation = tuple(tokens), tuple(taps), activation
        self.length, self.sites, self.n_classes = members[0].length, members[0].sites, members[0].n_classes
        self.needs_first_pass = members[0].needs_first_pass

    def forward(
        self, taps: Sequence[Tensor], mask: Tensor, site: Tensor, hour: Tensor, first_pass: Tensor | None = None
    ) -> Tensor:
        """taps in the order of `self.taps`; the others as `SequenceHead.forward` takes them."""
        flat = {tap: x.flatten(0, 1) for tap, x in zip(self.taps, taps)}
        xs = [x.unflatten(0, mask.shape) for x in assemble(flat, self.tokens)]
        found = [probabilities(member(xs, mask, site, hour, first_pass), self.activation) for member in self.members]
        return torch.stack(found).mean(0)


@torch.no_grad()
def predict_windows(
    ensemble: SequenceEnsemble, taps: Sequence[Tensor], rows: pd.DataFrame, first_pass: Tensor | None = None
) -> Tensor:
    """Probabilities [n, K] of windows whose recordings, times and places the table `rows` tells.

    taps: float [n, ...] in the order of `ensemble.taps`. rows: columns source, file, start_s. first_pass: logits
    [n, K], NaN where a class has none. InputError: the heads read a first pass and there is none.
    """
    if ensemble.needs_first_pass and first_pass is None:
        raise InputError("the head reads a first pass, got none. Give --first-pass.")
    recordings = make_recordings(rows, ensemble.length, ensemble.sites or ())
    windows = Windows(list(taps), torch.zeros(len(rows), 0), recordings, first_pass)
    found = torch.zeros(len(rows), ensemble.n_classes)
    for at in np.array_split(np.arange(len(recordings.index)), math.ceil(len(recordings.index) / PREDICTED)):
        index, given = windows.inputs(at)
        found[index[given[1]]] = ensemble(*given)[given[1]]
    return found
