"""Measured shapes: what every tensor of a graph has when one window goes in.

Declared and inferred shapes are not relied on (real files carry stale ones, and inference stops at custom operators):
one run in ONNX Runtime, unoptimised, with a Shape node behind every tensor of interest, answers for all of them. Only
the shapes leave the run, so its memory stays that of a plain forward pass.
"""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper

from ...features import InputError
from ..runtime.providers import CPU
from ..runtime.sessions import quiet_options, reason, start
from .load import FLOATS, audio_input, input_dims
from .soundness import check_size

USUAL_WINDOW = 160_000  # samples: 5 s at 32 kHz, where a model leaves its window length open
USUAL_FRAMES = 1024
MOST_CHANNELS = 8  # of a recorder
SEQUENCES = {"SplitToSequence", "SequenceConstruct", "SequenceInsert", "SequenceEmpty", "SequenceErase"}
OF_SEQUENCES = {"ConcatFromSequence", "SequenceAt", "SequenceLength", "SequenceInsert", "SequenceErase"}  # first input

Shape = tuple[int, ...]


def window_shape(model: onnx.ModelProto, wanted: Shape | None = None) -> Shape:
    """The shape of one window: `wanted` where given, else as declared, with batch 1 and a usual length where free."""
    value = audio_input(model)
    dims = input_dims(value)
    if wanted is not None:
        if dims and len(wanted) != len(dims):
            raise InputError(f"model input {value.name}: shape {tuple(wanted)} asked for, declared {dims}")
        return tuple(int(n) for n in wanted)
    if not dims:
        raise InputError(f"model input {value.name}: its rank is not declared; give the window's length")
    shape = [dim if isinstance(dim, int) else None for dim in dims]
    if len(shape) > 1 and shape[0] is None:
        shape[0] = 1
    free = [axis for axis, size in enumerate(shape) if size is None]
    usual = USUAL_WINDOW if shape[-1] is None and len(shape) < 4 else USUAL_FRAMES
    last = free[-1] if free else None
    alone = [1 if axis == 1 and len(shape) > 2 and axis != last else usual for axis in range(len(shape))]
    return tuple(alone[axis] if size is None else size for axis, size in enumerate(shape))


def measure(model: onnx.ModelProto, tensors: Iterable[str], shape: Shape | None = None) -> dict[str, Shape]:
    """Shapes of `tensors` (names) for one window. Raises InputError when the model cannot be run."""
    value = audio_input(model)
    shape = window_shape(model, shape)
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.value_info[:]
    del probed.graph.output[:]
    unreadable = {name for node in model.graph.node if node.op_type in SEQUENCES for name in node.output}
    unreadable |= {node.input[0] for node in model.graph.node if node.op_type in OF_SEQUENCES}  # what a Loop collects
    names = [name for name in dict.fromkeys(tensors) if name and name not in unreadable and name != value.name]
    for i, name in enumerate(names):
        probed.graph.node.append(helper.make_node("Shape", [name], [f"shape//{i}"]))
        probed.graph.output.append(helper.make_tensor_value_info(f"shape//{i}", onnx.TensorProto.INT64, None))
    check_size("model", value.name, shape)
    try:
        window = np.random.default_rng(0).normal(0, 0.05, shape).astype(FLOATS[value.type.tensor_type.elem_type])
        measured = run_once(probed, {value.name: window})
    except Exception as error:  # no memory for a window; ONNX Runtime raises many classes, none of them public
        open_length = any(not isinstance(dim, int) for dim in input_dims(value)[1:])
        hint = ". Its length is open: is this one that it takes (--sample-rate and --window)?" if open_length else ""
        raise InputError(f"model: cannot be run on one window of shape {shape}: {reason(error)}{hint}") from error
    return {value.name: shape} | {name: tuple(map(int, s)) for name, s in zip(names, measured, strict=True)}


def run_once(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Its outputs, from an unoptimised run."""
    return start(model, quiet_options(optimised=False), CPU.providers()).run(None, feeds)
