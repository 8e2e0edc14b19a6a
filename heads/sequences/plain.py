"""Plain heads over windows, with the inputs that ProtoSSM has: what its parts are worth is measured against these."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .head import DIM, DROPOUT, LENGTH, SequenceHead
from .layers import WindowAttention
from .selective_scan import turned


class SequenceGRU(SequenceHead):
    """One recurrent layer forwards and one backwards, a linear classifier of both. Arguments: see `SequenceHead`."""

    def __init__(
        self,
        widths: Mapping[str, int],
        n_classes: int,
        sites: Sequence[str] | None = None,
        first_pass: bool = False,
        length: int = LENGTH,
        dim: int = DIM,
        dropout: float = DROPOUT,
    ):
        super().__init__(widths, n_classes, sites, first_pass, length, dim, dropout)
        self.forwards = nn.GRU(dim, dim, batch_first=True)
        self.backwards = nn.GRU(dim, dim, batch_first=True)
        self.output = nn.Linear(2 * dim, n_classes)

    def encode(self, xs, mask, site, hour, first_pass):
        x = self.placed(self.embed(xs), site, hour)
        back = turned(self.backwards(turned(x, mask))[0], mask)
        return self.drop(torch.cat([self.forwards(x)[0], back], dim=-1))

    def classify(self, encoded, first_pass):
        return self.gated(self.output(encoded), first_pass)


class SequenceAttention(SequenceHead):
    """Pre-norm transformer blocks over the windows, a linear classifier. Arguments: see `SequenceHead`."""

    def __init__(
        self,
        widths: Mapping[str, int],
        n_classes: int,
        sites: Sequence[str] | None = None,
        first_pass: bool = False,
        length: int = LENGTH,
        dim: int = DIM,
        dropout: float = DROPOUT,
        layers: int = 2,
        heads: int = 4,
    ):
        super().__init__(widths, n_classes, sites, first_pass, length, dim, dropout)
        self.blocks = nn.ModuleList(WindowAttention(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, n_classes)

    def encode(self, xs, mask, site, hour, first_pass):
        x = self.placed(self.embed(xs), site, hour)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def classify(self, encoded, first_pass):
        return self.gated(self.output(encoded), first_pass)
