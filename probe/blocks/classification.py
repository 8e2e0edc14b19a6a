"""What one region of the sequence is: a residual unit, a module, or no block.

A closed region is classified by its join and by the layers inside (layers on a pooled vector do not count):

    Add, layers in one branch, the other bare      residual unit: x + f(x)
    Add, layers in both                            residual unit with a projection: p(x) + f(x)
    Add, one branch bare, a pool in the other      mixer of tokens without weights (PoolFormer)
    Concat with layers                             module: inception, fire, shuffle, dense
    Concat of one like layer per part of a Split   not a block but one layer written in parts (grouped, mixed kernels)
    Concat of a class token and the others         not a block: the token goes round what happens to the others; unless
                                                   it is the token that attends (VOLO)
    Concat of convolutions and a bare pool         not a block: a subsampling in two ways (stems)
    Mul, Sub, Div, Softmax, ...                    not a block: squeeze-excite, SiLU, GELU, a decomposed LayerNorm, ...
"""

from math import prod

from ..graph.layers import ATTENTION, LAYOUT, NONLINEAR, POOLS, REDUCTIONS, TRANSPARENT, Layer, is_product
from ..graph.operators import Op
from .measured_graph import MeasuredGraph
from .regions import SUMS, BlockMatch, Region, RegionSequence, has_identity, stripped
from .unshortcut import affine_tail, role_of

INVERTED = ("pointwise", "depthwise", "pointwise")
SQUARES = {"Pow", "Abs", "Sqrt", "Exp", "Log"}


def match_region(measured: MeasuredGraph, i: int) -> BlockMatch | None:
    sequence, region = measured.sequence, measured.sequence.regions[i]
    if region.inside and region.op in sequence.layers:
        return _dynamic_bottleneck(sequence, i)
    if not region.inside or role_of(sequence, i) not in ("", "other"):
        return None
    join, ops = sequence.graph.ops[region.op], [sequence.graph.ops[k] for k in region.inside]
    size = prod(sequence.shapes.get(join.tensor, ()))
    layers = [sequence.layers[k] for k in region.inside if k in sequence.layers]
    layers = [layer for layer in layers if layer.positions > 1 or layer.channels == size]
    roles = tuple(layer.role for layer in layers)
    span = (i, i, region.fork, region.op)
    attends = _attends(sequence, ops)
    if _keeps_a_token(measured, region):
        return BlockMatch("transformer", *span, roles, "A") if attends else None
    if join.kind == "Concat" and layers:
        kind = _module_kind(sequence, region, layers)
        if kind == "inception" and len(join.data) == 2 and _bare_pool(sequence, region):
            return None
        entry = _squeeze(sequence, region.fork) if kind == "fire" else region.fork
        return BlockMatch(kind, i, i, entry, region.op, roles)
    if join.kind not in SUMS or _squared(sequence, join) or _adds_heads(measured, region):
        return None
    if not layers:
        pooled = any(op.kind in POOLS or op.kind == "DFT" for op in ops)
        return BlockMatch("mixer", *span, (), "U") if pooled and has_identity(region, sequence.graph) else None
    if attends:
        return BlockMatch("transformer" if {*roles} == {"pointwise"} else "attention", *span, roles, "A")
    if set(roles) == {"pointwise"} and _weighs_positions(measured, ops):
        return BlockMatch("transformer", *span, roles, "A")
    if set(roles) == {"pointwise"}:
        across = any(op.kind == "Transpose" and list(op.attribute("perm") or []) == [0, 2, 1] for op in ops)
        return BlockMatch("mlp", *span, roles, "T" if across else "M")
    if set(roles) == {"depthwise"}:
        return BlockMatch("depthwise", *span, roles, "D")
    narrows = layers[0].channels > layers[-1].channels and not any(op.kind == "Tanh" for op in ops)
    return BlockMatch(_residual_kind(roles, narrows), *span, roles, "C")


def _dynamic_bottleneck(sequence: RegionSequence, i: int) -> BlockMatch | None:
    """A bottleneck without a shortcut that is one region: its convolutions get their weights from its input (DyMN)."""
    region, tail = sequence.regions[i], affine_tail(sequence, i)
    layers = [sequence.layers[k] for k in (*region.inside, region.op) if k in sequence.layers]
    roles = tuple(layer.role for layer in layers if layer.positions > 1)
    if roles not in (INVERTED, INVERTED[1:]):
        return None
    return BlockMatch("mbconv", i, tail, region.fork, sequence.regions[tail].op, roles)


def is_linear_sum(sequence: RegionSequence, region: Region) -> bool:
    """True for one layer that is trained as the sum of several, none behind another, without a curve or a shortcut.

    A network of nothing else has them as its blocks (RepVGG, MobileOne); among units that do more they are layers.
    """
    graph, layers = sequence.graph, [k for k in region.inside if k in sequence.layers]
    serial = any(graph.ancestors[k] >> other & 1 for k in layers for other in layers)
    bends = sequence.kinds(region) & (NONLINEAR | POOLS | REDUCTIONS)
    return graph.ops[region.op].kind in SUMS and not serial and not bends and not has_identity(region, graph)


