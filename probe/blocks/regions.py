"""Folds a data-flow graph into a sequence of regions: single operators, and subgraphs with one entry and one exit.

Where a graph splits and joins again (x -> conv -> conv -> Add with x), everything between is one *region*: it is
entered only at the fork and left only at the join (a single-entry single-exit region; Johnson, Pearson and Pingali
1994). The fork of a join is its immediate dominator, the last operator that every path to the join passes. A region is
*closed* when nothing inside it is used outside. Closed regions nest or are disjoint; the outermost ones are kept. A
residual unit may have a side input: a mask or a global query, made once from the same audio, that every block reads. It
comes from further up in the graph and does not change the fork.

Three kinds of regions are left open, so that what is inside counts instead: one that holds two or more plain residual
units in series (the skip of a U-Net or of a cross-stage network, a head that reads several depths, the parallel streams
of HRNet), one that holds most of the network, and the nested skips of an encoder-decoder, each over a smaller map than
the one around it.

A sum also closes a region from which the head alone reads something aside (WaveNet): what lies behind the last unit of
the trunk, the longest series of residual units, does not count as outside.
"""

from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from math import prod

from ..graph.dataflow import Graph
from ..graph.layers import LAYOUT, TRANSPARENT, Layer, changes_of_scale
from ..graph.operators import Op
from ..graph.shapes import Shape

SUMS = {"Add", "Sum"}
ALL = -1  # every operator, as bits


@dataclass(frozen=True)
class Region:
    """A single operator (`inside` empty) or a closed single-entry single-exit region, by operator positions.

    op: the operator, or the join that closes the region.
    fork: the operator whose output enters; -1 for the audio input.
    inside: the operators between fork and join.
    """

    op: int
    fork: int
    inside: tuple[int, ...] = ()


@dataclass(frozen=True)
class RegionSequence:
    """The regions in topological order. Mostly a chain; where it is not, the order still holds."""

    graph: Graph
    shapes: dict[str, Shape]
    layers: dict[int, Layer]  # by operator position
    regions: tuple[Region, ...]
    skips: frozenset[int] = frozenset()  # joins of the nested skips of an encoder-decoder

    @classmethod
    def of(
        cls, graph: Graph, shapes: dict[str, Shape], layers: dict[int, Layer], modules: bool = True
    ) -> "RegionSequence":
        """Without `modules`, regions that a Concat closes stay open."""
        kept = trunk(graph, shapes, layers)
        regions = [region for i in range(len(graph.ops)) for region in _regions_of(graph, i, kept)]
        if not modules:
            regions = [r for r in regions if graph.ops[r.op].kind != "Concat" or not is_wide(r, graph, shapes, layers)]
        skips = nested_skips(graph, regions)
        regions = sorted((r for r in regions if r.op not in skips), key=lambda region: -len(region.inside))
        # (fork, members) of every plain residual unit: x + f(x) with layers in f
        matches = [(r.fork, r.op) for r in regions if is_wide(r, graph, shapes, layers) and has_identity(r, graph)]
        taken: set[int] = set()
        chosen: list[Region] = []
        for region in regions:
            if region.op in taken:
                continue
            members = {*region.inside, region.op}
            if members & taken:
                continue  # two residual units with side inputs overlap
            serial = {fork for fork, join in matches if join in members and join != region.op}
            learned = sum(i in layers for i in region.inside)
            if len(serial) >= 2 or (len(layers) >= 8 and learned > 0.6 * len(layers)):
                continue
            chosen.append(region)
            taken |= members
        singles = [Region(i, graph.parents[i][0]) for i in range(len(graph.ops)) if i not in taken]
        return cls(graph, shapes, layers, tuple(sorted(chosen + singles, key=lambda region: region.op)), skips)

    @cached_property
    def position(self) -> dict[int, int]:
        """Operator position -> index of the region that ends there."""
        return {region.op: i for i, region in enumerate(self.regions)}

    @cached_property
    def following(self) -> tuple[tuple[int, ...], ...]:
        """Per region, the regions that read its output."""
        follow: list[set[int]] = [set() for _ in self.regions]
        for i, region in enumerate(self.regions):
            for parent in [region.fork] if region.inside else self.graph.parents[region.op]:
                if parent in self.position:
                    follow[self.position[parent]].add(i)
        return tuple(tuple(sorted(f)) for f in follow)

    def after(self, i: int) -> int | None:
        """The only region that reads region `i`; None when there are none or several."""
        return self.following[i][0] if len(self.following[i]) == 1 else None

    def op(self, i: int) -> Op:
        """The operator that region `i` is, or ends with."""
        return self.graph.ops[self.regions[i].op]

    def wide(self, region: Region) -> bool:
        return is_wide(region, self.graph, self.shapes, self.layers)

    def kinds(self, region: Region) -> set[str]:
        """Operator kinds inside a region, its join included."""
        return {self.graph.ops[i].kind for i in (*region.inside, region.op)}


