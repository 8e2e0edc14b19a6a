"""Running statistics of BatchNorm that fit both a fresh network and a published one.

transformers hands EfficientNet's momentum of 0.99, which is TensorFlow's (the share that stays), to PyTorch, where it
is the share that is replaced: running statistics are those of the last batch, and evaluation is as noisy as one batch.
PyTorch's own 0.1 still follows ten batches, and a fixed 0.01 never gets there in a short training from scratch. So the
share that is replaced by batch n (counted from 0, in the checkpoint as num_batches_tracked) falls as 10 / (n + 10), in
the steps 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01: a mean over about the last tenth of all batches, at most 100
(polynomial-decay averaging, Shamir & Zhang 2013). A loaded network starts at 0.01. The count is in the state, so that a
resumed training goes on as one never stopped. The averaging is done around the network, whose own momentum is the same
for all batches: a compiled network would be compiled anew for each.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .network import Network

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
SETTLED = 491  # batches after which the share is the last of SHARES
COUNT = "num_batches_tracked"


def momentum(seen: int) -> float:
    """The share of the running statistics that batch number `seen` (from 0) replaces."""
    return next((share for share in SHARES if share <= 10 / (seen + 10)), SHARES[-1])


class BatchNormed(Network):
    """A network that may have BatchNorms. A forward in training outside of `tracked` leaves the statistics of its batch
    alone."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: int | None = None  # of the first BatchNorm; None: to be read, which costs a wait for the device
        self.register_load_state_dict_post_hook(_forget)

    def norms(self) -> dict[str, _BatchNorm]:
        return {name: module for name, module in self.named_modules() if isinstance(module, _BatchNorm)}

    def train(self, mode: bool = True) -> "BatchNormed":
        super().train(mode)
        for norm in self.norms().values():
            norm.momentum = 1.0  # the batch's own; `tracked` mixes the older ones in
        return self

    @contextmanager
    def tracked(self) -> Iterator[None]:
        """Running statistics follow the batch of the one forward in the block, if it is one in training.

        The backward belongs into the block, too: autograd keeps statistics and minds if they are changed.
        """
        norms = [norm for norm in self.norms().values() if norm.training]
        if not norms:
            yield
            return
        if self._seen is None:
            batches = norms[0].num_batches_tracked
            self._seen = 0 if batches is None else int(batches)
        share, both = momentum(self._seen), [(norm.running_mean, norm.running_var) for norm in norms]
        running = [statistics for pair in both for statistics in pair if statistics is not None]
        older = [statistics.clone() for statistics in running]
        yield
        torch._foreach_lerp_(running, older, 1 - share)
        self._seen += 1

    def settled(self, state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        """The state of a trained network with counts that say so: converted files have 0 there, or nothing."""
        counts = {f"{name.removeprefix(prefix)}.{COUNT}": norm for name, norm in self.norms().items()}
        least = torch.tensor(SETTLED)
        return {**state, **{name: torch.maximum(state.get(name, least), least) for name in counts}}


def _forget(module: nn.Module, keys: object) -> None:
    if isinstance(module, BatchNormed):
        module._seen = None
