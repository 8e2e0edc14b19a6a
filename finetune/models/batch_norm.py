"""Running statistics of BatchNorm that fit both a fresh network and a published one.

transformers hands EfficientNet's momentum of 0.99, which is TensorFlow's (the share that stays), to PyTorch, where it
is the share that is replaced: running statistics are those of the last batch, and evaluation is as noisy as one batch.
PyTorch's own 0.1 still follows ten batches, and a fixed 0.01 never gets there in a short training from scratch. So the
share that is replaced by batch n (counted from 0, in the checkpoint as num_batches_tracked) falls as 10 / (n + 10), in
the steps 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01: a mean over about the last tenth of all batches, at most 100
(polynomial-decay averaging, Shamir & Zhang 2013; in steps, because a compiled network is compiled anew for each).
A loaded network starts at 0.01. The count is in the state, so that a resumed training goes on as one never stopped.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...features.schema import check_choice

SHARES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
SETTLED = 491  # batches after which the share is the last of SHARES
RULES = ("running", "frozen")
COUNT = "num_batches_tracked"


def momentum(seen: int) -> float:
    """The share of the running statistics that batch number `seen` (from 0) replaces."""
    return next((share for share in SHARES if share <= 10 / (seen + 10)), SHARES[-1])


class BatchNormed(nn.Module):
    """A network that may have BatchNorms. rule: "running" as above; "frozen" keeps the statistics that were loaded,
    which is the better choice for batches of a few clips. Sub-classes call `track()` before a forward in training."""

    def __init__(self, rule: str):
        super().__init__()
        check_choice("batch_norm", rule, RULES)
        self.rule = rule
        self._seen: int | None = None  # of the first BatchNorm; None: to be read, which costs a wait for the device
        self.register_load_state_dict_post_hook(_forget)

    def norms(self) -> dict[str, _BatchNorm]:
        return {name: module for name, module in self.named_modules() if isinstance(module, _BatchNorm)}

    def train(self, mode: bool = True) -> "BatchNormed":
        super().train(mode)
        if mode and self.rule == "frozen":
            for norm in self.norms().values():
                norm.eval()
        return self

    @torch.compiler.disable
    def track(self) -> None:
        norms = self.norms().values()
        if self.rule == "frozen" or not norms:
            return
        if self._seen is None:
            batches = next(iter(norms)).num_batches_tracked
            self._seen = 0 if batches is None else int(batches)
        for norm in norms:
            norm.momentum = momentum(self._seen)
        self._seen += 1

    def settled(self, state: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
        """The state of a trained network with counts that say so: converted files have 0 there, or nothing."""
        counts = {f"{name.removeprefix(prefix)}.{COUNT}": norm for name, norm in self.norms().items()}
        least = torch.tensor(SETTLED)
        return {**state, **{name: torch.maximum(state.get(name, least), least) for name in counts}}


def _forget(module: nn.Module, keys: object) -> None:
    if isinstance(module, BatchNormed):
        module._seen = None
