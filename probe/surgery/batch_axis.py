"""Frees the batch axis of a graph that was exported for a fixed number of windows, where its structure allows."""

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from ..graph import shapes
from ..graph.load import audio_input, fixed_batch
from ..graph.node_list import NodeList
from ..graph.operators import attribute
from .expose import rebuild


def constants(model: onnx.ModelProto, most: int | None = 64) -> dict[str, np.ndarray]:
    """Constant tensors of at most so many numbers by name, initializers and Constant nodes: shapes, axes, sizes."""
    found = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and (tensor := attribute(node, "value")) is not None:
            found[node.output[0]] = tensor
    small = {name: t for name, t in found.items() if not t.external_data and (most is None or np.prod(t.dims) <= most)}
    return {name: numpy_helper.to_array(tensor) for name, tensor in small.items()}


def measure(
    model: onnx.ModelProto, tensors: list[str], batch: int, row: tuple[int, ...] | None = None
) -> dict[str, tuple[int, ...]]:
    """Shapes that these tensors have when `batch` windows run; only what they need is run."""
    entry = audio_input(model)
    row = row or tuple(d.dim_value for d in entry.type.tensor_type.shape.dim[1:])
    infos = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(tensors) if name != entry.name]
    if not infos:
        return {entry.name: (batch, *row)}
    return shapes.measure(rebuild(model, model.graph.node, infos), tensors, (batch, *row))


def free_batch(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with a dynamic batch axis, or None when it already has one (or no batch axis at all).

    Before: input [1, S], Reshape to the constant [1, 8, 64]. After: input [batch, S], Reshape to [-1, 8, 64], the
    other dimensions as they were measured. A candidate only: a graph that keeps one window in other places (a
    broadcast class token, a transposed batch) fails verification on two windows and must then be run as it was.
    """
    batch = fixed_batch(model)
    if batch is None:
        return None
    known = constants(model)
    shaped = [n for n in model.graph.node if n.op_type == "Reshape" and known.get(n.input[1], np.zeros(0)).size]
    shaped = [n for n in shaped if known[n.input[1]][0] > 0]
    measured = measure(model, [n.output[0] for n in shaped], batch) if shaped else {}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Reshape" and node.output[0] in measured and measured[node.output[0]][0] % batch == 0:
            n, changed = NodeList(f"birdprobe/batch/{node.output[0]}/"), NodeProto()
            changed.CopyFrom(node)
            changed.input[1] = n.integers([-1, *measured[node.output[0]][1:]])
            nodes += [*n.nodes, changed]
        else:
            nodes.append(node)
    outputs = []
    for output in model.graph.output:
        info = onnx.ValueInfoProto()
        info.CopyFrom(output)
        if info.type.tensor_type.shape.dim:
            info.type.tensor_type.shape.dim[0].dim_param = "batch"
        outputs.append(info)
    freed = rebuild(model, nodes, outputs)
    audio_input(freed).type.tensor_type.shape.dim[0].dim_param = "batch"
    return freed


def pin_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its input's first dimension 1: for graphs whose dynamic batch is declared but not kept."""
    pinned = rebuild(model, model.graph.node, model.graph.output)
    audio_input(pinned).type.tensor_type.shape.dim[0].dim_value = 1
    return pinned
