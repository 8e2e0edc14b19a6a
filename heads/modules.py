"""The heads: pooled vectors of several taps in, class logits out.

Every head takes `xs`, a list with one float tensor [N, width] per token in the order of `widths`, and gives logits
[N, K]. Inputs are raw features: each head standardises them itself with buffers `mean` and `std` that come from its
training rows, so a checkpoint or an exported file needs nothing beside it.

AttentionPool and ScalarMix are the two heads of Yadav 2026 ("Head"). It says "about 430k parameters"; with its three
Perch v2 taps (232, 384, 384) and 234 classes the architecture that it describes has 846,570, the scalar mix 318,445.
"""

import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..features import InputError

DIM, HEADS, HIDDEN, DROPOUT = 256, 4, 512, 0.1  # as published


class Standardise(nn.Module):
    """(x - mean) / std per column, of the training rows; a column that never varies becomes zero (its std is the
    largest number there is: a checkpoint with an infinite one would not be read)."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit(self, x: Tensor) -> None:
        x = x.double()
        mean, std = x.mean(0), x.std(0, correction=0)
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6 * (mean.abs() + 1e-6), std, torch.finfo(torch.float32).max))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


class Head(nn.Module):
    """What all heads share: their tokens, their widths, the standardisation."""

    def __init__(self, widths: Mapping[str, int], n_classes: int):
        super().__init__()
        self.widths, self.n_classes = dict(widths), n_classes
        self.standardise = nn.ModuleList(Standardise(width) for width in widths.values())

    def fit_statistics(self, xs: list[Tensor]) -> None:
        """Means and deviations from training rows, one [N, width] per token."""
        for layer, x in zip(self.standardise, xs, strict=True):
            cast(Standardise, layer).fit(x)

    def standardised(self, xs: list[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self.standardise, xs, strict=True)]

    def tap_weights(self, xs: list[Tensor]) -> Tensor:
        """Share of each token in what the head reads, [T] or per row [N, T]; shares sum to 1."""
        raise NotImplementedError


class Projections(nn.Module):
    """Per token Linear(width -> dim) + LayerNorm + GELU, each with its own weights: [N, width] x T -> [N, T, dim]."""

    def __init__(self, widths: Mapping[str, int], dim: int):
        super().__init__()
        self.each = nn.ModuleList(
            nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim), nn.GELU()) for width in widths.values()
        )

    def forward(self, xs: list[Tensor]) -> Tensor:
        return torch.stack([project(x) for project, x in zip(self.each, xs, strict=True)], dim=-2)


class TokenReader(Head):
    """[CLS] and one token per tap through one pre-norm transformer block; what becomes of [CLS], [N, dim].

    Only [CLS] leaves the block, and it enters the same for every row: so there is one query a head, its product with
    the key weights is taken before the tokens come, the value weights are applied after the tokens are averaged, and
    the feed-forward part sees [CLS] alone. The same function of the same parameters at 30 % of the arithmetic.
    """

    def __init__(self, widths, n_classes, dim=DIM, heads=HEADS, hidden=HIDDEN, dropout=DROPOUT):
        super().__init__(widths, n_classes)
        if dim % heads:
            raise InputError(f"attention head: `dim` must be a multiple of its {heads} heads, got {dim}.")
        self.heads = heads
        self.project = Projections(widths, dim)
        self.block_embedding = nn.Parameter(0.02 * torch.randn(len(widths), dim))
        self.cls = nn.Parameter(0.02 * torch.randn(1, dim))
        self.norm_attention = nn.LayerNorm(dim)
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.out = nn.Linear(dim, dim)
        self.norm_ffn = nn.LayerNorm(dim)
        self.ffn = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, xs):
        sequence = self._sequence(xs)
        normed = self.norm_attention(sequence)
        attention = self.drop(self._attention(normed)).transpose(-2, -1)  # [N, heads, 1 + T]
        read = torch.einsum("nhc,hdc->nhd", attention @ normed, self._by_head(self.value.weight))
        read = read + attention.sum(dim=-1, keepdim=True) * self._by_head(self.value.bias)
        x = sequence[..., 0, :] + self.drop(self.out(read.flatten(-2)))
        return x + self.drop(self.ffn(self.norm_ffn(x)))

    def tap_weights(self, xs):
        """[N, T]: what [CLS] attends to, mean over the heads, as shares of what it gives to taps (not to itself)."""
        attention = self._attention(self.norm_attention(self._sequence(xs)))[..., 1:, :].mean(dim=-1)
        return attention / attention.sum(dim=-1, keepdim=True)

    def _sequence(self, xs):
        """[N, 1 + T, dim], [CLS] first."""
        tokens = self.project(self.standardised(xs)) + self.block_embedding
        cls = self.cls.expand(tokens.shape[0], 1, -1)
        return torch.cat([cls, tokens], dim=-2)

    def _attention(self, normed):
        """What [CLS] attends to, [N, 1 + T, heads]. normed [N, 1 + T, dim]."""
        query = self._by_head(self.query(self.norm_attention(self.cls))[0])  # [heads, dim / heads], of every row
        seen = torch.einsum("hd,hdc->ch", query, self._by_head(self.key.weight))
        # Flat, because a stack of models (`heads.training.loop.Stack`) would copy the right-hand side for every row.
        scores = (normed.flatten(0, 1) @ seen).reshape(-1, normed.shape[1], self.heads)
        scores = scores + (query * self._by_head(self.key.bias)).sum(dim=-1)
        return (scores * query.shape[-1] ** -0.5).softmax(dim=-2)

    def _by_head(self, x):
        """[dim, ...] -> [heads, dim / heads, ...]."""
        return x.unflatten(0, (self.heads, -1))


class AttentionPool(TokenReader):
    """The attention head: a linear classifier of what the token reader makes of the taps."""

    def __init__(self, widths, n_classes, dim=DIM, heads=HEADS, hidden=HIDDEN, dropout=DROPOUT):
        super().__init__(widths, n_classes, dim, heads, hidden, dropout)
        self.classify = nn.Linear(dim, n_classes)

    def forward(self, xs):
        return self.classify(super().forward(xs))


class ScalarMix(Head):
    """A softmax over one learned number per tap weighs the projected tokens; the classifier reads their sum.

    No block embeddings: inside a weighted sum they are a constant, which the classifier's bias already is.
    """

    def __init__(self, widths, n_classes, dim=DIM, dropout=DROPOUT):
        super().__init__(widths, n_classes)
        self.project = Projections(widths, dim)
        self.mix = nn.Parameter(torch.zeros(len(widths)))
        self.drop = nn.Dropout(dropout)
        self.classify = nn.Linear(dim, n_classes)

    def forward(self, xs):
        tokens = self.project(self.standardised(xs))  # [N, T, dim]
        return self.classify(self.drop((self.mix.softmax(dim=-1)[:, None] * tokens).sum(dim=-2)))

    def tap_weights(self, xs):
        """[T]: the softmax weights. The tokens are layer-normed, so their scales compare."""
        return self.mix.softmax(dim=-1)


class ConcatLinear(Head):
    """One Linear on all standardised tokens side by side; on a single tap it is the plain linear baseline."""

    def __init__(self, widths, n_classes):
        super().__init__(widths, n_classes)
        self.classify = nn.Linear(sum(widths.values()), n_classes)
        nn.init.zeros_(self.classify.weight)  # a convex problem; unused columns then stay at zero
        nn.init.zeros_(self.classify.bias)

    def forward(self, xs):
        return self.classify(torch.cat(self.standardised(xs), dim=-1))

    def tap_weights(self, xs):
        """[T]: the Frobenius norm of each token's weights as a share of the sum; inputs are standardised. Equal shares
        before training."""
        pieces = self.classify.weight.split(list(self.widths.values()), dim=-1)
        norms = torch.stack([torch.linalg.matrix_norm(piece) for piece in pieces]) + torch.finfo(torch.float32).tiny
        return norms / norms.sum()


KINDS: dict[str, type[Head]] = {
    "attention": AttentionPool,
    "scalarmix": ScalarMix,
    "concat": ConcatLinear,
    "linear": ConcatLinear,
}


def build(
    name: str, widths: Mapping[str, int], n_classes: int, kinds: Mapping[str, type[nn.Module]] = KINDS, **options
) -> Any:
    """A head by its name among `kinds`: attention, scalarmix, concat, or linear (exactly one tap).

    Args:
        name: of the head.
        widths: token -> width, in order.
        n_classes: K.
        kinds: what there is to choose from.
        options: of the head.

    Raises:
        InputError: an unknown name, an option that the head does not have, linear on several taps, no taps or classes.
    """
    if name not in kinds:
        raise InputError(f"`--head` must be one of {', '.join(kinds)}, got {name!r}.")
    if not widths or n_classes < 1:
        raise InputError(f"head {name}: expected taps and classes, got {len(widths)} and {n_classes}.")
    if name == "linear" and len(widths) > 1:
        raise InputError(
            f"head linear: expected 1 tap, as in linear:embedding, got {len(widths)} ({', '.join(widths)}). "
            "Or is concat meant, the linear head on several?"
        )
    known = list(inspect.signature(kinds[name]).parameters)[2:]
    if unknown := set(options) - set(known):
        raise InputError(
            f"head {name}: expected the options {' or '.join(known) or 'none'}, got {min(unknown)}. Another head's?"
        )
    return kinds[name](widths, n_classes, **options)


def parameters_count(module: nn.Module) -> int:
    """Trainable numbers; the standardisation's buffers are not among them."""
    return sum(parameter.numel() for parameter in module.parameters())
