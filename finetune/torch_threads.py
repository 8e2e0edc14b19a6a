"""How torch computes, for a while: with how many threads, and with denormal numbers or zeros in their place."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
