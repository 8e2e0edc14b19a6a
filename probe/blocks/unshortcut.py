"""Blocks without a shortcut, in the gaps of single operators between the residual units.

The first bottleneck of every stage has no shortcut. Its depthwise convolution anchors it, and it ends with

    expand, act, DEPTHWISE, act, squeeze-excite, project      the next pointwise layer that no activation follows, or
    DEPTHWISE, act, pointwise, act                            (MobileNetV1: all are activated) the first, with it.

Linear means: nothing but folded batch normalisation, bias, scale and layout changes up to the next layer. A full
convolution starts a new block, so a stem is never part of one; with a linear pointwise layer behind it, it is itself a
block (fused bottleneck, EfficientNetV2) where residual units of the same network have the same layers.

Of an encoder-decoder without residual units, one block is a stage between two changes of scale:

    conv | pool, conv | pool, conv, attention | upsample, join, conv | upsample, join, conv, score

What repeats in a U-Net is the stage, however many convolutions it has; the bottom is one stage too, with its attention
where it has some. A last stage that activates nothing is the head.
"""

from collections.abc import Iterator
from functools import reduce

from ..graph.layers import (
    ACTIVATIONS,
    CONVS,
    LAYOUT,
    MULTIPLICATIONS,
    NONLINEAR,
    NORM_PARTS,
    POOLS,
    REDUCTIONS,
    TRANSPARENT,
    changes_of_scale,
    is_linear,
    is_product,
)
from .regions import BlockMatch, Region, RegionSequence

SCORES = {"Sigmoid", "Softmax"}


def role_of(sequence: RegionSequence, i: int) -> str:
    """Role of the layer that region `i` is; 'other' for a region with layers; '' for none, or on a pooled vector."""
    region = sequence.regions[i]
    if region.op in sequence.layers:
        return sequence.layers[region.op].role
    if not region.inside or not sequence.wide(region):
        return ""
    return _in_parts(sequence, region) or "other"


def _in_parts(sequence: RegionSequence, region: Region) -> str:
    """The role of a layer that is written as one layer per part: Split -> k layers of a kind -> Concat."""
    graph = sequence.graph
    roles = {sequence.layers[k].role for k in region.inside if k in sequence.layers}
    layers = sum(k in sequence.layers for k in region.inside)
    fork = graph.ops[region.fork].kind if region.fork >= 0 else ""
    slices = sum(graph.ops[k].kind == "Slice" for k in region.inside)
    parts = len(graph.ops[region.op].data)
    divided = fork == "Split" or any(graph.ops[k].kind == "Split" for k in region.inside) or slices == parts
    if graph.ops[region.op].kind == "Concat" and divided and layers == parts and len(roles) == 1:
        return roles.pop()
    return ""


def is_nonlinear(sequence: RegionSequence, i: int) -> bool:
    """True for an activation: an operator, a gate (SiLU, squeeze-excite), not a spelled-out normalisation."""
    region = sequence.regions[i]
    op = sequence.graph.ops[region.op]
    if not region.inside:
        return op.kind in NONLINEAR or (op.kind in MULTIPLICATIONS and len(op.data) > 1)
    if any(k in sequence.layers for k in region.inside):
        return True
    kinds = sequence.kinds(region)
    return bool(kinds & (NONLINEAR - NORM_PARTS)) or not kinds & REDUCTIONS


def bottlenecks(sequence: RegionSequence, gap: list[int], signatures: set[tuple[str, ...]]) -> Iterator[BlockMatch]:
    """Blocks without a shortcut among the regions of one gap; `signatures` are the roles of the residual units."""
    layers = [(i, role) for i in gap if (role := role_of(sequence, i))]
    ends = [*(i for i, _ in layers[1:]), gap[-1] + 1 if gap else 0]
    linear = {i: not any(is_nonlinear(sequence, k) for k in range(i + 1, end)) for (i, _), end in zip(layers, ends)}
    first = next((k for k, (_, role) in enumerate(layers) if role == "depthwise"), len(layers))
    projects = any(role == "pointwise" and linear[i] for i, role in layers[first:])
    held: list[tuple[int, str]] = []  # the layers of the block being read
    for i, role in layers:
        if role not in ("depthwise", "pointwise"):
            if [r for _, r in held] == [role] == ["full"] and _after_stem(sequence, held[0][0], linear, signatures):
                yield _bottleneck(sequence, held, "conv", False)
            held = [(i, role)]
            continue
        anchored = any(r == "depthwise" for _, r in held)
        if role == "depthwise" and not anchored:
            held = held[-1:] if held and held[-1][1] == "pointwise" else []
        held.append((i, role))
        roles = tuple(r for _, r in held)
        if role == "pointwise" and anchored and (linear[i] or not projects):
            yield _bottleneck(sequence, held, "mbconv" if linear[i] else "separable", linear[i])
            held = []
        elif roles == ("full", "pointwise") and roles in signatures and linear[i] and not linear[held[0][0]]:
            yield _bottleneck(sequence, held, "fused_mbconv", True)
            held = []


def _after_stem(sequence: RegionSequence, i: int, linear: dict[int, bool], signatures: set[tuple[str, ...]]) -> bool:
    """True for an activated convolution without a shortcut behind the stem: the first block of an EfficientNetV2-B0."""
    before = [k for k in sequence.layers if k < sequence.regions[i].op]
    return len(before) == 1 and ("full", "pointwise") in signatures and not linear[i]


