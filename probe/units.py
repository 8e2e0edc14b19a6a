"""The repeated units of a network, told from the river of items (`probe.regions`).

What a closed region is, by its join and by what works inside (layers that act on a pooled vector do not count):

    Add, layers in one branch, the other bare      residual unit: x + f(x)
    Add, layers in both                            residual unit with a projection: p(x) + f(x)
    Add, one branch bare, a pool in the other      token mixer without weights (PoolFormer)
    Concat with layers                             module: inception, fire, shuffle, dense
    Mul, Sub, Div, Softmax, ...                    no unit: squeeze-excite, SiLU, GELU, a spelled-out LayerNorm, ...

Between the regions lie stretches of single operators, where a bottleneck without a shortcut hides (the first of each
stage). Each depthwise convolution anchors one, and it ends with

    expand, act, DEPTHWISE, act, squeeze-excite, project      the next pointwise layer that no activation follows, or
    DEPTHWISE, act, pointwise, act                            (MobileNetV1: all are activated) the first, with it.

A full convolution resets the stretch, so the stem is not swallowed. Nothing counts before the first layer (the two
spectrograms that BirdNET stacks) nor after the map has been pooled to one position (the head).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from probe.graph import Op
from probe.layers import (
    ATTENTION,
    LAYOUT,
    NONLINEAR,
    NORMS,
    POOLS,
    REDUCTIONS,
    SIGMOIDS,
    TRANSPARENT,
    Layer,
    is_linear,
    is_product,
)
from probe.regions import SUMS, Item, River

SHORTCUT = TRANSPARENT | LAYOUT | POOLS | NORMS | SUMS | {"Mul", "Slice", "Concat", "Relu"}
SQUARES = {"Pow", "Abs", "Sqrt", "Exp", "Log"}
MULTIPLIES = {"Mul", "Div", "Where", "Sub", "Pow"}


@dataclass(frozen=True)
class Unit:
    """Items `first`..`last` of the river. `entry` and `exit` are operator positions: what enters, what leaves."""

    kind: str
    first: int
    last: int
    entry: int
    exit: int
    roles: tuple[str, ...] = ()
    mixing: str = "C"  # A attention, M pointwise only, C convolution, D depthwise only, U pool, T across tokens


def find_units(river: River, axes: dict[str, int]) -> list[Unit]:
    """Every repeated unit in graph order; transformers as whole blocks (attention and MLP together)."""
    begin, end = _body(river, axes)
    regions = {i: unit for i in range(begin, end) if (unit := _region_unit(river, i))}
    attention = any(unit.mixing == "A" for unit in regions.values())
    signatures = {unit.roles for unit in regions.values()}
    units: list[Unit] = []
    run: list[Unit] = []
    stretch: list[int] = []

    def close_stretch() -> None:
        found = list(_bottlenecks(river, stretch, signatures))
        if attention and not any("depthwise" in roles for roles in signatures):
            found = []  # a convolutional subsampling in front of a transformer
        if found or any(_role(river, i) for i in stretch):
            units.extend(_grouped(run))
            run.clear()
        units.extend(found)
        stretch.clear()

    for i in range(begin, end):
        if i in regions:
            close_stretch()
            if regions[i].mixing:
                run.append(regions[i])
            else:
                units.extend(_grouped(run))
                run.clear()
                units.append(regions[i])
        else:
            stretch.append(i)
    close_stretch()
    units.extend(_grouped(run))
    return units


def _body(river: River, axes: dict[str, int]) -> tuple[int, int]:
    """Items between the front end and the head: from the first layer to where the map shrinks to one position."""
    begin = next((i for i, item in enumerate(river.items) if item.op in river.layers or river.wide(item)), 0)
    if river.items[begin].inside:
        begin += 1  # no layer stands before its fork
    for i in range(begin, len(river.items)):
        item = river.items[i]
        before, after = (positions(river, op, axes) for op in (item.fork, item.op))
        if before > 1 and after == 1 and item.op not in river.layers and not _is_sum(river, item):
            return begin, i
    return begin, len(river.items)


def _is_sum(river: River, item: Item) -> bool:
    return bool(item.inside) and river.graph.ops[item.op].kind in SUMS and river.wide(item)


def positions(river: River, op: int, axes: dict[str, int]) -> int:
    """Places of the map behind an operator; 0 where the channel axis is not known."""
    name = river.graph.tensor_of(op)
    if name not in axes:
        return 0
    shape = river.shapes[name]
    return prod(shape) // max(shape[axes[name]], 1)


def _region_unit(river: River, i: int) -> Unit | None:
    item = river.items[i]
    if not item.inside:
        return None
    join, ops = river.graph.ops[item.op], [river.graph.ops[k] for k in item.inside]
    layers = [river.layers[k] for k in item.inside if k in river.layers and _counts(river, item, river.layers[k])]
    roles = tuple(layer.role for layer in layers)
    span = (i, i, item.fork, item.op)
    if join.kind == "Concat" and layers:
        return Unit(_module_kind(river, item, layers), *span, roles, "")
    if join.kind not in SUMS or _squared(river, join):
        return None
    if not layers:
        pooled = any(op.kind in POOLS or op.kind == "DFT" for op in ops)
        return Unit("mixer", *span, (), "U") if pooled and _shortcut(river, item) else None
    if any(is_product(op) or op.kind in ATTENTION for op in ops):
        pointwise = set(roles) <= {"pointwise"}
        return Unit("transformer" if pointwise else "attention", *span, roles, "A")
    if set(roles) == {"pointwise"}:
        across = any(op.kind == "Transpose" and list(op.attribute("perm") or []) == [0, 2, 1] for op in ops)
        return Unit("mlp", *span, roles, "T" if across else "M")
    if set(roles) == {"depthwise"}:
        return Unit("depthwise", *span, roles, "D")
    return Unit(_residual_kind(roles), *span, roles, "C")


def _counts(river: River, item: Item, layer: Layer) -> bool:
    return layer.positions > 1 or layer.channels == prod(river.shapes.get(river.graph.ops[item.op].tensor, ()))


def _squared(river: River, join: Op) -> bool:
    """True for re * re + im * im, the power spectrum of a front end that spells its Fourier transform as layers."""
    makers = [river.graph.ops[k] for name in join.data if (k := river.graph.producer.get(name, -1)) >= 0]
    return any(op.kind in SQUARES or (op.kind == "Mul" and len(op.data) == 2 == 1 + len({*op.data})) for op in makers)


def _shortcut(river: River, item: Item) -> bool:
    """True when the fork reaches the join without passing a layer."""
    graph, inside, stack, seen = river.graph, set(item.inside), [item.op], set()
    while stack:
        for parent in graph.parents[stack.pop()]:
            if parent == item.fork:
                return True
            op = graph.ops[parent] if parent >= 0 else None
            if parent in inside and parent not in seen and op.kind in SHORTCUT and parent not in river.layers:
                seen.add(parent)
                stack.append(parent)
    return False


def _residual_kind(roles: tuple[str, ...]) -> str:
    if "depthwise" in roles:
        if roles[0] == "depthwise" and roles[1:] == ("pointwise", "pointwise"):
            return "convnext"
        return "mbconv"
    if roles == ("full", "pointwise"):
        return "fused_mbconv"
    return "residual"


def _module_kind(river: River, item: Item, layers: list[Layer]) -> str:
    join = river.graph.ops[item.op]
    fork = river.graph.tensor_of(item.fork)
    if fork in join.data:
        return "dense"
    if any(layer.role == "depthwise" for layer in layers):
        return "shuffle"
    if [layer.kernel for layer in layers] in ([1, 9], [9, 1], [1, 3], [3, 1]):
        return "fire"
    return "inception"


# --- stretches of single operators ------------------------------------------------------------------------------------


def _role(river: River, i: int) -> str:
    """Role of the layer that item `i` is; '' for none, or for one that works on a pooled vector."""
    item = river.items[i]
    layer = river.layers.get(item.op)
    if layer:
        return layer.role
    return "other" if item.inside and river.wide(item) else ""


def is_nonlinear(river: River, i: int) -> bool:
    """True for an activation: an operator, a gate (SiLU, squeeze-excite), not a spelled-out normalisation."""
    item = river.items[i]
    op = river.graph.ops[item.op]
    if not item.inside:
        return op.kind in NONLINEAR or (op.kind in MULTIPLIES and len(op.data) > 1)
    if any(k in river.layers for k in item.inside):
        return True
    kinds = river.kinds(item)
    return bool(kinds & (NONLINEAR - {"Pow", "Sqrt", "Reciprocal", "Max"})) or not kinds & REDUCTIONS


def _bottlenecks(river: River, stretch: list[int], signatures: set[tuple[str, ...]]) -> Iterator[Unit]:
    """Units without a shortcut among the single operators of one stretch; see the module's docstring."""
    layers = [(i, role) for i in stretch if (role := _role(river, i))]
    linear = {}
    for (i, _), following in zip(layers, [*(j for j, _ in layers[1:]), stretch[-1] + 1 if stretch else 0]):
        linear[i] = not any(is_nonlinear(river, k) for k in stretch if i < k < following)
    anchors = [k for k, (_, role) in enumerate(layers) if role == "depthwise"]
    projects = any(role == "pointwise" and linear[i] for i, role in layers[anchors[0] :]) if anchors else False
    held: list[tuple[int, str]] = []  # the layers of the unit being read
    for k, (i, role) in enumerate(layers):
        anchored = any(r == "depthwise" for _, r in held)
        if role in ("full", "other", "recurrent"):
            held = [(i, role)]
            continue
        if role == "depthwise" and not anchored:
            held = held[-1:] if held and held[-1][1] == "pointwise" else []
        held.append((i, role))
        if role != "pointwise":
            continue
        roles = tuple(r for _, r in held)
        if anchored and (linear[i] or not projects):
            yield _bottleneck(river, held, "mbconv" if linear[i] else "separable", linear[i])
            held = []
        elif roles == ("full", "pointwise") and linear[i] and not linear[held[0][0]] and roles in signatures:
            yield _bottleneck(river, held, "fused_mbconv", True)
            held = []


