"""The same network untrained: every learned weight drawn anew, layer by layer, while windows pass through.

Weights of one scale for all layers (He et al. 2015) explode or vanish where a batch normalisation was folded into its
convolution. Shuffling each trained tensor, or normals of its own mean and deviation, keep the scale but lose the
audio: Wren's embeddings of different windows then differ, for their size, 170 times less than when trained (tried),
because the offsets that folding left fit the trained weights alone. So each layer gets what a fresh network with batch
normalisation has: weights N(0, 1), scaled so that every output channel has deviation 1 over windows and positions, and
the bias that makes its mean 0 (data-dependent initialisation: Salimans and Kingma 2016; Mishkin and Matas 2016). Batch
normalisations get gain 1, offset 0 and these statistics. Layers on a pooled vector (squeeze-excitation, the classifier)
are scaled as a whole, to root mean square 1, with bias 0: windows that agree in a channel would otherwise be told apart
by rounding. Other learned numbers (gains of layer normalisations, slopes, position codes, recurrent and quantised
weights) are shuffled, each tensor's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from ...features import InputError
from ..graph.dataflow import Graph, reads_of, sort_nodes
from ..graph.layers import LAYOUT, SCALES, TRANSPARENT, learned
from ..graph.operators import attribute, bodies
from ..runtime.sessions import open_session, skeleton
from .expose import rebuild

Values = list[np.ndarray]  # of one tensor, an array a call
BODY = 64  # numbers in the body of an If or a Loop that count as no weights
DEAD = 1e-6  # deviation between windows over root mean square: below it a tap does not hear the audio


@dataclass
class Redraw:
    """One pass over a model: its nodes run in order, each learned one with new weights.

    model: what is drawn anew. windows: what passes through, an array a call. taps: tensor -> name of those that must
    hear the audio. advance: called after each node. weights, nodes, count: the new constants, the nodes that read them,
    and how many numbers were drawn.
    """

    model: onnx.ModelProto
    windows: Values
    taps: Mapping[str, str]
    seed: int
    advance: Callable[[], None] = lambda: None
    weights: dict[str, TensorProto] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        graph = Graph.of(self.model)
        self.rng = np.random.default_rng(self.seed)
        self.learned = learned(graph)
        self.heard = {graph.source, *graph.producer}  # tensors that depend on the audio
        self.stored = {tensor.name: tensor for tensor in self.model.graph.initializer}
        self.values: dict[str, Values] = {graph.source: self.windows}
        self.centred: set[str] = set()  # tensors behind a layer with nothing but scales and layout between
        self.shared: dict[str, str] = {}  # weights that several nodes read, by their old names

    def run(self) -> onnx.ModelProto:
        """The model with new weights.

        Raises:
            InputError: nothing was learned; weights inside a loop; a tap that no longer hears the audio.
        """
        if not self.learned:
            raise InputError("model: no learned weights behind its front end; is it a spectrogram alone?")
        order = sort_nodes(list(self.model.graph.node), {o.name for o in self.model.graph.output} | set(self.taps))
        last = {name: i for i, node in enumerate(order) for name in reads_of(node)}
        for i, old in enumerate(order):
            node = NodeProto()
            node.CopyFrom(old)
            self.visit(node)
            self.nodes.append(node)
            for name in set(node.output) & set(self.taps):
                check_hears(self.taps[name], self.values[name])
            for name in [name for name in self.values if last.get(name, -1) <= i]:
                del self.values[name]
            self.advance()
        return rebuild(self.model, self.nodes, self.model.graph.output, self.weights.values())

    def visit(self, node: NodeProto) -> None:
        """Run one node, with new weights where it is learned."""
        name = next(filter(None, node.output))
        constants = self.learned.get(name, ())
        data = [source for source in node.input if source in self.heard]
        behind = node.op_type in LAYOUT | TRANSPARENT | SCALES and len(data) == 1 and data[0] in self.centred
        if constants:
            check_bodies(node)
            if node.op_type in ("Conv", "MatMul", "Gemm") and self.standardise(node, constants):
                behind = True
            elif node.op_type == "BatchNormalization":
                self.normalise(node)
            elif behind and node.op_type in SCALES:
                self.centre(node, constants)
            else:
                for i, source in enumerate(node.input):
                    if source in constants:
                        self.shuffle(node, i)
        if behind:
            self.centred.update(node.output)
        found = self.evaluate(node)
        self.values.update({out: [part[k] for part in found] for k, out in enumerate(filter(None, node.output))})

    def standardise(self, node: NodeProto, constants: Sequence[str]) -> bool:
        """Weights N(0, 1) scaled to deviation 1 a channel, a bias for mean 0. False where they are no plain floats."""
        at = next(i for i, name in enumerate(node.input) if name in constants)
        source, old = node.input[at], self.constant(node.input[at])
        if old.dtype.kind != "f" or old.ndim < 2 or (node.op_type == "Gemm" and at != 1):
            return False
        channels, rows = axes(node, old.ndim, at)
        bias = self.constant(node.input[2]) if len(node.input) > 2 and node.input[2] in constants else None
        if bias is not None:
            node.input[2] = self.add(node, 2, np.zeros_like(bias))
        draw = None
        if source in self.shared:
            node.input[at] = self.shared[source]
        else:
            draw = self.rng.normal(size=old.shape).astype(old.dtype)
            node.input[at] = self.shared[source] = self.add(node, at, draw)
        found = [part[0] for part in self.evaluate(node)]
        mean, deviation = moments(found, channels)
        if sum(part.size for part in found) <= mean.size * sum(map(len, self.windows)):  # pooled: one place a window
            mean, deviation = np.zeros_like(mean), np.full_like(mean, np.sqrt(np.mean(mean**2 + deviation**2)))
        scale = np.ones_like(mean)
        if draw is not None:
            scale = 1 / np.where(deviation > 0, deviation, 1)
            shape = [-1 if k == rows % old.ndim else 1 for k in range(old.ndim)]
            self.replace(node.input[at], draw * scale.reshape(shape))
            self.count += old.size
        if bias is not None:
            gain = attribute(node, "beta", 1.0)
            if bias.size == mean.size and gain:
                self.replace(node.input[2], (-mean * scale / gain).reshape(bias.shape))
            self.count += bias.size
        return True

    def normalise(self, node: NodeProto) -> None:
        """A batch normalisation as it is before training, its statistics those of the windows."""
        mean, deviation = moments(self.values[node.input[0]], 1)
        fresh = (np.ones_like(mean), np.zeros_like(mean), mean, np.where(deviation > 0, deviation, 1) ** 2)
        for i, value in enumerate(fresh, 1):
            node.input[i] = self.add(node, i, value.astype(self.constant(node.input[i]).dtype))
            self.count += value.size

    def centre(self, node: NodeProto, constants: Sequence[str]) -> None:
        """What follows a layer: a gain becomes 1, an offset what makes the mean 0."""
        at = next(i for i, name in enumerate(node.input) if name in constants)
        old, data = self.constant(node.input[at]), self.values[node.input[1 - at]]
        if old.size < 2 or old.dtype.kind != "f":
            return
        value = np.ones_like(old)
        if node.op_type in ("Add", "Sub"):
            shape = (1,) * (data[0].ndim - old.ndim) + old.shape
            alone = tuple(k for k in range(data[0].ndim) if shape[k] == 1)
            mean = np.mean([part.mean(axis=alone, keepdims=True, dtype=np.float64) for part in data], axis=0)
            value = np.broadcast_to(mean if node.op_type == "Sub" else -mean, shape).reshape(old.shape)
        node.input[at] = self.add(node, at, value.astype(old.dtype))
        self.count += old.size

    def shuffle(self, node: NodeProto, at: int) -> None:
        """A tensor's own numbers in another order; two values alone are a mask and stay."""
        old = self.constant(node.input[at])
        if old.size > 1 and (old.dtype.kind == "f" or old.dtype.itemsize == 1) and len(np.unique(old)) > 2:
            node.input[at] = self.add(node, at, self.rng.permutation(old.ravel()).reshape(old.shape))
            self.count += old.size

    def constant(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.stored[name]) if name in self.stored else self.values[name][0]

    def add(self, node: NodeProto, at: int, value: np.ndarray) -> str:
        """A new constant; its name."""
        name = f"birdprobe/random/{next(filter(None, node.output))}/{at}"
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def replace(self, name: str, value: np.ndarray) -> None:
        dtype = helper.tensor_dtype_to_np_dtype(self.weights[name].data_type)
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value, dtype), name)

    def evaluate(self, node: NodeProto) -> list[list[np.ndarray]]:
        """The outputs of one node, a list a call."""
        reads = sorted(reads_of(node))
        fed = [name for name in reads if name in self.values]
        alone = skeleton(self.model)
        alone.graph.name = "node"
        alone.graph.node.append(node)
        alone.graph.initializer.extend(self.weights.get(name) or self.stored[name] for name in reads if name not in fed)
        for name in fed:
            kind = helper.np_dtype_to_tensor_dtype(self.values[name][0].dtype)
            alone.graph.input.append(helper.make_tensor_value_info(name, kind, None))
        alone.graph.output.extend(onnx.ValueInfoProto(name=name) for name in node.output if name)
        session = open_session(alone, threads=1)
        calls = max((len(self.values[name]) for name in fed), default=1)
        feeds = ({name: self.values[name][k % len(self.values[name])] for name in fed} for k in range(calls))
        return [session.run(None, feed) for feed in feeds]


