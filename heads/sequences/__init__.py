"""Heads over time: they read the windows of a recording in their order, with what a first pass said of them."""

from .head import SequenceHead
from .plain import SequenceAttention, SequenceGRU
from .ssm import ProtoSSM, ResidualSSM

KINDS: dict[str, type[SequenceHead]] = {
    "protossm": ProtoSSM,
    "residual-ssm": ResidualSSM,
    "sequence-gru": SequenceGRU,
    "sequence-attention": SequenceAttention,
}

__all__ = ["KINDS", "ProtoSSM", "ResidualSSM", "SequenceAttention", "SequenceGRU", "SequenceHead"]
