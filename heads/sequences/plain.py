"""Plain heads over windows, with the inputs that ProtoSSM has: what its parts are worth is measured against these."""

import torch
from torch import nn

from .head import SequenceHead
from .layers import WindowAttention
from .selective_scan import turned


class SequenceGRU(SequenceHead):
    """One recurrent layer forwards and one backwards, a linear classifier of both. Arguments: see `SequenceHead`."""

    def add_layers(self, dim: int, dropout: float) -> None:
        self.forwards = nn.GRU(dim, dim, batch_first=True)
        self.backwards = nn.GRU(dim, dim, batch_first=True)
        self.output = nn.Linear(2 * dim, self.n_classes)

    def encode(self, xs, mask, site, hour, first_pass):
        x = self.placed(self.embed(xs), site, hour)
        back = turned(self.backwards(turned(x, mask))[0], mask)
        return self.drop(torch.cat([self.forwards(x)[0], back], dim=-1))

    def classify(self, encoded, first_pass):
        return self.gated(self.output(encoded), first_pass)


class SequenceAttention(SequenceHead):
    """Pre-norm transformer blocks over the windows, a linear classifier. Arguments: see `SequenceHead`."""

    def add_layers(self, dim: int, dropout: float, *, layers: int = 2, heads: int = 4) -> None:
        self.blocks = nn.ModuleList(WindowAttention(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, self.n_classes)

    def encode(self, xs, mask, site, hour, first_pass):
        x = self.placed(self.embed(xs), site, hour)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def classify(self, encoded, first_pass):
        return self.gated(self.output(encoded), first_pass)
