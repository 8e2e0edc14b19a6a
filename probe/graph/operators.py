"""One operator of the data-flow graph, and how an ONNX node becomes one or several.

Operators that ONNX Runtime's optimiser has fused are split again into the operators that they stand for, so that
everything downstream knows one spelling:

    FusedConv(x, w, b, z; activation=Relu)        ->  Conv -> Add(z) -> Relu
    SkipLayerNormalization(x, skip) -> y, _, _, s ->  Add (s) -> LayerNormalization (y)
    BiasGelu, FastGelu, QuickGelu                 ->  Gelu

A tensor inside such a fusion has no name that could be read; `Op.real` says whether it has one.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

CONCAT = {"Concat"}
# plain operator -> the fused and quantised spellings of it
SPELLINGS = {
    "Conv": ("FusedConv", "NhwcConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"),
    "MatMul": (
        *("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation", "MatMulNBits", "MatMulInteger"),
        *("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul"),
    ),
    "LSTM": ("DynamicQuantizeLSTM",),
    "Attention": ("QAttention",),
    "Gemm": ("FusedGemm", "QGemm"),
    "Gelu": ("BiasGelu", "FastGelu", "QuickGelu"),
    "Softmax": ("BiasSoftmax",),
    "Dropout": ("BiasDropout",),
    "LayerNormalization": ("SimplifiedLayerNormalization",),
}
ALIASES = {alias: kind for kind, aliases in SPELLINGS.items() for alias in aliases}
ALIASES |= {f"QLinear{kind}": kind for kind in ("Add", "Mul", "Concat", "Sigmoid", "GlobalAveragePool", "AveragePool")}


@dataclass(frozen=True)
class Op:
    """One operator of the view. `data` are its inputs that depend on the audio, `constants` the others, in order."""

    kind: str
    data: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    node: onnx.NodeProto
    real: bool = True  # False: the output exists only inside a fused operator

    def attribute(self, name: str, default: Any = None) -> Any:
        return attribute(self.node, name, default)

    @property
    def tensor(self) -> str:
        """The first output that is not left out (an RNN may give its last state only)."""
        return next(filter(None, self.outputs))


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or `default`."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs inside an If, a Loop or a Scan."""
    for one in node.attribute:
        yield from [one.g] if one.HasField("g") else one.graphs


def captured(node: onnx.NodeProto) -> list[str]:
    """Outer tensors that the bodies of If, Loop and Scan read."""
    names: list[str] = []
    for body in bodies(node):
        inner = {name for child in body.node for name in child.output} | {v.name for v in body.input}
        inner |= {tensor.name for tensor in body.initializer}
        for child in body.node:
            names += [name for name in [*child.input, *captured(child)] if name and name not in inner]
        names += [value.name for value in body.output if value.name not in inner]
    return names


def split(node: onnx.NodeProto, known: Mapping[str, str], cut_at_zero: Set[str] = frozenset()) -> list[Op]:
    """One ONNX node as the plain operators that it stands for.

    Args:
        node: an operator.
        known: tensor that depends on the audio -> the kind of operator that made it.
        cut_at_zero: zero points that leave nothing below zero. Quantisers drop the ReLU between a convolution and a
            quantisation by one of them, so there the quantisation is read as the ReLU.
    """
    kind = ALIASES.get(node.op_type, node.op_type)
    if kind == "QuantizeLinear" and known.get(node.input[0]) == "Conv" and node.input[-1] in cut_at_zero:
        kind = "Relu"
    inner_reads = list(dict.fromkeys(captured(node)))
    # what an If decides by is no data, where its branches read some
    chosen = kind == "If" and any(name in known for name in inner_reads)
    inputs = [*([] if chosen else node.input), *inner_reads]
    inputs = [name for name in inputs if name]
    # the scale and zero point of a dynamic quantisation are no data: they belong to the arithmetic around the product
    outputs = tuple(node.output[:1] if kind == "DynamicQuantizeLinear" else node.output)

    def op(kind: str, names: Iterable[str], outputs: tuple[str, ...], real: bool = True) -> Op:
        names = list(names)
        data = tuple(name for name in names if name in known or name in hidden)
        return Op(kind, data, tuple(n for n in names if n not in data), outputs, node, real)

    inner = f"{next(filter(None, outputs))}//"  # prefix of the tensors that exist only inside the fused operator
    hidden: set[str] = set()
    if kind in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        named = outputs[3] if len(outputs) > 3 and outputs[3] else ""
        summed = named or inner + "sum"
        first = op("Add", list(node.input[:2]) + list(node.input[4:5]), (summed,), bool(named))
        norm = Op("LayerNormalization", (summed,), tuple(node.input[2:4]), (outputs[0],), node)
        return [first, norm]
    activation = attribute(node, "activation", b"").decode()
    if node.op_type == "QLinearConv" and node.input[7] in cut_at_zero:
        activation = "Relu"
    residual = ""
    if kind == "Conv" and len(node.input) > 3 and node.input[3] in known and not node.op_type.startswith("QLinear"):
        residual = node.input[3]
        inputs.remove(residual)
    steps = [kind] + (["Add"] if residual else []) + ([activation] if activation else [])
    ops, previous = [], ""
    for position, step in enumerate(steps):
        last = position == len(steps) - 1
        out = outputs if last else (f"{inner}{step}",)
        names = inputs if position == 0 else [previous] + ([residual] if step == "Add" else [])
        ops.append(op(step, names, out, last))
        previous = out[0]
        hidden.add(previous)
    return ops


def chain_concats(ops: list[Op]) -> list[Op]:
    """Concat(a, b, c) reads Concat(a, b) where that exists, so that a dense block is a chain and not a mesh.

    Before: every layer of a DenseNet (as torch writes it) concatenates all features so far, and no tensor on the way
    sees them all. After: each state extends the one before it, as in the original Caffe graph.
    """
    seen: dict[tuple, str] = {}
    chained = []
    for op in ops:
        if op.kind in CONCAT and not op.constants and len(op.data) > 1:
            axis = op.attribute("axis")
            prefixes = ((n, seen.get((axis, op.data[:n]))) for n in range(len(op.data) - 1, 1, -1))
            n, earlier = next(((n, name) for n, name in prefixes if name), (0, None))
            seen.setdefault((axis, op.data), op.tensor)
            if earlier:
                op = Op(op.kind, (earlier, *op.data[n:]), (), op.outputs, op.node, op.real)
        chained.append(op)
    return chained
