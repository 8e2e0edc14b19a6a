"""Leaves out the spectrum bins that no mel band reads: rows of the mel matrix that are zero throughout.

Before: frames -> MatMul (DFT, K x J) -> square, sum, root ... -> MatMul (mel bands, J x M, some rows all zero)
After:  the same with the bins that are read: K x J' and J' x M

Between the two matrices every step acts on each bin by itself, in one path or in two (real and imaginary part), and
nothing else reads it; a transform's pairs (Reshape to [..., J, 2], then a sum over the last axis) count as such a step.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from ...features import InputError
from ..graph.dataflow import reads_of
from .expose import rebuild
from .frontend_folding import TOLERANCE, agree
from .linear_chains import Finder

LEAST = 1 / 16  # of the bins that must be unread: dropping one or two saves nothing
ALONE = {"Abs", "Sqrt", "Log", "Neg", "Exp", "Relu", "Identity", "Clip", "Reciprocal"}
BESIDE = {"Add", "Mul", "Sub", "Div", "Max", "Min", "Pow"}


@dataclass
class Bins:
    """One mel matrix: what makes its bins. products: MatMuls by a constant, with the numbers they give a bin.
    targets: Reshapes into pairs. reads: how many nodes read a tensor or its shape."""

    finder: Finder
    size: int
    products: list[tuple[NodeProto, int]]
    targets: list[NodeProto]
    reads: Counter[str]

    def trace(self, name: str, parts: int = 1) -> bool:
        """Whether all that leads to `name` acts on each bin by itself, down to constant matrices."""
        finder = self.finder
        node = finder.producer.get(name)
        if node is None or self.reads[name] != 1 or name in finder.outputs:
            return False
        if finder.matrix(node):
            self.products.append((node, parts))
            return finder.weights[node.input[1]].dims[1] == self.size * parts
        if node.op_type in ALONE:
            return self.trace(node.input[0], parts)
        if node.op_type == "ReduceSum" and parts == 1 and self.over_last(node):
            return self.trace(node.input[0], 2)
        if node.op_type == "Reshape" and parts == 2:
            target = finder.small.get(node.input[1], np.zeros(0)).tolist()
            self.targets.append(node)
            return target[-2:] == [self.size, 2] and self.trace(node.input[0], 2)
        if node.op_type in BESIDE:
            constants = {i: finder.constant(i) for i in node.input}
            inputs = [i for i, value in constants.items() if value is None or value.size != 1]
            return bool(inputs) and all(self.trace(i, parts) for i in dict.fromkeys(inputs))
        return False

    def over_last(self, node: NodeProto) -> bool:
        kept = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        axes = [list(a.ints) for a in node.attribute if a.name == "axes"]
        if len(node.input) > 1:
            axes = [np.ravel(self.finder.small.get(node.input[1], np.zeros(0))).tolist()]
        return not kept and axes == [[-1]]


def found_bins(finder: Finder) -> Iterator[tuple[NodeProto, Bins, np.ndarray]]:
    """(The product with the mel bands, what makes its bins, the bins that are read)."""
    reads = Counter(name for node in finder.model.graph.node for name in reads_of(node))
    for node in finder.model.graph.node:
        if not finder.matrix(node) or reads[node.input[1]] > 1:
            continue
        mel = numpy_helper.to_array(finder.weights[node.input[1]])
        read = np.flatnonzero(mel.any(axis=1))
        if not 0 < len(read) <= (1 - LEAST) * len(mel):
            continue
        bins = Bins(finder, len(mel), [], [], reads)
        if bins.trace(node.input[0]) and all(reads[made.input[1]] == 1 for made, _ in bins.products):
            yield node, bins, read


def drop_unread(
    model: onnx.ModelProto, row: tuple[int, ...] | None = None, proven: bool = False
) -> tuple[onnx.ModelProto, str]:
    """The model without the bins that no mel band reads, and a note; proven on the mel bands of two seeded windows."""
    finder = Finder(model)
    weights: list[onnx.TensorProto] = []
    nodes = {node.output[0]: node for node in model.graph.node if node.output}
    tensors, left, of = [], 0, 0
    for node, bins, read in found_bins(finder):
        mel = numpy_helper.to_array(finder.weights[node.input[1]])
        weights.append(numpy_helper.from_array(np.ascontiguousarray(mel[read]), node.input[1]))
        for made, parts in bins.products:
            matrix = numpy_helper.to_array(finder.weights[made.input[1]])
            kept = (read[:, None] * parts + np.arange(parts)).ravel()
            weights.append(numpy_helper.from_array(np.ascontiguousarray(matrix[:, kept]), made.input[1]))
        for made in bins.targets:
            label = f"birdprobe/bins/{made.output[0]}"
            target = finder.small[made.input[1]].copy()
            target[-2] = len(read)
            weights.append(numpy_helper.from_array(target, label))
            changed = NodeProto()
            changed.CopyFrom(made)
            changed.input[1] = label
            nodes[made.output[0]] = changed
        tensors.append(node.output[0])
        left, of = left + len(read), of + bins.size
    if not tensors:
        return model, ""
    try:
        kept_nodes = [nodes[n.output[0]] if n.output else n for n in model.graph.node]
        dropped = rebuild(model, kept_nodes, model.graph.output, weights)
        off = 0.0 if proven else agree(model, dropped, tensors, row)
    except InputError as error:
        return model, f"front end: its unread bins are left as they were ({error})"
    if off > TOLERANCE:
        return model, f"front end: its unread bins are left as they were (without them {off:.1e} relative L2 away)"
    return (
        dropped,
        f"front end: bins that no mel band reads left out ({left} of {of} are computed)",
    )
