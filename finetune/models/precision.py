"""Where a network must not be run in half precision."""

import contextlib
from contextlib import AbstractContextManager

import torch


def float32(device: torch.device) -> AbstractContextManager:
    """A context without autocast; no context at all where none is on, so that an exported graph carries no trace of it.

    It does not convert: what comes in as bfloat16 wants `.float()` inside.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()
