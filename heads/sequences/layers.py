"""Parts that the sequence heads share: attention over windows, embeddings of place, the gate against a first pass."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...features import InputError

HOURS = 24
PLACE_WIDTH = 16  # of each of the two embeddings


class WindowAttention(nn.Module):
    """One pre-norm transformer block over the windows of a recording; padding is never attended to."""

    def __init__(self, dim: int, heads: int = 4, dropout: float = 0.2):
        super().__init__()
        if dim % heads:
            raise InputError(f"sequence head: `dim` must be a multiple of its {heads} heads, got {dim}.")
        self.heads = heads
        self.norm_attention = nn.LayerNorm(dim)
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm_ffn = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, dim]; mask bool [B, T], with a window in every row."""
        split = self.project(self.norm_attention(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)  # [B, heads, T, dim / heads] each
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
        x = x + self.drop(self.out(read.transpose(1, 2).flatten(-2)))
        return x + self.drop(self.ffn(self.norm_ffn(x)))


class Place(nn.Module):
    """Site and hour of day, embedded, side by side, projected to dim: int64 [B] each, 0 unknown -> [B, 1, dim].

    Sites that the training rows do not have count as unknown (`seen`, set by `fit`). hidden: how often either is taken
    for unknown while training, without which "unknown" would never have been learned.
    """

    seen: Tensor

    def __init__(self, n_sites: int, dim: int, hidden: float = 0.1):
        super().__init__()
        self.site = nn.Embedding(n_sites + 1, PLACE_WIDTH)
        self.hour = nn.Embedding(HOURS + 1, PLACE_WIDTH)
        self.project = nn.Linear(2 * PLACE_WIDTH, dim)
        self.hidden = hidden
        self.register_buffer("seen", torch.arange(n_sites + 1))

    def fit(self, site: Tensor) -> None:
        """Which sites are known from now on: those in `site`, int64 [S]."""
        numbers = torch.arange(len(self.seen))
        self.seen.copy_(torch.where(torch.isin(numbers, site), numbers, 0))

    def forward(self, site: Tensor, hour: Tensor) -> Tensor:
        site = self.seen[site]
        if self.training and self.hidden:
            site, hour = (at * (torch.rand(at.shape, device=at.device) >= self.hidden) for at in (site, hour))
        return self.project(torch.cat([self.site(site), self.hour(hour)], dim=-1))[:, None]


class Gate(nn.Module):
    """alpha_c x logit + (1 - alpha_c) x first-pass logit, alpha = sigmoid(a_c) from 0.5; NaN: the class has none."""

    def __init__(self, n_classes: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_classes))

    def forward(self, logits: Tensor, first_pass: Tensor) -> Tensor:
        """[B, T, K] both."""
        mixed = torch.lerp(first_pass.nan_to_num(), logits, self.weight.sigmoid())
        return torch.where(first_pass.isnan(), logits, mixed)
