"""Moves scales and offsets of the last axis behind the Transpose that follows them, where whole planes share a number.

Before: x [.., T, C] -> Mul by [C] -> Add [C] -> Transpose to [.., C, .., T]
After:  x -> Transpose -> Mul by [C, 1, ..] -> Add [C, 1, ..]

ONNX Runtime broadcasts C numbers at a time before and a whole plane after, which tells where C is few.
The same numbers are multiplied and added, so results are equal to the last bit.
"""

from collections import Counter

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from ..graph.dataflow import reads_of
from ..graph.operators import attribute
from .expose import Rewrite, rebuild, substituted
from .linear_chains import Finder

BESIDE = ("Add", "Mul", "Sub", "Div")


def move_scales(model: onnx.ModelProto, row: tuple[int, ...] | None = None) -> Rewrite | str:
    """The model with such scales moved, or "" where there are none; found without running it, whatever its `row`."""
    finder = Finder(model)
    reads = Counter(name for node in model.graph.node for name in reads_of(node))
    changed: dict[str, list[NodeProto]] = {}
    weights: list[onnx.TensorProto] = []
    for node in model.graph.node:
        perm = attribute(node, "perm", [])
        if node.op_type != "Transpose" or not perm or perm[-1] == len(perm) - 1:
            continue
        steps, name = [], node.input[0]
        while reads[name] == 1 and name not in finder.outputs and (step := scale_of(finder, name)):
            steps.append(step)
            name = step[1]
        if any(values.size > 1 for _, _, values in steps):
            changed[node.output[0]] = moved(node, perm, name, steps[::-1], weights)
    if not changed:
        return ""
    what = f"scales of channels moved behind {len(changed)} transpose{'s' * (len(changed) > 1)}"
    return Rewrite(rebuild(model, substituted(model, changed), model.graph.output, weights), tuple(changed), what)


def scale_of(finder: Finder, name: str) -> tuple[NodeProto, str, np.ndarray] | None:
    """(The node that gives `name`, its data tensor, its numbers [C] or [1] of the last axis), or None."""
    node = finder.producer.get(name)
    found = finder.beside(node) if node is not None and node.op_type in BESIDE else None
    return None if node is None or found is None else (node, *found)


def moved(
    node: NodeProto,
    perm: list[int],
    source: str,
    steps: list[tuple[NodeProto, str, np.ndarray]],
    weights: list[onnx.TensorProto],
) -> list[NodeProto]:
    """The Transpose of `source`, then the steps with their numbers along the axis where the last one has gone."""
    label = f"birdprobe/scales/{node.output[0]}"
    behind = len(perm) - 1 - perm.index(len(perm) - 1)
    made = [helper.make_node("Transpose", [source], [label], name=label, perm=perm)]
    now = label
    for i, (old, data, values) in enumerate(steps):
        weights.append(numpy_helper.from_array(values.reshape(-1, *[1] * behind), f"{label}/{i}/values"))
        inputs = [now if name == data else weights[-1].name for name in old.input]
        now = node.output[0] if i == len(steps) - 1 else f"{label}/{i}"
        made.append(helper.make_node(old.op_type, inputs, [now], name=now))
    return made
