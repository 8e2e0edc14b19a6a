"""Residual SSM: what the windows and their neighbours say about the mistakes of a first pass."""

from typing import cast

import torch
from torch import Tensor, nn

from ...features import InputError
from ..modules import Standardise
from .head import SequenceHead
from .selective_scan import BidirectionalScan


class ResidualSSM(SequenceHead):
    """first pass + weight x correction; the correction's layer starts at zero, so training starts at the first pass.

    It reads the windows and the first pass's logits (0 where a class has none). Such a class has the correction alone.
    weight: of the correction. Other arguments: see `SequenceHead`.
    """

    dim = 128
    gates = False

    def add_layers(self, dim: int, dropout: float, *, state: int = 16, layers: int = 2, weight: float = 0.35) -> None:
        if not self.needs_first_pass:
            raise InputError("head residual-ssm: corrects a first pass, got none. Give --first-pass.")
        self.standardise = Standardise(self.n_classes)
        self.scores = nn.Linear(self.n_classes, dim)
        self.scans = nn.ModuleList(BidirectionalScan(dim, state, dropout) for _ in range(layers))
        self.correct = nn.Linear(dim, self.n_classes)
        self.weight = weight
        nn.init.zeros_(self.correct.weight)
        nn.init.zeros_(self.correct.bias)

    def encode(self, xs, mask, site, hour, first_pass):
        scores = self.scores(self.standardise(first_pass.nan_to_num()))
        x = self.placed(self.embed(xs) + scores, site, hour)
        for layer in self.scans:
            x = layer(x, mask)
        return x

    def classify(self, encoded, first_pass):
        correction = self.correct(encoded)
        return torch.where(first_pass.isnan(), correction, first_pass.nan_to_num() + self.weight * correction)

    def fit_statistics(self, xs, targets, site, first_pass: Tensor | None):
        super().fit_statistics(xs, targets, site, first_pass)
        cast(Standardise, self.standardise).fit(cast(Tensor, first_pass).nan_to_num())
