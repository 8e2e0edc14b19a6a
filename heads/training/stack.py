"""Several models of one shape trained as one: parameters side by side, one vmapped pass for all.

Small models at small batches are bound by the overhead of each operator, and a stack pays that once for all folds. At
large batches the batched matrix products are slower than plain ones, and models one after another win.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from ..modules import Head


class Stack:
    """M heads of one architecture, each with its own weights and statistics. A stack of one is the plain module."""

    def __init__(self, modules: Sequence[Head]):
        self.size = len(modules)
        self._one = modules[0] if self.size == 1 else copy.deepcopy(modules[0])
        if self.size > 1:
            self._parameters, self._buffers = stack_module_state(list(modules))

    def parameters(self) -> list[Tensor]:
        return list(self._one.parameters() if self.size == 1 else self._parameters.values())

    def __call__(self, xs: list[Tensor]) -> Tensor:
        """Training pass: xs of [M, B, width] -> logits [M, B, K]. Each model draws its own dropout."""
        self._one.train()
        if self.size == 1:
            return self._one([x[0] for x in xs])[None]
        return vmap(self._call, in_dims=(0, 0, 0), randomness="different")(self._parameters, self._buffers, xs)

    @torch.no_grad()
    def predict(self, m: int, xs: list[Tensor], rows: int = 4096) -> Tensor:
        """Evaluation pass of model m: xs of [n, width] -> logits [n, K]."""
        self._one.eval()
        state = self.state(m)
        pieces = zip(*(x.split(rows) for x in xs))
        return torch.cat([functional_call(self._one, state, (list(piece),)) for piece in pieces])

    def state(self, m: int) -> dict[str, Tensor]:
        """Model m's state dict; views of what is being trained."""
        if self.size == 1:
            return self._one.state_dict()
        return {name: tensor.detach()[m] for name, tensor in (self._parameters | self._buffers).items()}

    def _call(self, parameters, buffers, xs):
        return functional_call(self._one, (parameters, buffers), (xs,))
