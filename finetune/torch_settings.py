"""How torch computes: compiled or not, with how many threads, with denormal numbers or zeros in their place.

`--compile`: a member's network is one graph for each stage of a training (the head alone learning, then everything),
whatever the batch's number: `tests/finetune/test_compiling.py` holds all members to it. Held-out clips go through the
plain network, which shares its weights.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..features import InputError

# Dropout and drop path are drawn as without compiling.
OPTIONS: dict[str, str | int | bool | Callable] = {"fallback_random": True}


def compiled(network: nn.Module) -> nn.Module:
    """The network, compiled at its first batch. What was compiled before, another fold's say, is forgotten: PyTorch
    keeps no more than eight graphs of one class of network."""
    torch.compiler.reset()
    made = torch.compile(network, options=OPTIONS)
    assert isinstance(made, nn.Module)  # as it is for a module
    return made


def check_compiling(device: torch.device) -> None:
    """InputError where PyTorch cannot compile for the device: found by compiling something very small."""
    try:
        torch.compile(lambda x: x + 1)(torch.zeros(2, device=device))
    except Exception as error:  # of Inductor, of Triton, of the C++ compiler: they share no class
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"--compile: PyTorch cannot compile for {device.type} here ({reason}). Is a C++ compiler installed? "
            "Leave it out otherwise."
        ) from None


@contextmanager
def torch_threads(wanted: int | None) -> Iterator[None]:
    """Compute with `wanted` threads inside the block; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def no_denormals() -> Iterator[None]:
    """Compute with zeros in place of denormal numbers inside the block, in this thread.

    Gradients of a network that has learnt little are full of them, with which a CPU computes up to three times slower
    (EfficientNet-B1, measured); as zeros they change nothing that float32 could show. The state belongs to the
    processor, so other code would meet it too.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
