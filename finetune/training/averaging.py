"""A moving average of a network's weights (Polyak & Juditsky 1992): evaluated and kept in their place when it is on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """decay in 0..1, the share of the old average in each step; 0: no average, the network itself.

    Buffers (running statistics) are copied as they are. Over the first steps the decay is min(decay, (1 + t)/(10 + t)),
    as in TensorFlow's ExponentialMovingAverage, so that the random start is soon forgotten.
    torch's `AveragedModel` gives the same numbers with such a `multi_avg_fn`, but is a second module: here the weights
    are exchanged in place, so that the compiled or wrapped network, its front end and checkpoints need no other.
    """

    def __init__(self, network: nn.Module, decay: float):
        self.network, self.decay = network, decay
        self._names = [name for name, _ in network.named_parameters()]
        self._kept = [p.detach().clone() for p in network.parameters()] if decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step`, counted from 0."""
        if self.decay:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self._kept, [p.detach() for p in self.network.parameters()], 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        return dict(zip(self._names, self._kept)) if self.decay else {}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, kept in self.tensors().items():
            kept.copy_(tensors[name])

    @contextmanager
    def applied(self) -> Iterator[nn.Module]:
        """The network with the average in the place of its weights."""
        self._swap()
        try:
            yield self.network
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for kept, parameter in zip(self._kept, self.network.parameters()):
            now = parameter.detach().clone()
            parameter.copy_(kept)
            kept.copy_(now)
