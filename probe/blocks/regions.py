"""Folds a data-flow graph into a line of items: single operators, and regions that fork and join again.

Picture a river seen from above. Where it splits and runs together again (x -> conv -> conv -> Add with x) the islands
between are one *region*: it is entered only at the fork and left only at the join. The fork of a join is its immediate
dominator, the last operator that every path to the join passes. A region is *closed* when nothing inside is used
outside. Closed regions nest like boxes or stand apart; the outermost ones become items. A residual unit may have a
tributary: a mask or a global query that every block reads, made once from the same audio. It enters from upstream and
changes nothing about the fork.

Two kinds of boxes are opened, so that what is inside counts instead: one that holds two or more plain residual units in
series (the skip of a U-Net or of a cross-stage network, a head that reads several depths, the parallel streams of
HRNet), and one that holds most of the network.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from ..graph.dataflow import Graph
from ..graph.layers import TRANSPARENT, Layer
from ..graph.shapes import Shape

SUMS = {"Add", "Sum"}


@dataclass(frozen=True)
class Item:
    """A single operator (`inside` empty) or a closed region; `op` is the operator or the join, `fork` what enters."""

    op: int
    fork: int
    inside: tuple[int, ...] = ()


@dataclass(frozen=True)
class River:
    """The items in topological order. In most networks they form a chain; where they do not, the order still holds."""

    graph: Graph
    shapes: dict[str, Shape]
    layers: dict[int, Layer]  # by operator position
    items: tuple[Item, ...]

    @classmethod
    def of(cls, graph: Graph, shapes: dict[str, Shape], layers: dict[int, Layer], modules: bool = True) -> "River":
        """Without `modules`, regions that a Concat closes stay open."""
        regions = [region for i in range(len(graph.ops)) for region in _regions_of(graph, i)]
        if not modules:
            regions = [r for r in regions if graph.ops[r.op].kind != "Concat" or not is_wide(r, graph, shapes, layers)]
        regions.sort(key=lambda region: -len(region.inside))
        # (fork, members) of every plain residual unit: x + f(x) with layers in f
        units = [(r.fork, r.op) for r in regions if is_wide(r, graph, shapes, layers) and has_identity(r, graph)]
        taken: set[int] = set()
        chosen: list[Item] = []
        for region in regions:
            if region.op in taken:
                continue
            members = {*region.inside, region.op}
            if members & taken:
                continue  # two tributaries cross
            serial = {fork for fork, join in units if join in members and join != region.op}
            learned = sum(i in layers for i in region.inside)
            if len(serial) >= 2 or (len(layers) >= 8 and learned > 0.6 * len(layers)):
                continue
            chosen.append(region)
            taken |= members
        singles = [Item(i, graph.parents[i][0]) for i in range(len(graph.ops)) if i not in taken]
        return cls(graph, shapes, layers, tuple(sorted(chosen + singles, key=lambda item: item.op)))

    @cached_property
    def position(self) -> dict[int, int]:
        """Operator position -> index of the item that ends there."""
        return {item.op: i for i, item in enumerate(self.items)}

    @cached_property
    def following(self) -> tuple[tuple[int, ...], ...]:
        """Per item the items that read its output."""
        follow: list[set[int]] = [set() for _ in self.items]
        for i, item in enumerate(self.items):
            for parent in [item.fork] if item.inside else self.graph.parents[item.op]:
                if parent in self.position:
                    follow[self.position[parent]].add(i)
        return tuple(tuple(sorted(f)) for f in follow)

    def after(self, i: int) -> int | None:
        """The one item that reads item `i`, or None when there are none or several."""
        return self.following[i][0] if len(self.following[i]) == 1 else None

    def wide(self, item: Item) -> bool:
        return is_wide(item, self.graph, self.shapes, self.layers)

    def kinds(self, item: Item) -> set[str]:
        """Operator kinds inside a region, its join included."""
        return {self.graph.ops[i].kind for i in (*item.inside, item.op)}


def _regions_of(graph: Graph, join: int) -> list[Item]:
    closed = closed_region(graph, join)
    fed = fed_unit(graph, join) if closed is None or closed.fork not in graph.parents[join] else None
    return [region for region in (closed, fed) if region]


def closed_region(graph: Graph, join: int) -> Item | None:
    """The region that `join` closes; None when it joins nothing, or when something inside is used outside."""
    if len(graph.parents[join]) < 2:
        return None
    fork = graph.dominators[join]
    mask = graph.ancestors[join]
    if fork >= 0:
        mask &= ~(graph.ancestors[fork] | 1 << fork)
    return _if_closed(graph, join, fork, _bits(mask))


def fed_unit(graph: Graph, join: int) -> Item | None:
    """x + f(x, side): a sum of x and of something that is made from x and from what stands upstream of x."""
    if graph.ops[join].kind not in SUMS:
        return None
    for fork in graph.parents[join]:
        rest = [parent for parent in graph.parents[join] if parent != fork]
        if fork < 0 or not all(graph.ancestors[parent] >> fork & 1 for parent in rest):
            continue
        inside = [i for i in _bits(graph.ancestors[join]) if i > fork and graph.ancestors[i] >> fork & 1]
        if unit := _if_closed(graph, join, fork, inside):
            return unit
    return None


def _if_closed(graph: Graph, join: int, fork: int, inside: list[int]) -> Item | None:
    allowed = {*inside, join}
    if not inside or any(child not in allowed for i in inside for child in graph.children[i]):
        return None
    return Item(join, fork, tuple(inside))


def is_wide(item: Item, graph: Graph, shapes: dict[str, Shape], layers: dict[int, Layer]) -> bool:
    """True when layers inside work on the map itself, not only on a pooled vector as a squeeze-excite does."""
    size = prod(shapes.get(graph.ops[item.op].tensor, ()))
    inside = [layers[i] for i in item.inside if i in layers]
    return any(layer.positions > 1 or layer.channels == size for layer in inside)


def has_identity(item: Item, graph: Graph) -> bool:
    """True where the fork's own tensor is a term of the sum."""
    op = graph.ops[item.op]
    return op.kind in SUMS and any(_stripped(graph, name) == item.fork for name in op.data)


def _stripped(graph: Graph, name: str) -> int:
    index = graph.producer.get(name, -1)
    while index >= 0 and graph.ops[index].kind in TRANSPARENT:
        index = graph.producer.get(graph.ops[index].data[0], -1)
    return index


def _bits(mask: int) -> list[int]:
    positions = []
    while mask:
        low = mask & -mask
        positions.append(low.bit_length() - 1)
        mask ^= low
    return positions