def axes(node: NodeProto, ndim: int, at: int) -> tuple[int, int]:
    """(Axis of the output that counts channels, axis of the weight that makes them)."""
    if node.op_type == "Conv":
        return 1, 0
    if node.op_type == "Gemm":
        return -1, 0 if attribute(node, "transB", 0) else 1
    return (-2, ndim - 2) if at == 0 else (-1, ndim - 1)


def moments(parts: Values, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation a channel, over every call and every other axis, float64."""
    rows = [np.moveaxis(part, axis, -1).reshape(-1, part.shape[axis]) for part in parts]
    n = sum(len(part) for part in rows)
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in rows) / n
    square = sum(((part - mean) ** 2).sum(axis=0) for part in rows) / n
    return np.asarray(mean), np.sqrt(square)


def check_hears(tap: str, parts: Values) -> None:
    """InputError: a tap that is not finite, or the same whatever is played."""
    rows = np.concatenate([part.reshape(len(part) if part.ndim > 1 else 1, -1) for part in parts]).astype(np.float64)
    if not np.isfinite(rows).all():
        raise InputError(f"{tap}: not finite under random weights; the network overflows. Another --seed?")
    if rows.std(axis=0).mean() <= DEAD * np.sqrt((rows**2).mean()):
        raise InputError(f"{tap}: under random weights the same for every window; the network is dead. Another --seed?")


def check_bodies(node: NodeProto) -> None:
    """InputError: weights inside the body of an If, a Loop or a Scan, which are not looked into."""
    for body in bodies(node):
        inside = [*body.initializer, *(a.t for child in body.node for a in child.attribute if a.HasField("t"))]
        if any(np.prod(tensor.dims) > BODY for tensor in inside):
            raise InputError(
                f"model: weights inside the body of {node.op_type} {node.name!r}, which cannot be drawn anew. "
                "Does an input decide it? Then give it with --input."
            )
