"""Heads over time: they read the windows of a recording in their order, with what a first pass said of them."""

from collections.abc import Mapping

from ..modules import make
from .head import SequenceHead
from .plain import SequenceAttention, SequenceGRU
from .protossm import ProtoSSM
from .residual import ResidualSSM

KINDS: dict[str, type[SequenceHead]] = {
    "protossm": ProtoSSM,
    "residual-ssm": ResidualSSM,
    "sequence-gru": SequenceGRU,
    "sequence-attention": SequenceAttention,
}


def build(name: str, widths: Mapping[str, int], n_classes: int, **options) -> SequenceHead:
    """A sequence head by name, one of `KINDS`. Otherwise as `heads.modules.build`."""
    return make(KINDS, name, widths, n_classes, **options)


__all__ = ["KINDS", "ProtoSSM", "ResidualSSM", "SequenceAttention", "SequenceGRU", "SequenceHead", "build"]
