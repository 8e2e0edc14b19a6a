"""Torch's ONNX exporter, the way this package uses it, without its log."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def quiet() -> Iterator[None]:
    """Torch's exporter tells its own deprecations and traces every step to its log: irrelevant to users, and slow."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def program_of(
    module: nn.Module,
    example: Sequence[Tensor],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    variadic: bool = False,
    free: bool = True,
) -> torch.onnx.ONNXProgram:
    """The module, in evaluation mode, as a graph of an opset from 18 on. example: one tensor an input.

    variadic: whether `forward` takes the inputs as `*xs`. free: whether the first dimension of every input is a batch
    of any size; without it all are as in the example.
    """
    with quiet(), torch.no_grad():
        batch = torch.export.Dim("batch", min=1)
        each = tuple({0: batch} for _ in example)
        program = torch.onnx.export(
            module,
            tuple(example),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=opset,
            dynamo=True,
            dynamic_shapes=((each,) if variadic else each) if free else None,
            verbose=False,
        )
    assert program is not None  # the older exporter alone returns nothing
    return program
