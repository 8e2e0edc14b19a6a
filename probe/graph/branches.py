"""If nodes whose condition does not depend on the audio, replaced by the branch that is taken.

A traced model that serves two sample rates keeps both networks in the branches of an If; with the rate a constant only
one is left, and its blocks can be seen.
"""

import numpy as np
import onnx
from onnx import GraphProto, NodeProto

from ..runtime.sessions import ORT_ERRORS
from .dataflow import reads_of
from .load import FLOATS, audio_input, input_dims
from .operators import attribute, bodies
from .shapes import Shape, run_once

BRANCHES = {"then_branch", "else_branch"}


def inline_branches(model: onnx.ModelProto, shape: Shape | None = None) -> onnx.ModelProto:
    """`model`, changed, with every such If inlined, also those inside the branches; the model itself without any.

    A condition on shapes is decided as it stands for one window and for two, where the window's length is fixed, or
    told by `shape`, that of the input.
    """
    while taken := _decisions(model, shape):
        nodes: list[NodeProto] = []
        for node in model.graph.node:
            if node.op_type == "If" and node.output[0] in taken:
                branch = attribute(node, "then_branch" if taken[node.output[0]] else "else_branch")
                nodes += _inlined(model, node, branch)
            else:
                nodes.append(node)
        nodes = [_copy(node) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model


def _copy(node: NodeProto) -> NodeProto:
    made = NodeProto()
    made.CopyFrom(node)
    return made


def _decisions(model: onnx.ModelProto, shape: Shape | None) -> dict[str, bool]:
    """First output of an If -> whether its condition holds, where that is known before any audio comes."""
    wanted = {
        node.output[0]: node.input[0]
        for node in model.graph.node
        if node.op_type == "If" and node.input and {a.name for a in node.attribute if a.HasField("g")} >= BRANCHES
    }
    if not wanted:
        return {}
    makers = {name: node for node in model.graph.node for name in node.output}
    found: dict[str, bool] = {}
    for output, condition in wanted.items():
        needed = _ancestors(condition, makers)
        value = None if needed is None else _evaluate(model, condition, needed, shape)
        if value is not None:
            found[output] = value
    return found


def _ancestors(tensor: str, makers: dict[str, NodeProto]) -> set[str] | None:
    """First outputs of the nodes that `tensor` needs; None where an If that is still there is one of them."""
    needed: set[str] = set()
    stack = [tensor]
    while stack:
        node = makers.get(stack.pop())
        if node is None or node.output[0] in needed:
            continue
        if node.op_type in ("If", "Loop", "Scan"):
            return None
        needed.add(node.output[0])
        stack += reads_of(node)
    return needed


def _evaluate(model: onnx.ModelProto, condition: str, needed: set[str], shape: Shape | None) -> bool | None:
    """The condition's value; None where windows differ in it or the graph cannot be run so."""
    nodes = [node for node in model.graph.node if node.output and node.output[0] in needed]
    reads = {name for node in nodes for name in reads_of(node)} | {condition}
    graph = onnx.helper.make_graph(
        nodes,
        "condition",
        [value for value in model.graph.input if value.name in reads],
        [onnx.helper.make_tensor_value_info(condition, onnx.TensorProto.BOOL, None)],
        [tensor for tensor in model.graph.initializer if tensor.name in reads],
    )
    part = onnx.helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=model.ir_version)
    audio = audio_input(model)
    feeds: list[dict[str, np.ndarray]] = [{}]
    if audio.name in reads:
        dims = input_dims(audio)
        row = [d for d in (shape or dims)[1:] if isinstance(d, int)]
        if len(row) < len(dims) - 1 or not _only_shape(nodes, audio.name, condition):
            return None
        batches = [dims[0]] if isinstance(dims[0], int) else [1, 2]
        kind = FLOATS[audio.type.tensor_type.elem_type]
        feeds = [{audio.name: np.zeros((batch, *row), kind)} for batch in batches]
    try:
        values = {bool(np.all(run_once(part, feed)[0])) for feed in feeds}
    except ORT_ERRORS:
        return None
    return values.pop() if len(values) == 1 else None


def _only_shape(nodes: list[NodeProto], audio: str, condition: str) -> bool:
    """True where the condition looks at shapes alone, whatever else is done to the audio in front of them."""
    data = {audio}
    for node in nodes:
        if node.op_type not in ("Shape", "Size") and data & reads_of(node):
            data.update(node.output)
    return condition not in data


def _inlined(model: onnx.ModelProto, node: NodeProto, branch: GraphProto) -> list[NodeProto]:
    """The branch's nodes under names of their own, its results under the names of the If's outputs."""
    names = {result.name: output for result, output in zip(branch.output, node.output) if output}
    inner = {name for child in branch.node for name in child.output if name}
    inner |= {tensor.name for tensor in branch.initializer}
    made: list[NodeProto] = []
    for result, output in zip(branch.output, node.output):
        if result.name not in inner:  # a tensor of the outer graph, handed through
            made.append(onnx.helper.make_node("Identity", [result.name], [output]))
            del names[result.name]
    rename = {name: names.get(name, f"{node.output[0]}/{name}") for name in inner}
    for tensor in branch.initializer:
        kept = model.graph.initializer.add()
        kept.CopyFrom(tensor)
        kept.name = rename[tensor.name]
    return [*(_renamed(child, rename) for child in branch.node), *made]


def _renamed(node: NodeProto, names: dict[str, str]) -> NodeProto:
    """A copy with these tensors renamed, in the bodies of its own If, Loop and Scan too (where they are captured)."""
    made = _copy(node)
    made.input[:] = [names.get(name, name) for name in node.input]
    made.output[:] = [names.get(name, name) for name in node.output]
    for body in bodies(made):
        own = {name for child in body.node for name in child.output} | {value.name for value in body.input}
        outer = {a: b for a, b in names.items() if a not in own}
        children = [_renamed(child, outer) for child in body.node]
        del body.node[:]
        body.node.extend(children)
        for value in body.output:
            value.name = outer.get(value.name, value.name)
    return made
