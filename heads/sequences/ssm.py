"""Heads of selective scans: ProtoSSM, and the residual SSM, which learns the mistakes of a first pass.

ProtoSSM: two bidirectional selective scans and an attention block over a recording's windows, then prototypes.

The strongest public head of BirdCLEF+ 2026, second version, as its notebooks describe it:

    windows -> Linear, LayerNorm, GELU, dropout -> + position + site and hour -> 2 x scan -> attention block
    logit_c = softplus(temperature) x cos(window, prototype_c) + bias_c, gated per class against the first pass
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...features import InputError
from ..modules import Standardise
from .head import SequenceHead
from .layers import WindowAttention
from .selective_scan import BidirectionalScan

TEMPERATURE = 5.0


class ProtoSSM(SequenceHead):
    """The head. groups: of each class its taxonomic group, whose presence in a recording is a second task while
    training; None: no such task. Other arguments: see `SequenceHead`."""

    def add_layers(
        self,
        dim: int,
        dropout: float,
        *,
        state: int = 16,
        layers: int = 2,
        heads: int = 4,
        groups: Sequence[str] | None = None,
    ) -> None:
        self.scans = nn.ModuleList(BidirectionalScan(dim, state, dropout) for _ in range(layers))
        self.attention = WindowAttention(dim, heads, dropout)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(self.n_classes, dim), dim=-1))
        self.temperature = nn.Parameter(torch.tensor(TEMPERATURE))
        self.bias = nn.Parameter(torch.zeros(self.n_classes))
        self.groups = None if groups is None else tuple(groups)
        self.group = None if groups is None else nn.Linear(dim, len(set(groups)))

    def encode(self, xs, mask, site, hour, first_pass):
        x = self.placed(self.embed(xs), site, hour)
        for layer in self.scans:
            x = layer(x, mask)
        return self.attention(x, mask)

    def classify(self, encoded, first_pass):
        cosine = F.normalize(encoded, dim=-1) @ F.normalize(self.prototypes, dim=-1).T
        return self.gated(F.softplus(self.temperature) * cosine + self.bias, first_pass)

    def group_logits(self, encoded: Tensor, mask: Tensor) -> Tensor:
        """[B, groups]: which taxonomic groups the recording has, from the mean over its windows."""
        assert self.group is not None
        shares = mask / mask.sum(dim=1, keepdim=True)
        return self.group((shares[..., None] * encoded).sum(dim=1))

    def group_targets(self, targets: Tensor, mask: Tensor) -> Tensor:
        """[B, groups]: the strongest label of each group in the recording. targets [B, T, K], mask bool [B, T]."""
        assert self.groups is not None
        strongest = (targets * mask[..., None]).amax(dim=1)
        members = [[name == one for one in self.groups] for name in sorted(set(self.groups))]
        return torch.stack([strongest[:, torch.tensor(of)].amax(dim=1) for of in members], dim=-1)

    @torch.no_grad()
    def fit_statistics(self, xs, targets, site, first_pass):
        """The prototype of each class becomes the mean of its embedded windows, where it has any."""
        super().fit_statistics(xs, targets, site, first_pass)
        was, _ = self.training, self.eval()
        embedded = torch.cat([self.windows(list(some)) for some in zip(*(x.split(4096) for x in xs))])
        self.train(was)
        weight = targets.sum(dim=0)
        means = targets.T.to(embedded.dtype) @ embedded / weight.clamp_min(1e-6)[:, None]
        self.prototypes.copy_(torch.where(weight[:, None] > 0, means, self.prototypes))


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
