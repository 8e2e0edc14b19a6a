"""What one operator does: learned layers and their roles, activations, pools, and the arithmetic they cost.

A *layer* is an operator with weights. Its role is told from the weights' shape alone:

    depthwise  one filter per channel, kernel larger than 1
    pointwise  mixes channels, every position by itself (1x1 Conv, MatMul, Gemm)
    full       mixes channels over a neighbourhood (k x k Conv, also grouped)
    recurrent  LSTM, GRU, RNN

Which constants were learned: everything behind the front end that layers, norms and scales read. The front end ends
with the last square, root or logarithm in front of the first activation; networks put none there, but in
normalisations. Its windows, Fourier and mel matrices were not learned, and what stands between it and the first layer
(such as the normalisation of its output) belongs to it.
"""

from dataclasses import dataclass
from math import prod

from .dataflow import Graph
from .operators import Op
from .shapes import Shape

CONVS = {"Conv", "ConvTranspose"}
PRODUCTS = {"MatMul", "Gemm", "Einsum"}
RECURRENT = {"LSTM", "GRU", "RNN"}
ATTENTION = {"Attention", "MultiHeadAttention", "PackedAttention", "PackedMultiHeadAttention", "GroupQueryAttention"}
NORMS = {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "GroupNorm", "LRN"}
NORMS |= {"RMSNormalization", "LpNormalization", "MeanVarianceNormalization"}
SCALES = {"Mul", "Add", "Sub", "Div"}  # linear when all but one operand is constant
TRANSPARENT = {"Identity", "Cast", "CastLike", "Dropout", "QuantizeLinear", "DequantizeLinear", "ReorderInput"}
TRANSPARENT |= {"ReorderOutput", "DynamicQuantizeLinear"}
LAYOUT = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Pad"}
POOLS = {"AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}
REDUCTIONS = {"ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2"}
SIGMOIDS = {"Sigmoid", "HardSigmoid", "Erf", "Tanh", "Exp", "Softplus", "Softmax"}  # the curved part inside a gate
ACTIVATIONS = {"Relu", "Clip", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "HardSwish", "Mish", "Gelu", "Swish"}
ACTIVATIONS |= {"ThresholdedRelu", "Softsign", "Shrink", "Min", "Max"} | SIGMOIDS
UPSAMPLING = {"Resize", "Upsample", "DepthToSpace"}
CURVES = {"Abs", "Pow", "Sqrt", "Log", "Reciprocal"}  # what spectrograms do; no network puts them behind its layers
NONLINEAR = ACTIVATIONS | CURVES
MULTIPLICATIONS = {"Mul", "Div", "Where", "Sub", "Pow"}  # of two data-dependent operands: a gate
NORM_PARTS = {"Pow", "Sqrt", "Reciprocal", "Max"}  # what a spelled-out normalisation shares with them
LAYERS = CONVS | PRODUCTS | RECURRENT | ATTENTION
NETWORK = ACTIVATIONS - {"Clip", "Min", "Max", "Exp", "Softplus"}  # those that no spectrogram is made with
MAGNITUDES = {"Pow", "Abs", "Sqrt"}


@dataclass(frozen=True)
class Layer:
    role: str
    channels: int  # produced
    positions: int  # places of the map (or tokens) that it computes; 1 inside a squeeze-excite and in the head
    kernel: int  # places that one output looks at


def is_linear(op: Op) -> bool:
    """True for what folded batch normalisation, bias, scaling and layout changes are made of."""
    if op.kind in SCALES:
        return len(set(op.data)) == 1 and len(op.data) == 1
    return op.kind in NORMS or op.kind in TRANSPARENT or op.kind in LAYOUT


def is_product(op: Op) -> bool:
    """True where two data-dependent tensors are multiplied as matrices, the mark of attention."""
    return op.kind in ATTENTION or (op.kind in PRODUCTS and len(op.data) > 1 and not _biased_gemm(op))


def _biased_gemm(op: Op) -> bool:
    return op.kind == "Gemm" and op.node.input[1] in op.constants


def layer_of(op: Op, shapes: dict[str, Shape]) -> Layer | None:
    """The learned layer that `op` is, or None."""
    out = shapes.get(op.tensor, ())
    if op.kind in CONVS:
        weight = shapes.get(op.node.input[weight_position(op)], ())
        if len(weight) < 3 or len(out) < 3:
            return None
        kernel, group = prod(weight[2:]), int(op.attribute("group", 1))
        channels = out[-1] if op.node.op_type.startswith("Nhwc") else out[1]
        role = "full" if kernel > 1 else "pointwise"
        if group > 1 and weight[1 if op.kind == "Conv" else 0] in (1, group) and group >= _inputs(op, shapes):
            if kernel == 1:
                return None  # one number per channel: a scale
            role = "depthwise"
        return Layer(role, channels, prod(out) // max(channels, 1), kernel)
    if op.kind == "Attention" and len(op.constants) > 0 and len(op.data) == 1:
        return Layer("pointwise", out[-1], prod(out[:-1]), 1)
    if op.kind in PRODUCTS and op.constants and not is_product(op) and len(out) > 0:
        first = op.kind == "MatMul" and op.node.input[0] in op.constants  # weight @ x: channels are rows
        channels = out[-2] if first and len(out) > 1 else out[-1]
        return Layer("pointwise", channels, prod(out) // max(channels, 1), 1)
    if op.kind in RECURRENT:
        return Layer("recurrent", out[-1], prod(out[:1]), out[0] if out else 1)
    return None


def weight_position(op: Op) -> int:
    """Index of the weight among a node's inputs; the quantised spellings put scales between."""
    return 3 if op.node.op_type == "QLinearConv" else 1


def _inputs(op: Op, shapes: dict[str, Shape]) -> int:
    shape = shapes.get(op.node.input[0], ())
    return (shape[-1] if op.node.op_type.startswith("Nhwc") else shape[1]) if len(shape) > 1 else 0


def weights(graph: Graph) -> set[str]:
    """Names of the constant operands whose shapes `layer_of` and `macs` look at."""
    kinds = CONVS | PRODUCTS | RECURRENT | ATTENTION
    return {name for op in graph.ops if op.kind in kinds for name in op.constants}


def macs(op: Op, shapes: dict[str, Shape]) -> int:
    """Multiply-accumulates of one operator for one window; layers and matrix products count, elementwise work not."""
    out = shapes.get(op.tensor, ())
    inputs = [shapes.get(name, ()) for name in op.node.input]
    if op.kind in CONVS:
        weight = inputs[weight_position(op)]
        return prod(inputs[0] if op.kind == "ConvTranspose" else out) * prod(weight[1:])
    if op.kind == "Gemm":
        return prod(out) * inputs[0][0 if op.attribute("transA", 0) else 1]
    if op.kind == "MatMul" and inputs[0]:
        return prod(out) * inputs[0][-1]
    if op.kind == "Einsum":
        sizes: dict[str, int] = {}
        for term, shape in zip(op.attribute("equation").decode().split("->")[0].split(","), inputs):
            sizes |= dict(zip(term.strip(), shape))
        return prod(sizes.values())
    if op.kind in ATTENTION:
        tokens, width = prod(out[:-1]), out[-1]
        learned = tokens * prod(inputs[1]) if op.kind == "Attention" and op.constants else 0
        return learned + 2 * tokens * tokens * width
    if op.kind in RECURRENT:
        return inputs[0][0] * (prod(inputs[1]) + prod(inputs[2]))
    return 0


def changes_of_scale(graph: Graph) -> tuple[int, int]:
    """The operators that shrink the map and those that enlarge it, each set as the bits of one integer.

    A convolution that spans a whole axis, and the repetition that undoes it, change no scale: they remove the axis.
    """
    down = up = 0
    for i, op in enumerate(graph.ops):
        stride = max(op.attribute("strides") or [1])
        if op.kind in UPSAMPLING or (op.kind == "ConvTranspose" and stride > 1):
            up |= 1 << i
        elif op.kind == "SpaceToDepth" or (op.kind in ("Conv", *POOLS) and stride > 1):
            down |= 1 << i
    return down, up


def learned(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The learned constants: node (by its first output) -> names of the operands, in order."""
    front, behind, found = front_end(graph), set[int](), dict[str, tuple[str, ...]]()
    for i, op in enumerate(graph.ops):
        if i in front or not (behind.intersection(graph.parents[i]) or (op.kind in LAYERS and op.constants)):
            continue
        behind.add(i)
        if op.constants and op.kind in LAYERS | NORMS | SCALES | {"PRelu"}:
            node = next(filter(None, op.node.output))
            found[node] = (*found.get(node, ()), *op.constants)
    return found


def front_end(graph: Graph) -> set[int]:
    """Positions of the operators up to the last square, root or logarithm in front of the first activation."""
    active = sum(1 << i for i, op in enumerate(graph.ops) if op.kind in NETWORK)
    front = 0
    for i, op in enumerate(graph.ops):
        squared = op.kind in MAGNITUDES or (op.kind == "Mul" and len(op.data) == 2 and op.data[0] == op.data[1])
        if not graph.ancestors[i] & active and (op.kind == "Log" or (squared and not _normalises(graph, i))):
            front |= graph.ancestors[i] | 1 << i
    return {i for i in range(len(graph.ops)) if front >> i & 1}


def _normalises(graph: Graph, i: int) -> bool:
    """True for the square and the root of a spelled-out normalisation, which stand beside a mean."""
    before = {p for p in graph.parents[i] if p >= 0}
    before |= {p for q in before for p in graph.parents[q] if p >= 0}
    return any(graph.ops[k].kind in REDUCTIONS | {"GlobalAveragePool"} for k in (*before, *graph.children[i]))
