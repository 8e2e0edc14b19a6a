"""What all sequence heads share: windows of a recording in their order, embedded; when and where they were recorded."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...features.schema import check_least
from ..modules import Head, Projections, TokenReader
from .layers import Gate, Place

DROPOUT, LENGTH = 0.2, 12  # as published


class OneTap(Head):
    """A single tap, standardised and projected: [N, width] -> [N, dim]."""

    def __init__(self, widths: Mapping[str, int], n_classes: int, dim: int):
        super().__init__(widths, n_classes)
        self.project = Projections(widths, dim)

    def forward(self, xs):
        return self.project(self.standardised(xs))[..., 0, :]

    def tap_weights(self, xs):
        """[1]: all of it."""
        return xs[0].new_ones(1)


class SequenceHead(nn.Module):
    """Windows of recordings in, a list of one float [B, T, width] per token; logits [B, T, K] out.

    A kind of head adds its layers, with the options that it alone has, and says what `encode` and `classify` do.

    Args:
        widths: token -> width. Several tokens are mixed by the attention head's reader, window by window.
        n_classes: K.
        sites: names of the sites, numbered from 1; None: neither site nor hour is read.
        first_pass: whether logits of a first pass are read.
        length: windows of a sequence, at most.
        dim, dropout: of the embedded windows; dim None: the kind's own.
        own: options of the kind, see its `add_layers`.
    """

    dim: ClassVar[int] = 192  # as published
    gates: ClassVar[bool] = True  # whether a first pass is weighed against the logits, class by class
    __signature__: ClassVar[Signature]

    def __init_subclass__(cls) -> None:
        """The signature of a kind: what all have, then its own options."""
        shared = [one for one in signature(SequenceHead).parameters.values() if one.kind is not Parameter.VAR_KEYWORD]
        own = [one for one in signature(cls.add_layers).parameters.values() if one.kind is Parameter.KEYWORD_ONLY]
        cls.__signature__ = Signature([*shared, *own])

    def __init__(
        self,
        widths: Mapping[str, int],
        n_classes: int,
        sites: Sequence[str] | None = None,
        first_pass: bool = False,
        length: int = LENGTH,
        dim: int | None = None,
        dropout: float = DROPOUT,
        **own: Any,
    ):
        super().__init__()
        dim = dim or self.dim
        check_least("--sequence-length", length, 1)
        self.widths, self.n_classes, self.length = dict(widths), n_classes, length
        self.sites = None if sites is None else tuple(sites)
        several = len(widths) > 1
        self.windows: Head = (
            TokenReader(widths, n_classes, dim, hidden=2 * dim, dropout=dropout)
            if several
            else OneTap(widths, n_classes, dim)
        )
        self.drop = nn.Dropout(dropout)
        self.position = nn.Parameter(0.02 * torch.randn(length, dim))
        self.place = None if sites is None else Place(len(sites), dim)
        self.needs_first_pass = first_pass
        self.gate = Gate(n_classes) if first_pass and self.gates else None
        self.add_layers(dim, dropout, **own)

    def add_layers(self, dim: int, dropout: float) -> None:
        """The layers behind the embedded windows."""
        raise NotImplementedError

    def embed(self, xs: list[Tensor]) -> Tensor:
        """Windows before time is read, [B, T, dim]."""
        flat = self.windows([x.flatten(0, 1) for x in xs])
        return self.drop(flat).unflatten(0, xs[0].shape[:2])

    def placed(self, windows: Tensor, site: Tensor, hour: Tensor) -> Tensor:
        """The same with what position, site and hour add."""
        x = windows + self.position[: windows.shape[1]]
        return x if self.place is None else x + self.place(site, hour)

    def encode(self, xs: list[Tensor], mask: Tensor, site: Tensor, hour: Tensor, first_pass: Tensor | None) -> Tensor:
        """Windows after time was read, [B, T, dim]."""
        raise NotImplementedError

    def classify(self, encoded: Tensor, first_pass: Tensor | None) -> Tensor:
        """[B, T, dim] -> logits [B, T, K]."""
        raise NotImplementedError

    def forward(
        self, xs: list[Tensor], mask: Tensor, site: Tensor, hour: Tensor, first_pass: Tensor | None = None
    ) -> Tensor:
        """xs: float [B, T, width] per token; mask bool [B, T], windows first and then padding; site, hour: int64 [B],
        0 unknown, hours from 1; first_pass: logits [B, T, K], NaN where a class has none. Logits [B, T, K]."""
        return self.classify(self.encode(xs, mask, site, hour, first_pass), first_pass)

    def gated(self, logits: Tensor, first_pass: Tensor | None) -> Tensor:
        return logits if self.gate is None else self.gate(logits, first_pass)

    def fit_statistics(self, xs: list[Tensor], targets: Tensor, site: Tensor, first_pass: Tensor | None) -> None:
        """What is taken from training windows, not learned: xs [N, width] per token, targets [N, K], first_pass [N, K];
        site int64 [S], of their recordings."""
        self.windows.fit_statistics(xs)
        if self.place is not None:
            self.place.fit(site)

    def tap_weights(self, xs: list[Tensor]) -> Tensor:
        """Share of each token in what the head reads, of windows [N, width]."""
        return self.windows.tap_weights(xs)
