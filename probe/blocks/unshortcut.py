"""Units without a shortcut, in the stretches of single operators between the regions of a river.

The first bottleneck of every stage has no shortcut. Its depthwise convolution anchors it, and it ends with

    expand, act, DEPTHWISE, act, squeeze-excite, project      the next pointwise layer that no activation follows, or
    DEPTHWISE, act, pointwise, act                            (MobileNetV1: all are activated) the first, with it.

Linear means: nothing but folded batch normalisation, bias, scale and layout changes up to the next layer. A full
convolution begins anew, so a stem is never swallowed; with a linear pointwise layer behind it, it is itself a unit
(fused bottleneck, EfficientNetV2) where residual units of the same network look so too.
"""

from collections.abc import Iterator

from ..graph.layers import (
    ACTIVATIONS,
    CONVS,
    LAYOUT,
    MULTIPLICATIONS,
    NONLINEAR,
    NORM_PARTS,
    REDUCTIONS,
    TRANSPARENT,
    is_linear,
)
from .match import Unit
from .regions import Item, River


def role_of(river: River, i: int) -> str:
    """Role of the layer that item `i` is; 'other' for a region with layers; '' for none, or on a pooled vector."""
    item = river.items[i]
    if item.op in river.layers:
        return river.layers[item.op].role
    if not item.inside or not river.wide(item):
        return ""
    return _in_parts(river, item) or "other"


def _in_parts(river: River, item: Item) -> str:
    """The role of a layer that is spelled as one layer per part: Split -> k layers of a kind -> Concat."""
    graph = river.graph
    roles = {river.layers[k].role for k in item.inside if k in river.layers}
    layers = sum(k in river.layers for k in item.inside)
    fork = graph.ops[item.fork].kind if item.fork >= 0 else ""
    slices = sum(graph.ops[k].kind == "Slice" for k in item.inside)
    parts = len(graph.ops[item.op].data)
    divided = fork == "Split" or any(graph.ops[k].kind == "Split" for k in item.inside) or slices == parts
    if graph.ops[item.op].kind == "Concat" and divided and layers == parts and len(roles) == 1:
        return roles.pop()
    return ""


def is_nonlinear(river: River, i: int) -> bool:
    """True for an activation: an operator, a gate (SiLU, squeeze-excite), not a spelled-out normalisation."""
    item = river.items[i]
    op = river.graph.ops[item.op]
    if not item.inside:
        return op.kind in NONLINEAR or (op.kind in MULTIPLICATIONS and len(op.data) > 1)
    if any(k in river.layers for k in item.inside):
        return True
    kinds = river.kinds(item)
    return bool(kinds & (NONLINEAR - NORM_PARTS)) or not kinds & REDUCTIONS


def bottlenecks(river: River, stretch: list[int], signatures: set[tuple[str, ...]]) -> Iterator[Unit]:
    """Units without a shortcut among the items of one stretch; `signatures` are the roles of the residual units."""
    layers = [(i, role) for i in stretch if (role := role_of(river, i))]
    ends = [*(i for i, _ in layers[1:]), stretch[-1] + 1 if stretch else 0]
    linear = {i: not any(is_nonlinear(river, k) for k in range(i + 1, end)) for (i, _), end in zip(layers, ends)}
    first = next((k for k, (_, role) in enumerate(layers) if role == "depthwise"), len(layers))
    projects = any(role == "pointwise" and linear[i] for i, role in layers[first:])
    held: list[tuple[int, str]] = []  # the layers of the unit being read
    for i, role in layers:
        if role not in ("depthwise", "pointwise"):
            held = [(i, role)]
            continue
        anchored = any(r == "depthwise" for _, r in held)
        if role == "depthwise" and not anchored:
            held = held[-1:] if held and held[-1][1] == "pointwise" else []
        held.append((i, role))
        roles = tuple(r for _, r in held)
        if role == "pointwise" and anchored and (linear[i] or not projects):
            yield _bottleneck(river, held, "mbconv" if linear[i] else "separable", linear[i])
            held = []
        elif roles == ("full", "pointwise") and roles in signatures and linear[i] and not linear[held[0][0]]:
            yield _bottleneck(river, held, "fused_mbconv", True)
            held = []


def _bottleneck(river: River, held: list[tuple[int, str]], kind: str, linear: bool) -> Unit:
    first, last = held[0][0], held[-1][0]
    tail = affine_tail(river, last) if linear else activated_tail(river, last)
    entry = river.items[first].fork
    while entry in river.position and river.graph.ops[entry].kind in LAYOUT | TRANSPARENT:
        entry = river.items[river.position[entry]].fork
    return Unit(kind, first, tail, entry, river.items[tail].op, tuple(role for _, role in held))


def plain_layers(river: River, begin: int, end: int, activated: bool) -> list[Unit]:
    """Where nothing branches: each activated convolution; or each layer whose output all data pass (kind cut).

    The framing of a front end is no activated convolution: magnitudes and logarithms do not count as activations.
    """
    cut = _cuts(river)
    units: dict[int, Unit] = {}
    for i in range(begin, end):
        item, role = river.items[i], role_of(river, i)
        tail = activated_tail(river, i)
        last = river.graph.ops[river.items[tail].op]
        if activated:
            kind = "conv"
            acts = last.kind in ACTIVATIONS or last.kind in MULTIPLICATIONS
            wanted = river.graph.ops[item.op].kind in CONVS and is_nonlinear(river, tail) and acts
        else:
            kind = "cut"
            wanted = bool(role) and tail in cut and tail < len(river.items) - 1
        if wanted:
            units[tail] = Unit(kind, i, tail, item.fork, river.items[tail].op, (role,))
    return list(units.values())


def _cuts(river: River) -> set[int]:
    """Items whose output all data pass: no later item reads an earlier one."""
    cuts, reach = set(), 0
    for i, following in enumerate(river.following):
        if reach <= i:
            cuts.add(i)
        reach = max([reach, *following])
    return cuts


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
