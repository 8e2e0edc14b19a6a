"""Where a network is run in half precision, and where it must not be."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from .network import Network


class Mixed(nn.Module):
    """A network as it is trained: its tokens under autocast to `dtype`, pooling and heads in float32.

    The networks know nothing of it, so each is one graph to a compiler, the same in training and evaluation. dtype:
    None computes everything in float32.
    """

    def __init__(self, network: Network, dtype: torch.dtype | None):
        super().__init__()
        self.network, self.dtype = network, dtype

    def tokens(self, x: Tensor) -> Tensor:
        """`network.tokens`, float32."""
        if self.dtype is None:
            return self.network.tokens(x)
        with torch.autocast(x.device.type, self.dtype):
            return self.network.tokens(x).float()

    def forward(self, x: Tensor) -> Tensor:
        return self.network.outputs(self.tokens(x))


def float32(device: torch.device) -> AbstractContextManager:
    """A context without autocast; no context at all where none is on, so that an exported graph carries no trace of it.

    It does not convert: what comes in as bfloat16 wants `.float()` inside.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
