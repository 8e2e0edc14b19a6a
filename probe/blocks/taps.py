"""Places the taps: which tensor of each unit is read, and what is known about it.

The tap of a residual unit is the tensor that the next unit forks from: behind the ReLU in a ResNet, behind the
LayerNorm in BERT, the sum itself in a ConvNeXt, an EfficientNet or a ViT. What stands between the sum and the next fork
is the same all along a network, so a unit whose neighbour is not a unit (the last of a stage) takes what most others
have. A bottleneck without a shortcut is read at its folded batch normalisation, before anything else.
"""

from collections import Counter
from itertools import pairwise
from math import prod

from ..graph.layers import LAYOUT, NONLINEAR, NORMS, SCALES, TRANSPARENT
from .architecture import Block
from .match import Unit
from .measured_graph import Network

PASSIVE = NORMS | TRANSPARENT | LAYOUT | SCALES | NONLINEAR


def place(network: Network, units: list[Unit]) -> list[Block]:
    """One Block per unit, numbered, with its stage."""
    river = network.river
    tails = _tails(network, units)
    blocks = []
    for unit, tail in zip(units, tails):
        members = [k for item in river.items[unit.first : unit.last + 1] for k in (*item.inside, item.op)]
        tensor = network.readable(river.items[tail].op)
        blocks.append(tap(network, f"block_{len(blocks):02d}", unit.kind, tensor, len(blocks), members))
    return [Block(**{**vars(block), "stage": stage}) for block, stage in zip(blocks, _stages(blocks))]


def tap(
    network: Network, name: str, kind: str, tensor: str, index: int | None = None, members: list[int] | None = None
) -> Block:
    """The Block of one tensor. `members` are the operators whose names tell its scope (None: the tensor's own)."""
    shape, graph = network.shapes[tensor], network.river.graph
    batch = network.batch_axis(tensor)
    axis = network.axes.get(tensor)
    if axis is None or (axis == batch and len(shape) > 1):
        axis = len(shape) - 1 if len(shape) < 4 else 1
    width = network.width(tensor, axis) if shape else 1
    shape = tuple(width if i == axis else n for i, n in enumerate(shape))
    own = [graph.producer[tensor]] if tensor in graph.producer else []
    return Block(
        name=name,
        index=index,
        kind=kind,
        stage=None,
        channels=width,
        channel_axis=axis,
        map=tuple(n for i, n in enumerate(shape) if i not in (batch, axis)),
        tensor=tensor,
        macs=network.macs(tensor),
        shape=shape,
        scope=network.scope(members or own) or network.scope(own),
        batch_axis=batch,
    )


def _tails(network: Network, units: list[Unit]) -> list[int]:
    """Per unit the item whose output is read."""
    river = network.river
    suffixes = [_suffix(network, unit, after.entry) for unit, after in pairwise(units)] + [None]
    counted: dict[bool, Counter] = {True: Counter(), False: Counter()}
    for unit, suffix in zip(units, suffixes):
        if suffix is not None and _joined(unit):
            counted[bool(unit.mixing)][suffix] += 1
    common = {residual: (c.most_common(1)[0][0] if c else ()) for residual, c in counted.items()}
    tails = []
    for unit in units:
        i = unit.last
        for kind in common[bool(unit.mixing)] if _joined(unit) else ():
            j = river.after(i)
            if j is None or _kind(network, j) != kind:
                i = unit.last
                break
            i = j
        while not river.graph.ops[river.items[i].op].real and (j := river.after(i)) is not None:
            i = j  # inside a fused operator: the next tensor that has a name
        tails.append(i)
    return tails


def _joined(unit: Unit) -> bool:
    return bool(unit.mixing) or unit.first == unit.last


def _suffix(network: Network, unit: Unit, fork: int) -> tuple[str, ...] | None:
    """Kinds of the items between a unit and the fork of the next; None where more than elementwise work is done."""
    river, kinds, i = network.river, [], unit.last
    size = prod(network.shapes[river.graph.ops[unit.exit].tensor])
    while river.items[i].op != fork:
        j = river.after(i)
        if j is None:
            return None
        op = river.graph.ops[river.items[j].op]
        if op.kind == "Split" and j == river.position.get(fork):
            break  # the next unit divides what this one gives
        if op.kind not in PASSIVE or river.wide(river.items[j]) or prod(network.shapes[op.tensor]) != size:
            return None
        kinds.append(_kind(network, j))
        i = j
    return tuple(kinds)


def _kind(network: Network, i: int) -> str:
    item = network.river.items[i]
    return ("region " if item.inside else "") + network.river.graph.ops[item.op].kind


def _stages(blocks: list[Block]) -> list[int]:
    """Stages from 1, as the literature counts. One ends where the map changes; or the width, unless nearly every block
    widens (dense, inception)."""
    pairs = list(pairwise(blocks))
    widened = sum(a.channels != b.channels and a.map == b.map for a, b in pairs)
    by_width = widened <= len(pairs) / 2
    stages = [1] * len(blocks[:1])
    for a, b in pairs:
        stages.append(stages[-1] + (a.map != b.map or (by_width and a.channels != b.channels)))
    return stages


def stem_of(network: Network, units: list[Unit]) -> Block | None:
    """What enters block_00, when something learned comes before it."""
    graph, entry = network.river.graph, units[0].entry if units else -1
    while entry >= 0 and graph.ops[entry].kind == "Split":
        entry = graph.producer.get(graph.ops[entry].data[0], -1)
    if entry < 0 or not graph.ops[entry].real or not any(i <= entry for i in network.river.layers):
        return None
    return tap(network, "stem", "stem", graph.ops[entry].tensor)


def parallel(network: Network, units: list[Unit]) -> int:
    """How many units do not depend on the one before them: they stand in parallel branches."""
    ancestors = network.river.graph.ancestors
    return sum(not (ancestors[b.exit] >> a.exit & 1) for a, b in pairwise(units))
