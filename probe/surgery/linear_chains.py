"""Linear chains of constants in a graph, found from structure and composed into one matrix.

A run is a path of nodes that ends in a MatMul by a constant, whose every node either acts on the last axis by a
constant (MatMul, Mul, Div) or moves whole rows about (Reshape, Squeeze, Transpose of leading axes, ...), and whose
steps nothing else reads. Constants acting on the last axis compose whatever happens to the leading ones.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from ...features import InputError
from ..graph.dataflow import reads_of
from ..graph.load import fixed_batch
from ..graph.operators import attribute
from ..runtime.sessions import open_session
from .batch_axis import constants, measure
from .expose import rebuild

ALONG_ROWS = {"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Identity", "Cast"}
MOVES = {*ALONG_ROWS, "Gather", "Flatten"}
Shapes = dict[str, tuple[tuple[int, ...], ...]]  # tensor -> its measured shape at each of the batch sizes tried


@dataclass(frozen=True)
class Chain:
    """nodes: from the input side to the last MatMul. source: the tensor that enters. matrix: the composed [K, M].

    framing: (waveform tensor, hop) when `source` is shown to be frames of it.
    """

    nodes: tuple[NodeProto, ...]
    source: str
    matrix: np.ndarray
    macs_before: int
    macs_after: int
    framing: tuple[str, int] | None = None


class Finder:
    """One model, indexed for folding. Reads it, never writes to it."""

    def __init__(self, model: onnx.ModelProto):
        self.model = model
        self.producer = {name: node for node in model.graph.node for name in node.output}
        self.weights = {t.name: t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
        self.small = constants(model)
        self.outputs = {o.name for o in model.graph.output}
        self.readers = Counter(name for node in model.graph.node for name in reads_of(node))
        for node in model.graph.node:
            if node.op_type == "Shape":
                self.readers[node.input[0]] -= 1

    def constant(self, name: str) -> np.ndarray | None:
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        return self.small.get(name)

    def matrix(self, node: NodeProto) -> bool:
        return node.op_type == "MatMul" and node.input[1] in self.weights and len(self.weights[node.input[1]].dims) == 2

    def scale(self, node: NodeProto) -> tuple[str, np.ndarray] | None:
        """(data tensor, factors [K] or [1]) of a Mul or Div by a constant that varies along the last axis only."""
        found = self.beside(node) if node.op_type in ("Mul", "Div") else None
        if found is None or (node.op_type == "Div" and found[0] != node.input[0]):
            return None
        factor = found[1].reshape(-1).astype(np.float64)
        return found[0], factor if node.op_type == "Mul" else 1.0 / factor

    def beside(self, node: NodeProto) -> tuple[str, np.ndarray] | None:
        """(data tensor, numbers [K] or [1]) of two operands, one a constant that varies along the last axis only."""
        for data, other in ((0, 1), (1, 0)):
            values = self.constant(node.input[other])
            if values is not None and values.dtype == np.float32 and values.size == (values.shape or (1,))[-1]:
                return node.input[data], values
        return None

    def runs(self) -> Iterator[tuple[NodeProto, ...]]:
        """Candidates, longest first to last: maximal runs of foldable nodes that end in a MatMul by a constant."""
        taken: set[str] = set()
        for last in reversed(self.model.graph.node):
            if not self.matrix(last) or last.output[0] in taken:
                continue
            nodes, name = [last], last.input[0]
            while self.readers[name] == 1 and name not in self.outputs and name in self.producer:
                node = self.producer[name]
                scaled = self.scale(node)
                if not (self.matrix(node) or scaled or node.op_type in ALONG_ROWS):
                    break
                nodes.append(node)
                name = scaled[0] if scaled else node.input[0]
            while not (self.matrix(nodes[-1]) or self.scale(nodes[-1])):
                nodes.pop()
            products = [n for n in nodes if self.matrix(n)]
            taken |= {n.output[0] for n in products}
            source = self.source(tuple(reversed(nodes)))
            if len(products) > 1 or self.gathered(source):
                yield tuple(reversed(nodes))

    def gathered(self, name: str) -> bool:
        """Whether a Gather is among the data movement that leads to `name`: frames that overlap."""
        while name in self.producer and self.producer[name].op_type in MOVES:
            if self.producer[name].op_type == "Gather":
                return True
            name = self.producer[name].input[0]
        return False

    def source(self, nodes: tuple[NodeProto, ...]) -> str:
        scaled = self.scale(nodes[0])
        return scaled[0] if scaled else nodes[0].input[0]

    def shapes(self, chains: list[tuple[NodeProto, ...]], row: tuple[int, ...] | None) -> Shapes:
        """Measured shapes of the chains' tensors, of what moves into them, and of every computed Reshape."""
        names = [n.output[0] for n in self.model.graph.node if self.computed_reshape(n)]
        for nodes in chains:
            names += [n.output[0] for n in nodes]
            names += [self.source(nodes), self.waveform(self.source(nodes))]
        fixed = fixed_batch(self.model)
        runs = [measure(self.model, names, batch, row) for batch in ([fixed] if fixed else [2, 3])]
        return {name: tuple(run[name] for run in runs) for name in names}

    def computed_reshape(self, node: NodeProto) -> bool:
        return node.op_type == "Reshape" and node.input[1] not in self.small

    def compose(self, nodes: tuple[NodeProto, ...], shapes: Shapes) -> Chain | None:
        """The chain's one matrix, or None where a node does not act along whole rows after all."""
        name = self.source(nodes)
        first = next(i for i, n in enumerate(nodes) if self.matrix(n))
        size = shapes[name][0][-1]
        matrix: np.ndarray | None = None
        factors, before = np.ones(size), 0
        for node in nodes:
            inner, outer = shapes[name][0], shapes[node.output[0]][0]
            scaled = self.scale(node)
            if self.matrix(node):
                weights = numpy_helper.to_array(self.weights[node.input[1]]).astype(np.float64)
                matrix = factors[:, None] * weights if matrix is None else matrix @ weights
                before += int(np.prod(inner)) * outer[-1]
            elif scaled:
                if len(outer) != len(inner) or scaled[1].size not in (1, inner[-1]):
                    return None
                if matrix is None:
                    factors = factors * scaled[1]
                else:
                    matrix = matrix * scaled[1]
                before += int(np.prod(inner))
            elif not self.keeps_rows(node, inner, outer):
                return None
            name = node.output[0]
        if matrix is None:
            return None
        per_window = shapes[name][0][0] if len(shapes[name]) == 1 else 2
        rows = int(np.prod(shapes[nodes[first].output[0]][0][:-1]))
        after = rows * matrix.shape[0] * matrix.shape[1]
        return Chain(nodes, self.source(nodes), matrix, before // per_window, after // per_window)

    def keeps_rows(self, node: NodeProto, inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
        """Whether the node moves whole rows [..., K] about and leaves each row as it is."""
        if not inner or not outer or inner[-1] != outer[-1]:
            return False
        if node.op_type == "Transpose":
            perm = attribute(node, "perm")
            return perm is not None and perm[-1] == len(perm) - 1
        if node.op_type == "Slice" and len(node.input) > 4:  # backwards keeps the size and turns the row round
            return bool(np.all(self.small.get(node.input[4], np.array(-1)) > 0))
        if node.op_type == "Cast":
            return attribute(node, "to") == onnx.TensorProto.FLOAT
        return True

    def waveform(self, name: str) -> str:
        """The tensor that data movement alone leads to `name` from."""
        while name in self.producer and self.producer[name].op_type in MOVES:
            name = self.producer[name].input[0]
        return name

    def frame(self, chain: Chain, shapes: Shapes) -> Chain:
        """The chain with its framing, if `source` is waveform[hop * t + k] for every window, frame t and sample k.

        Checked by running it: the nodes in between only move numbers, so they are run on 0, 1, 2, ...
        """
        wave = self.waveform(chain.source)
        batch, size = shapes[chain.source][0][0], chain.matrix.shape[0]
        total = int(np.prod(shapes[wave][0]))
        samples = total // batch
        if wave == chain.source or self.readers[chain.source] != 1 or total >= 1 << 24:
            return chain
        try:
            frames = self.ramp(wave, shapes[wave][0], chain.source).reshape(batch, -1, size)
        except (InputError, ValueError):
            return chain
        hop = int(frames[0, 1, 0] - frames[0, 0, 0]) if frames.shape[1] > 1 else 0
        t, k = np.arange(frames.shape[1])[:, None], np.arange(size)
        wanted = np.arange(batch)[:, None, None] * samples + hop * t + k
        if not 0 < hop < size or not np.array_equal(frames, wanted):
            return chain
        return replace(chain, framing=(wave, hop))

    def ramp(self, wave: str, shape: tuple[int, ...], target: str) -> np.ndarray:
        nodes = [n for n in self.model.graph.node if wave not in n.output]
        part = rebuild(self.model, nodes, [onnx.ValueInfoProto(name=target)])
        del part.graph.input[:]
        part.graph.input.append(helper.make_tensor_value_info(wave, onnx.TensorProto.FLOAT, shape))
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        return open_session(part).run(None, {wave: x})[0]