def _bottleneck(sequence: RegionSequence, held: list[tuple[int, str]], kind: str, linear: bool) -> BlockMatch:
    first, last = held[0][0], held[-1][0]
    tail = affine_tail(sequence, last) if linear else activated_tail(sequence, last)
    entry = sequence.regions[first].fork
    while entry in sequence.position and sequence.graph.ops[entry].kind in LAYOUT | TRANSPARENT:
        entry = sequence.regions[sequence.position[entry]].fork
    return BlockMatch(kind, first, tail, entry, sequence.regions[tail].op, tuple(role for _, role in held))


def plain_layers(sequence: RegionSequence, begin: int, end: int, activated: bool) -> list[BlockMatch]:
    """Where nothing branches: each activated convolution; or each layer whose output all data pass (kind cut).

    The framing of a front end is no activated convolution: magnitudes and logarithms do not count as activations. Nor
    is what scores positions, with a sigmoid alone. A recurrent layer among the convolutions counts too.
    """
    cut = _cuts(sequence)
    layers = [i for i in range(len(sequence.regions)) if role_of(sequence, i)]
    matches: dict[int, BlockMatch] = {}
    for i in range(begin, end):
        region, role = sequence.regions[i], role_of(sequence, i)
        tail = activated_tail(sequence, i)
        last = sequence.op(tail)
        if activated and role == "recurrent":
            kind, wanted = "recurrent", True
            tail = (
                affine_tail(sequence, i) if sequence.wide(sequence.regions[tail]) else tail
            )  # the head's, not its own
        elif activated:
            kind = "conv"
            acts = (last.kind in ACTIVATIONS and last.kind not in SCORES) or last.kind in MULTIPLICATIONS
            wanted = sequence.op(i).kind in CONVS and is_nonlinear(sequence, tail) and acts
        else:
            kind = "cut"
            scores = sequence.graph.ops[-1].kind in SCORES and not any(learned > i for learned in layers)
            wanted = bool(role) and tail in cut and tail < len(sequence.regions) - 1 and not scores
        if wanted:
            matches[tail] = BlockMatch(kind, i, tail, region.fork, sequence.regions[tail].op, (role,))
    return list(matches.values())


def _cuts(sequence: RegionSequence) -> set[int]:
    """Regions whose output all data pass: no later region reads an earlier one."""
    cuts, reach = set(), 0
    for i, following in enumerate(sequence.following):
        if reach <= i:
            cuts.add(i)
        reach = max([reach, *following])
    return cuts


def affine_tail(sequence: RegionSequence, i: int) -> int:
    """The last region of the folded batch normalisation (or bias) behind layer `i`; `i` itself where there is none."""
    tail = i
    while (j := sequence.after(i)) is not None and not sequence.regions[j].inside:
        op = sequence.op(j)
        if not is_linear(op):
            break
        if op.kind not in LAYOUT and op.kind not in TRANSPARENT:
            tail = j
        i = j
    return tail


def activated_tail(sequence: RegionSequence, i: int) -> int:
    """The first activation behind layer `i`, normalisation passed over; the affine tail where none follows."""
    last = i
    while (j := sequence.after(last)) is not None:
        if is_nonlinear(sequence, j):
            return j
        if sequence.regions[j].inside or not is_linear(sequence.op(j)):
            break
        last = j
    return affine_tail(sequence, i)


def stages(sequence: RegionSequence, begin: int, end: int) -> list[list[int]]:
    """The regions with layers, in runs without a change of scale between one and the next."""
    runs: list[list[int]] = []
    for i in range(begin, end):
        if not role_of(sequence, i):
            continue
        if runs and same_scale(sequence, runs[-1][-1], i):
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def same_scale(sequence: RegionSequence, i: int, j: int) -> bool:
    """True where nothing that region `j` depends on, and region `i` does not, changes the scale of the map."""
    before, upto = (sequence.graph.ancestors[sequence.regions[k].op] | 1 << sequence.regions[k].op for k in (i, j))
    return not reduce(int.__or__, changes_of_scale(sequence.graph)) & upto & ~before


def stage_matches(sequence: RegionSequence, begin: int, end: int) -> list[BlockMatch]:
    """One match per stage."""
    matches = []
    runs = stages(sequence, begin, end)
    _, up = changes_of_scale(sequence.graph)
    for run in runs:
        tails = [_tail(sequence, i) for i in run]
        activated = [tail for tail in tails if _is_activated(sequence, tail)]
        if not activated and run is runs[-1]:
            continue
        tail = activated[-1] if activated else tails[-1]
        op, fork = sequence.regions[tail].op, sequence.regions[run[0]].fork
        inside = [k for i in run for k in (*sequence.regions[i].inside, sequence.regions[i].op)]
        attends = sum(is_product(sequence.graph.ops[k]) for k in inside) > 1
        kind = "attention" if attends else "up" if sequence.graph.ancestors[op] & up else "down"
        roles = tuple(role_of(sequence, i) for i in run)
        matches.append(BlockMatch(kind, run[0], tail, fork, op, roles))
    return matches


def _tail(sequence: RegionSequence, i: int) -> int:
    """The activation behind region `i`, a pooling passed over."""
    tail = activated_tail(sequence, i)
    after = sequence.after(tail)
    if not is_nonlinear(sequence, tail) and after is not None and sequence.op(after).kind in POOLS:
        pooled = activated_tail(sequence, after)
        return pooled if is_nonlinear(sequence, pooled) else tail
    return tail


def _is_activated(sequence: RegionSequence, i: int) -> bool:
    kind = sequence.op(i).kind
    if sequence.regions[i].inside and sequence.wide(sequence.regions[i]):
        return True
    return is_nonlinear(sequence, i) and (kind in ACTIVATIONS - SCORES or kind in MULTIPLICATIONS)
