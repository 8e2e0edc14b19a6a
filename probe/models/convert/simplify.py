"""What a converted graph computes about shapes, replaced by numbers: measured at two batch sizes, not derived.

Whole numbers that come out the same at both are constants. Of a reshape's target, the one entry that grows with the
batch becomes -1. What nothing needs any more is removed, and a transpose that only moves an axis of one element becomes
the reshape that it is.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ....features import InputError
from ...graph.operators import attribute
from ...runtime.sessions import audio_like, open_session, reason
from ...surgery.expose import rebuild

BATCHES = (2, 3)
WHOLE = {"Shape", "Size", "Range", "Div", "Mul", "Add", "Sub", "Max", "Min", "Mod", "Gather", "Concat", "Slice"}
WHOLE |= {"Split", "Squeeze", "Unsqueeze", "Reshape", "ReduceProd", "ReduceSum", "ReduceMax", "Cast", "Where", "Expand"}


def simplify(model: onnx.ModelProto, place: str) -> onnx.ModelProto:
    """The model with its shape arithmetic replaced, and its outputs' shapes; of a fixed batch only the latter."""
    dims = [d.dim_value or 0 for d in model.graph.input[0].type.tensor_type.shape.dim]
    if not all(dims[1:]):
        return rebuild(model, model.graph.node, model.graph.output)
    counted = [] if dims[0] else integers(model)
    results = [value.name for value in model.graph.output]
    few, many = (measure(model, [*counted, *results], (dims[0] or n, *dims[1:]), place) for n in BATCHES)
    del model.graph.output[:]
    for name in results:
        shape = ["batch" if a != b else a for a, b in zip(few[name].shape, many[name].shape)]
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    fixed = {name: few[name] for name in counted if few[name].shape == many[name].shape and _same(few, many, name)}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if all(name in fixed for name in node.output):
            weights |= {name: numpy_helper.from_array(fixed[name], name) for name in node.output}
            continue
        if node.op_type == "Reshape" and (target := _target(node.input[1], few, many, fixed)) is not None:
            name = node.output[0] + "_shape"
            weights[name] = numpy_helper.from_array(target, name)
            node = helper.make_node("Reshape", [node.input[0], name], node.output, name=node.name)
        nodes.append(node)
    return rebuild(model, _moved_ones(nodes, weights), model.graph.output, weights.values())


def integers(model: onnx.ModelProto) -> list[str]:
    """The computed tensors of whole numbers, found from where whole numbers begin."""
    whole = {t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT64}
    found = []
    for node in model.graph.node:
        first = node.input[1] if node.op_type == "Where" else node.input[0]
        to = attribute(node, "to")
        begins = node.op_type in ("Shape", "Size") or to == onnx.TensorProto.INT64
        if begins or (node.op_type in WHOLE and node.op_type != "Cast" and first in whole):
            whole |= set(node.output)
            found += node.output
    return found


def measure(model: onnx.ModelProto, names: Sequence[str], shape: Sequence[int], place: str) -> dict[str, np.ndarray]:
    """The values of these tensors on one batch."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    there = {value.name for value in probe.graph.output}
    more = [name for name in names if name not in there]
    probe.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in more)
    session = open_session(probe, threads=1)
    try:
        return dict(zip(names, session.run(list(names), {model.graph.input[0].name: audio_like(shape)})))
    except Exception as error:  # ONNX Runtime's own kinds have no common base
        raise InputError(
            f"{place}: the graph does not run on an input of {list(shape)}, its recorded shape ({reason(error)}). "
            "Is the length of its window left free? Export it with the window's samples."
        ) from None


def _same(few: dict[str, np.ndarray], many: dict[str, np.ndarray], name: str) -> bool:
    return bool(np.array_equal(few[name], many[name]))


def _target(
    name: str, few: dict[str, np.ndarray], many: dict[str, np.ndarray], fixed: dict[str, np.ndarray]
) -> np.ndarray | None:
    """The reshape's target with -1 where it grows with the batch; None: it is a constant, or grows twice."""
    if name not in few or name in fixed or few[name].shape != many[name].shape:
        return None
    grows = few[name] != many[name]
    if grows.sum() != 1 or (few[name] < 0).any():
        return None
    return np.where(grows, -1, few[name])


def _moved_ones(nodes: list[onnx.NodeProto], weights: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Reshape to [-1, 1, 1, C], transpose to [-1, C, 1, 1]: one reshape."""
    by_output = {name: node for node in nodes for name in node.output}
    done = []
    for node in nodes:
        before = by_output.get(node.input[0]) if node.op_type == "Transpose" else None
        if before is not None and before.op_type == "Reshape" and before.input[1] in weights:
            target = numpy_helper.to_array(weights[before.input[1]])
            order = attribute(node, "perm")
            large = [i for i, n in enumerate(target) if n != 1]
            if [order.index(i) for i in large] == sorted(order.index(i) for i in large) and (target != 0).all():
                name = node.output[0] + "_shape"
                weights[name] = numpy_helper.from_array(target[order], name)
                node = helper.make_node("Reshape", [before.input[0], name], node.output, name=node.name)
        done.append(node)
    return done