def _bottleneck(river: River, held: list[tuple[int, str]], kind: str, linear: bool) -> Unit:
    first, last = held[0][0], held[-1][0]
    tail = affine_tail(river, last) if linear else activated_tail(river, last)
    entry = river.items[first].fork
    while entry in river.position and river.graph.ops[entry].kind in LAYOUT | TRANSPARENT:
        entry = river.items[river.position[entry]].fork
    exit_ = river.items[tail].op
    return Unit(kind, first, tail, entry, exit_, tuple(role for _, role in held), "")


def affine_tail(river: River, i: int) -> int:
    """The last item of the folded batch normalisation (or bias) behind layer `i`; `i` itself where there is none."""
    tail = i
    while (j := river.after(i)) is not None and not river.items[j].inside:
        op = river.graph.ops[river.items[j].op]
        if not is_linear(op):
            break
        if op.kind not in LAYOUT and op.kind not in TRANSPARENT:
            tail = j
        i = j
    return tail


def activated_tail(river: River, i: int) -> int:
    """The first activation behind layer `i`, normalisation passed over; the affine tail where none follows."""
    j = i
    while (j := river.after(j)) is not None:
        if is_nonlinear(river, j):
            return j
        if river.items[j].inside or not is_linear(river.graph.ops[river.items[j].op]):
            break
    return affine_tail(river, i)