def _regions_of(graph: Graph, join: int, kept: int) -> list[Region]:
    closed = closed_region(graph, join, kept if graph.ops[join].kind in SUMS and kept >> join & 1 else ALL)
    fed = side_fed_region(graph, join) if closed is None or closed.fork not in graph.parents[join] else None
    return [region] if (region := fed or closed) else []


def trunk(graph: Graph, shapes: dict[str, Shape], layers: dict[int, Layer]) -> int:
    """The operators up to the last of the residual units that stand in series, as bits; ALL where there are no two."""
    units = 0
    for i, op in enumerate(graph.ops):
        if op.kind in SUMS and (unit := closed_region(graph, i, 0)) and is_wide(unit, graph, shapes, layers):
            units |= has_identity(unit, graph, TRANSPARENT | LAYOUT | {"Slice"}) << i
    before = {i: (graph.ancestors[i] & units).bit_count() for i in _bits(units)}
    last = max(before, key=lambda i: before[i], default=-1)
    return graph.ancestors[last] | 1 << last if before.get(last) else ALL


def closed_region(graph: Graph, join: int, kept: int = ALL) -> Region | None:
    """The region that `join` closes; None when it joins nothing, or when something inside is used outside.

    Only uses by the operators `kept`, as bits, count.
    """
    if len(graph.parents[join]) < 2:
        return None
    fork = graph.dominators[join]
    mask = graph.ancestors[join]
    if fork >= 0:
        mask &= ~(graph.ancestors[fork] | 1 << fork)
    return _if_closed(graph, join, fork, _bits(mask), kept)


def gives_aside(graph: Graph, region: Region) -> bool:
    """True where something inside is read outside: collected with what others give, behind the trunk."""
    return any(child not in {*region.inside, region.op} for i in region.inside for child in graph.children[i])


def side_fed_region(graph: Graph, join: int) -> Region | None:
    """x + f(x, side): a sum of x and of something that is made from x and from what stands upstream of x."""
    if graph.ops[join].kind not in SUMS:
        return None
    for fork in graph.parents[join]:
        rest = [parent for parent in graph.parents[join] if parent != fork]
        if fork < 0 or not all(graph.ancestors[parent] >> fork & 1 for parent in rest):
            continue
        inside = [i for i in _bits(graph.ancestors[join]) if i > fork and graph.ancestors[i] >> fork & 1]
        if match := _if_closed(graph, join, fork, inside):
            return match
    return None


def _if_closed(graph: Graph, join: int, fork: int, inside: list[int], kept: int = ALL) -> Region | None:
    allowed = {*inside, join}
    if not inside or any(kept >> child & 1 and child not in allowed for i in inside for child in graph.children[i]):
        return None
    return Region(join, fork, tuple(inside))


def nested_skips(graph: Graph, regions: list[Region]) -> frozenset[int]:
    """Joins of the skips over a smaller map that nest, each with a step down and a step up that the inner has not."""
    down, up = changes_of_scale(graph)
    masks: dict[int, int] = {}
    for region in regions:
        mask = sum(1 << i for i in region.inside)
        if mask & down and mask & up:
            masks[region.op] = max(mask, masks.get(region.op, 0))
    nested: set[int] = set()
    for outer, around in masks.items():
        for inner, within in masks.items():
            own = around & ~within
            if around >> inner & 1 and own & down and own & up:
                nested |= {outer, inner}
    return frozenset(nested)


def is_wide(region: Region, graph: Graph, shapes: dict[str, Shape], layers: dict[int, Layer]) -> bool:
    """True when layers inside work on the map itself, not only on a pooled vector as a squeeze-excite does."""
    size = prod(shapes.get(graph.ops[region.op].tensor, ()))
    inside = [layers[i] for i in region.inside if i in layers]
    return any(layer.positions > 1 or layer.channels == size for layer in inside)


def has_identity(region: Region, graph: Graph, passed: Set[str] = TRANSPARENT) -> bool:
    """True where the fork's own tensor is a term of the sum; operators of the kinds `passed` do not change it."""
    op, fork = graph.ops[region.op], stripped(graph, graph.tensor_of(region.fork), passed)
    return op.kind in SUMS and any(stripped(graph, name, passed) == fork for name in op.data)


def stripped(graph: Graph, name: str, passed: Set[str] = TRANSPARENT) -> int:
    """The operator that makes a tensor, those of the kinds `passed` looked through; -1 for the audio input."""
    index = graph.producer.get(name, -1)
    while index >= 0 and graph.ops[index].kind in passed:
        index = graph.producer.get(graph.ops[index].data[0], -1)
    return index


def _bits(mask: int) -> list[int]:
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions


@dataclass(frozen=True)
class BlockMatch:
    """Regions `first`..`last` of the sequence; `entry` and `exit` are the operators that enter and leave it.

    roles: those of the layers inside, in order.
    mixing: what a residual unit mixes (see `probe.blocks.patterns`); '' for modules joined by a Concat and for blocks
        without a join.
    """

    kind: str
    first: int
    last: int
    entry: int
    exit: int
    roles: tuple[str, ...] = ()
    mixing: str = ""
