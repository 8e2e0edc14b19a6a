"""Places the taps: which tensor of each block is read, and what is known about it.

The tap of a residual unit is the tensor that the next unit forks from: behind the ReLU in a ResNet, behind the
LayerNorm in BERT, the sum itself in a ConvNeXt, an EfficientNet or a ViT. What stands between the sum and the next fork
is the same all along a network, so a residual unit that is followed by something else (the last of a stage) is read
where most others are. A bottleneck without a shortcut is read at its folded batch normalisation, before anything else.
"""

from collections import Counter
from itertools import pairwise
from math import prod

from ..graph.layers import LAYOUT, NONLINEAR, NORMS, SCALES, TRANSPARENT
from .architecture import Block
from .measured_graph import MeasuredGraph
from .regions import BlockMatch

PASSIVE = NORMS | TRANSPARENT | LAYOUT | SCALES | NONLINEAR


def place(measured: MeasuredGraph, matches: list[BlockMatch]) -> list[Block]:
    """One Block per match, numbered, with its stage."""
    sequence = measured.sequence
    tails = _tails(measured, matches)
    blocks: list[Block] = []
    for match, tail in zip(matches, tails):
        members = [k for region in sequence.regions[match.first : match.last + 1] for k in (*region.inside, region.op)]
        tensor = measured.readable(sequence.regions[tail].op)
        blocks.append(tap(measured, f"block_{len(blocks):02d}", match.kind, tensor, len(blocks), members))
    return [Block(**{**vars(block), "stage": stage}) for block, stage in zip(blocks, _stages(blocks))]


def tap(
    measured: MeasuredGraph,
    name: str,
    kind: str,
    tensor: str,
    index: int | None = None,
    members: list[int] | None = None,
) -> Block:
    """The Block of one tensor. `members` are the operators whose names tell its scope (None: the tensor's own)."""
    shape, graph = measured.shapes[tensor], measured.sequence.graph
    batch = measured.batch_axis(tensor)
    axis = measured.axes.get(tensor)
    if axis is None or (axis == batch and len(shape) > 1):
        axis = len(shape) - 1 if len(shape) < 4 else 1
    width = measured.width(tensor, axis) if shape else 1
    shape = tuple(width if i == axis else n for i, n in enumerate(shape))
    own = [graph.producer[tensor]] if tensor in graph.producer else []
    return Block(
        name=name,
        index=index,
        kind=kind,
        stage=None,
        channels=width,
        channel_axis=axis,
        map=tuple(n for i, n in enumerate(shape) if i != axis and (i != batch or n > 1)),
        tensor=tensor,
        macs=measured.macs(tensor),
        shape=shape,
        scope=measured.scope(members or own) or measured.scope(own),
        batch_axis=batch,
    )


def _tails(measured: MeasuredGraph, matches: list[BlockMatch]) -> list[int]:
    """Per match, the region whose output is read."""
    sequence = measured.sequence
    suffixes = [_suffix(measured, match, after.entry) for match, after in pairwise(matches)] + [None]
    counted: dict[bool, Counter] = {True: Counter(), False: Counter()}
    for match, suffix in zip(matches, suffixes):
        if suffix is not None and _joined(match):
            counted[bool(match.mixing)][suffix] += 1
    common = {residual: (c.most_common(1)[0][0] if c else ()) for residual, c in counted.items()}
    tails = []
    for match in matches:
        i = match.last
        for kind in common[bool(match.mixing)] if _joined(match) else ():
            j = sequence.after(i)
            if j is None or _kind(measured, j) != kind:
                i = match.last
                break
            i = j
        while not sequence.op(i).real and (j := sequence.after(i)) is not None:
            i = j  # inside a fused operator: the next tensor that has a name
        tails.append(i)
    return tails


def _joined(match: BlockMatch) -> bool:
    return bool(match.mixing) or match.first == match.last


def _suffix(measured: MeasuredGraph, match: BlockMatch, fork: int) -> tuple[str, ...] | None:
    """Kinds of the regions between a match and the fork of the next; None where more than elementwise work is done."""
    sequence, kinds, i = measured.sequence, [], match.last
    size = prod(measured.shapes[sequence.graph.ops[match.exit].tensor])
    while sequence.regions[i].op != fork:
        j = sequence.after(i)
        if j is None:
            return None
        op = sequence.op(j)
        if op.kind == "Split" and j == sequence.position.get(fork):
            break  # the next block splits this one's output
        if op.kind not in PASSIVE or sequence.wide(sequence.regions[j]) or prod(measured.shapes[op.tensor]) != size:
            return None
        kinds.append(_kind(measured, j))
        i = j
    return tuple(kinds)


def _kind(measured: MeasuredGraph, i: int) -> str:
    region = measured.sequence.regions[i]
    return ("region " if region.inside else "") + measured.sequence.graph.ops[region.op].kind


def _stages(blocks: list[Block]) -> list[int]:
    """Stages from 1, as the literature counts. One ends where the map's scale changes, not where its edges are cut off;
    or where the width does, unless nearly every block widens (dense, inception)."""
    pairs = list(pairwise(blocks))
    scaled = [
        len(a.map) != len(b.map) or any(max(m, n) > 1.5 * min(m, n) for m, n in zip(a.map, b.map)) for a, b in pairs
    ]
    widened = [a.channels != b.channels for a, b in pairs]
    by_width = sum(w and not s for w, s in zip(widened, scaled)) <= len(pairs) / 2
    stages = [1] * len(blocks[:1])
    for change, wider in zip(scaled, widened):
        stages.append(stages[-1] + (change or (by_width and wider)))
    return stages


def stem_of(measured: MeasuredGraph, matches: list[BlockMatch]) -> Block | None:
    """What enters block_00, when something learned comes before it."""
    graph, entry = measured.sequence.graph, matches[0].entry if matches else -1
    while entry >= 0 and graph.ops[entry].kind == "Split":
        entry = graph.producer.get(graph.ops[entry].data[0], -1)
    if entry < 0 or not graph.ops[entry].real or not any(i <= entry for i in measured.sequence.layers):
        return None
    return tap(measured, "stem", "stem", graph.ops[entry].tensor)


def parallel(measured: MeasuredGraph, matches: list[BlockMatch]) -> int:
    """How many blocks do not depend on the one before them, because they lie in parallel branches."""
    ancestors = measured.sequence.graph.ancestors
    return sum(not (ancestors[b.exit] >> a.exit & 1) for a, b in pairwise(matches))