def _keeps_a_token(measured: MeasuredGraph, region: Region) -> bool:
    """True where a class token goes round what happens to the others: joined to them again along their own axis."""
    join = measured.sequence.graph.ops[region.op]
    shape, channels = measured.shapes.get(join.tensor, ()), measured.axes.get(join.tensor)
    if join.kind != "Concat" or channels is None or not shape:
        return False
    axis = int(join.attribute("axis")) % len(shape)
    return axis != channels and any(measured.shapes.get(name, shape)[axis] == 1 for name in join.data)


def _attends(sequence: RegionSequence, ops: list[Op]) -> bool:
    """True for query by key and weights by value; or for the second alone, after a softmax (outlook attention)."""
    graph, products = sequence.graph, [op for op in ops if is_product(op)]
    weights = [stripped(graph, name, TRANSPARENT | LAYOUT) for op in products for name in op.data]
    weighted = any(k >= 0 and graph.ops[k].kind == "Softmax" for k in weights)
    return weighted or len(products) > 1 or any(op.kind in ATTENTION for op in ops)


def _bare_pool(sequence: RegionSequence, region: Region) -> bool:
    """True where a pool of the region's input, and nothing else, is a branch."""
    graph = sequence.graph
    for k in (graph.producer.get(name, -1) for name in graph.ops[region.op].data):
        if k in region.inside and graph.ops[k].kind in POOLS:
            before = graph.parents[k][0]
            while before in region.inside and graph.ops[before].kind in TRANSPARENT | LAYOUT:
                before = graph.parents[before][0]
            return before == region.fork
    return False


def _adds_heads(measured: MeasuredGraph, region: Region) -> bool:
    """True where the scores of two heads are added: a map enters, and a vector leaves."""
    vector = len(measured.shapes.get(measured.sequence.graph.ops[region.op].tensor, ())) == 2
    return vector and measured.positions(region.fork) > 1


def _weighs_positions(measured: MeasuredGraph, ops: list[Op]) -> bool:
    """True for attention without a product of matrices: a softmax over the positions, whose weighted sum all get."""
    summed = any(op.kind == "ReduceSum" for op in ops)
    weights = [op for op in ops if op.kind == "Softmax" and op.tensor in measured.axes]
    axes = [
        (int(op.attribute("axis", -1)) % len(measured.shapes[op.tensor]), measured.axes[op.tensor]) for op in weights
    ]
    return summed and any(axis != channels for axis, channels in axes)


def _squared(sequence: RegionSequence, join: Op) -> bool:
    """True for re * re + im * im, the power spectrum of a front end that spells its Fourier transform as layers."""
    makers = [sequence.graph.ops[k] for name in join.data if (k := sequence.graph.producer.get(name, -1)) >= 0]
    return any(
        op.kind in SQUARES or (op.kind == "Mul" and op.data[0] == op.data[-1] != "" and len(op.data) == 2)
        for op in makers
    )


def _residual_kind(roles: tuple[str, ...], narrows: bool) -> str:
    if "depthwise" in roles:
        return "convnext" if roles == ("depthwise", "pointwise", "pointwise") else "mbconv"
    return "fused_mbconv" if roles == ("full", "pointwise") and narrows else "residual"


def _module_kind(sequence: RegionSequence, region: Region, layers: list[Layer]) -> str:
    join = sequence.graph.ops[region.op]
    if _shuffled(sequence, region):
        return "shuffle"
    if len(join.data) == 2 and sequence.graph.tensor_of(region.fork) in join.data:
        return "dense"
    if any(layer.role == "depthwise" for layer in layers):
        return "mbconv"  # with a shortcut for some of its channels
    return "fire" if sorted(layer.kernel for layer in layers) in ([1, 3], [1, 9]) else "inception"


def _squeeze(sequence: RegionSequence, fork: int) -> int:
    """What enters the squeeze convolution of a fire module, whose activation is the fork."""
    conv = sequence.regions[sequence.position[fork]].fork if fork in sequence.position else -1
    return (
        sequence.regions[sequence.position[conv]].fork
        if conv in sequence.layers and conv in sequence.position
        else fork
    )


def _shuffled(sequence: RegionSequence, region: Region) -> bool:
    """True when channels are dealt out between groups (a Transpose of five axes or more) inside or right behind."""
    after = sequence.after(sequence.position[region.op])
    behind = []
    while after is not None and sequence.op(after).kind in LAYOUT:
        behind.append(sequence.regions[after].op)
        after = sequence.after(after)
    ops = [sequence.graph.ops[k] for k in (*region.inside, *behind)]
    return any(op.kind == "Transpose" and len(op.attribute("perm") or []) > 4 for op in ops)
