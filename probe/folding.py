"""Folds a front end's linear chain of constants into one matrix, and framing + matrix into one strided convolution.

Before: waveform -> frames [N, T, K] (Slice, Reshape, Gather) -> * window -> MatMul (real part of a DFT, K x J)
        -> reshape -> MatMul (mel bands, J x M) -> square ...
After:  waveform -> Conv (kernel K, stride = hop, M channels) -> transpose -> reshape -> square ...

Constants acting on the last axis compose whatever moves the leading axes in between: diag(window) @ dft @ mel, in
float64. Found from structure alone, applied only where it lowers the multiply-accumulates and nothing else reads the
steps in between (a magnitude between DFT and mel bands ends a chain: then only window, DFT and framing compose).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from features import InputError
from probe.batching import constants, measure
from probe.proof import Difference, feed_shape, gather, together
from probe.runtime import audio_like, data_input, open_session
from probe.surgery import fixed_batch, reads_of, rebuild, required_input, sort_nodes

TOLERANCE = 1e-5  # relative L2 of every output, folded against plain
ALONG_ROWS = {"Reshape", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Identity", "Cast"}
MOVES = {*ALONG_ROWS, "Gather", "Flatten"}
Shapes = dict[str, tuple[tuple[int, ...], ...]]  # tensor -> its measured shape at each of the batch sizes tried


@dataclass(frozen=True)
class Chain:
    """nodes: from the input side to the last MatMul. source: the tensor that enters. matrix: the composed [K, M].

    framing: (waveform tensor, hop) when `source` is proven to be frames of it.
    """

    nodes: tuple[NodeProto, ...]
    source: str
    matrix: np.ndarray
    macs_before: int
    macs_after: int
    framing: tuple[str, int] | None = None


def fold(model: onnx.ModelProto, row: tuple[int, ...] | None = None) -> tuple[onnx.ModelProto, str]:
    """(A folded model, a note that says what was done), or (the model itself, a note) where there is nothing to fold.

    row: the shape of one window where the input's length is dynamic. The result is checked on two seeded windows:
    unless every output agrees within 1e-5 relative L2, the model is returned as it was.
    """
    finder = Finder(model)
    loose = list(finder.runs())
    if not loose or len(required_input(model).type.tensor_type.shape.dim) < 2:
        return model, "front end: no linear chain to fold"
    try:
        shapes = finder.shapes(loose, row)
        chains = [c for nodes in loose for c in [finder.compose(nodes, shapes)] if c]
        chains = [c for c in (finder.frame(chain, shapes) for chain in chains) if worth(c)]
        if not chains:
            return model, "front end: no chain whose folding would save work"
        folded = finder.apply(chains, shapes)
        off = agree(model, folded, row)
    except InputError as error:
        return model, f"front end: left as it was ({error})"
    if off > TOLERANCE:
        return model, f"front end: left as it was (folding changed an output by {off:.1e} relative L2)"
    before, after = sum(c.macs_before for c in chains), sum(c.macs_after for c in chains)
    framed = sum(c.framing is not None for c in chains)
    return folded, (
        f"front end: {len(chains)} linear chain{'s' * (len(chains) > 1)} folded ({framed} with the framing), "
        f"{before / 1e6:.0f} -> {after / 1e6:.0f} million multiply-accumulates a window, outputs within {off:.1e}"
    )


def worth(chain: Chain) -> bool:
    """Two matrices became a cheaper one, or frames need no longer be written out."""
    products = sum(n.op_type == "MatMul" for n in chain.nodes)
    return chain.framing is not None or (products > 1 and chain.macs_after < chain.macs_before)


def agree(model: onnx.ModelProto, folded: onnx.ModelProto, row: tuple[int, ...] | None) -> float:
    """The worst relative L2 difference of any output on two seeded windows."""
    results = []
    for each in (model, folded):
        session = open_session(each)
        spec = data_input(session)
        x = audio_like((2, *(row or feed_shape(spec))), spec.dtype)
        results.append(gather(session, x, together(spec)))
    return max(Difference.between(ours, theirs).rel_l2 for theirs, ours in zip(*results))


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
        if node.op_type not in ("Mul", "Div"):
            return None
        for data, name in [(0, 1), (1, 0)][: 2 if node.op_type == "Mul" else 1]:
            factor = self.constant(node.input[name])
            if factor is not None and factor.dtype == np.float32 and factor.size == (factor.shape or (1,))[-1]:
                factor = factor.reshape(-1).astype(np.float64)
                return node.input[data], factor if node.op_type == "Mul" else 1.0 / factor
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
        matrix, factors, before = None, np.ones(size), 0
        for i, node in enumerate(nodes):
            inner, outer = shapes[name][0], shapes[node.output[0]][0]
            scaled = self.scale(node)
            if self.matrix(node):
                weights = numpy_helper.to_array(self.weights[node.input[1]]).astype(np.float64)
                matrix = factors[:, None] * weights if i == first else matrix @ weights
                before += int(np.prod(inner)) * outer[-1]
            elif scaled:
                if len(outer) != len(inner) or scaled[1].size not in (1, inner[-1]):
                    return None
                if i < first:
                    factors = factors * scaled[1]
                else:
                    matrix = matrix * scaled[1]
                before += int(np.prod(inner))
            elif not self.keeps_rows(node, inner, outer):
                return None
            name = node.output[0]
        per_window = shapes[name][0][0] if len(shapes[name]) == 1 else 2
        rows = int(np.prod(shapes[nodes[first].output[0]][0][:-1]))
        after = rows * matrix.shape[0] * matrix.shape[1]
        return Chain(nodes, self.source(nodes), matrix, before // per_window, after // per_window)

    def keeps_rows(self, node: NodeProto, inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
        """Whether the node moves whole rows [..., K] about and leaves each row as it is."""
        if not inner or not outer or inner[-1] != outer[-1]:
            return False
        if node.op_type == "Transpose":
            perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            return perm is not None and perm[-1] == len(perm) - 1
        if node.op_type == "Slice" and len(node.input) > 4:  # backwards keeps the size and turns the row round
            return bool(np.all(self.small.get(node.input[4], np.array(-1)) > 0))
        if node.op_type == "Cast":
            return next(a.i for a in node.attribute if a.name == "to") == onnx.TensorProto.FLOAT
        return True

    def waveform(self, name: str) -> str:
        """The tensor that data movement alone leads to `name` from."""
        while name in self.producer and self.producer[name].op_type in MOVES:
            name = self.producer[name].input[0]
        return name

    def frame(self, chain: Chain, shapes: Shapes) -> Chain:
        """The chain with its framing, if `source` is waveform[hop * t + k] for every window, frame t and sample k.

        Proven, not guessed: the nodes in between move numbers without changing them, so they are run on 0, 1, 2, ...
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
        return Chain(chain.nodes, chain.source, chain.matrix, chain.macs_before, chain.macs_after, (wave, hop))

    def ramp(self, wave: str, shape: tuple[int, ...], target: str) -> np.ndarray:
        nodes = [n for n in self.model.graph.node if wave not in n.output]
        part = rebuild(self.model, nodes, [onnx.ValueInfoProto(name=target)])
        del part.graph.input[:]
        part.graph.input.append(helper.make_tensor_value_info(wave, onnx.TensorProto.FLOAT, shape))
        x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        return open_session(part).run(None, {wave: x})[0]

    def apply(self, chains: list[Chain], shapes: Shapes) -> onnx.ModelProto:
        """A new model: composed matrices in place of each chain's first MatMul, identities in place of the rest."""
        changed: dict[str, list[NodeProto]] = {}
        weights: list[onnx.TensorProto] = []
        for node in self.model.graph.node:
            if self.computed_reshape(node):  # their arithmetic reads shapes that are about to change
                target = constant_shape(shapes[node.output[0]])
                if target:
                    changed[node.output[0]] = reshape(node.input[0], node.output[0], target)
        for chain in chains:
            first = next(n for n in chain.nodes if self.matrix(n))
            begun = False
            for node in chain.nodes:
                name = node.output[0]
                data = self.scale(node)[0] if self.scale(node) else node.input[0]
                if node is first:
                    begun = True
                    changed[name] = self.product(chain, node, shapes, weights)
                elif self.matrix(node) or self.scale(node):
                    changed[name] = [helper.make_node("Identity", [data], [name], name=f"{name}/folded")]
                elif begun and node.op_type == "Reshape":
                    target = constant_shape(shapes[name])
                    if not target:
                        raise InputError(f"reshape to {name} varies in two dimensions")
                    changed[name] = reshape(data, name, [*target[:-1], chain.matrix.shape[1]])
        nodes = [n for old in self.model.graph.node for n in changed.get((*old.output, "")[0], [old])]
        inside = {n.output[0] for c in chains for n in c.nodes}
        live = sort_nodes(nodes, self.outputs)
        stray = next((n for n in live if n.op_type == "Shape" and n.input[0] in inside), None)
        if stray is not None:
            raise InputError(f"the shape of {stray.input[0]} is used elsewhere")
        return rebuild(self.model, nodes, self.model.graph.output, weights)

    def product(
        self, chain: Chain, node: NodeProto, shapes: Shapes, weights: list[onnx.TensorProto]
    ) -> list[NodeProto]:
        name, size = node.output[0], chain.matrix.shape[1]
        label = f"birdprobe/folded/{name}"
        if chain.framing is None:
            weights.append(numpy_helper.from_array(chain.matrix.astype(np.float32), label))
            return [helper.make_node("MatMul", [node.input[0], label], [name], name=name)]
        wave, hop = chain.framing
        kernel = np.ascontiguousarray(chain.matrix.T[:, None, :]).astype(np.float32)  # [M, 1, K]
        weights.append(numpy_helper.from_array(kernel, label))
        samples = int(np.prod(shapes[wave][0])) // shapes[wave][0][0]
        frames = int(np.prod(shapes[chain.source][0])) // shapes[chain.source][0][0] // kernel.shape[2]
        used = (frames - 1) * hop + kernel.shape[2]
        made = reshape(wave, f"{label}/line", [-1, 1, samples])
        line = f"{label}/line"
        if (samples - kernel.shape[2]) // hop + 1 != frames:
            bounds = [np.array([v], np.int64) for v in (0, used, 2)]
            names = [f"{label}/{part}" for part in ("from", "to", "axis")]
            made += [constant(n, v) for n, v in zip(names, bounds)]
            made.append(helper.make_node("Slice", [line, *names], [f"{label}/used"], name=f"{label}/used"))
            line = f"{label}/used"
        lead = constant_shape(shapes[name])
        if not lead:
            raise InputError(f"{name} varies in two dimensions")
        made += [
            helper.make_node("Conv", [line, label], [f"{label}/conv"], name=f"{label}/conv", strides=[hop]),
            helper.make_node("Transpose", [f"{label}/conv"], [f"{label}/rows"], name=f"{label}/rows", perm=[0, 2, 1]),
        ]
        return made + reshape(f"{label}/rows", name, [*lead[:-1], size])


def constant_shape(measured: tuple[tuple[int, ...], ...]) -> list[int] | None:
    """[-1, 511, 96] from (2, 511, 96) and (3, 511, 96); None where more than one dimension depends on the batch."""
    if len(measured) == 1:
        return list(measured[0])
    shape = [a if a == b else -1 for a, b in zip(*measured)]
    return shape if len(measured[0]) == len(measured[1]) and shape.count(-1) <= 1 else None


def reshape(source: str, output: str, target: list[int]) -> list[NodeProto]:
    name = f"{output}/target"
    value = numpy_helper.from_array(np.array(target, np.int64), name)
    return [
        helper.make_node("Constant", [], [name], name=name, value=value),
        helper.make_node("Reshape", [source, name], [output], name=output),
    ]


def constant(name: str, value: np.ndarray) -> NodeProto:
    return helper.make_node("Constant", [], [name], name=name, value=numpy_helper.from_array(value, name))