# --- attention and MLP make one block ---------------------------------------------------------------------------------


def _grouped(run: list[Unit]) -> list[Unit]:
    """Residual units that follow each other with no layer between, put together into blocks.

    A unit that only mixes channels (M) is never a block next to one that mixes positions: attention and MLP are one
    transformer block, [A M]. A unit that does both (C) stands alone, or takes the MLP behind it. A run of M A C M
    repeated is a conformer, whose block begins with half an MLP.
    """
    kinds = "".join(unit.mixing for unit in run)
    if "M" in kinds and "T" in kinds and not set(kinds) & set("ACDU"):
        pass  # MLP-Mixer: one MLP across tokens, one across channels
    else:
        kinds = kinds.replace("T", "M")
    if re.fullmatch(r"(M[ACD]+M)+", kinds) and "A" in kinds:
        spans = [m.span() for m in re.finditer(r"M[ACD]+M", kinds)]
    else:
        spans = [m.span() for m in re.finditer(r"C?M|[DUT]*A[DUT]*M?|[DUT]+M?|C", kinds)]
    groups = [_merged(run[a:b]) for a, b in spans]
    heads = [("A" in kinds[a:b]) for a, b in spans]
    if len(groups) > 3 and not heads[0] and all(heads[1:]):
        return groups[1:]  # one lone convolution in front of a run of transformers: its position encoding
    return groups


def _merged(units: list[Unit]) -> Unit:
    if len(units) == 1:
        return units[0]
    mixing = "".join(unit.mixing for unit in units)
    kind = "metaformer"
    if "A" in mixing:
        kind = "conformer" if mixing[0] == "M" else "transformer"
    elif "T" in mixing:
        kind = "mixer"
    roles = tuple(role for unit in units for role in unit.roles)
    return Unit(kind, units[0].first, units[-1].last, units[0].entry, units[-1].exit, roles, mixing)
