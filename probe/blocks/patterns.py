"""The repeated units of a network, told from the river of items (`probe.blocks.regions`).

What a closed region is, by its join and by the layers inside (those that act on a pooled vector do not count):

    Add, layers in one branch, the other bare      residual unit: x + f(x)
    Add, layers in both                            residual unit with a projection: p(x) + f(x)
    Add, one branch bare, a pool in the other      mixer of tokens without weights (PoolFormer)
    Concat with layers                             module: inception, fire, shuffle, dense
    Concat of one like layer per part of a Split   no unit but one layer, spelled in parts (grouped, mixed kernels)
    Mul, Sub, Div, Softmax, ...                    no unit: squeeze-excite, SiLU, GELU, a spelled-out LayerNorm, ...

Units without a shortcut are found between the regions (`probe.blocks.unshortcut`). Nothing counts before the first layer (the
two spectrograms that BirdNET stacks) nor after the map has been pooled to one position (the head).
"""

import re
from collections.abc import Iterable
from math import prod

from ..graph.layers import ATTENTION, LAYOUT, POOLS, Layer, is_product
from ..graph.operators import Op
from .match import Unit
from .measured_graph import Network
from .regions import SUMS, Item, River, has_identity
from .unshortcut import bottlenecks, plain_layers, role_of

SQUARES = {"Pow", "Abs", "Sqrt", "Exp", "Log"}


def find_units(network: Network) -> tuple[list[Unit], str]:
    """Every repeated unit in graph order, and a note for the reader where the network has no such structure."""
    river = network.river
    begin, end = body(network)
    regions = {i: unit for i in range(begin, end) if (unit := _region_unit(river, i))}
    units = _with_stretches(river, regions, begin, end)
    if units:
        return units, ""
    convs = plain_layers(river, begin, end, activated=True)
    if len(convs) > 2:
        return convs, "no repeated branching structure: a plain stack, each block is one convolution and its activation"
    cuts = plain_layers(river, begin, end, activated=False)
    if cuts:
        return cuts, "no repeated structure: the blocks are the places where all data pass one tensor (kind cut)"
    return [], "no repeated structure and no tensor that all data pass; only the embedding and the logits can be read"


def body(network: Network) -> tuple[int, int]:
    """Items between the front end and the head: from the first layer to where the map shrinks to one position."""
    river = network.river
    begin = next((i for i, item in enumerate(river.items) if item.op in river.layers or river.wide(item)), 0)
    if river.items[begin].inside:
        begin += 1  # no layer stands before its fork
    for i in range(begin, len(river.items)):
        item = river.items[i]
        spread = any(river.layers[k].positions > 1 for k in item.inside if k in river.layers)
        learned = item.op in river.layers or (river.graph.ops[item.op].kind in SUMS and spread)
        if network.positions(item.fork) > 1 and network.positions(item.op) == 1 and not learned:
            return begin, i
    return begin, len(river.items)


def _with_stretches(river: River, regions: dict[int, Unit], begin: int, end: int) -> list[Unit]:
    """The units in order: residual units that follow each other are grouped, the stretches between are searched."""
    signatures = {unit.roles for unit in regions.values()}
    transformer = any(unit.mixing == "A" for unit in regions.values())
    lonely = transformer and not any("depthwise" in roles for roles in signatures)
    units: list[Unit] = []
    run: list[Unit] = []
    stretch: list[int] = []

    def close(run_too: bool) -> None:
        # a subsampling by depthwise convolutions in front of a transformer is no block of it
        found = [] if lonely else list(bottlenecks(river, stretch, signatures))
        roles = {role for i in stretch if (role := role_of(river, i))}
        if found or run_too or roles - {"depthwise"}:
            units.extend(_grouped(run))
            run.clear()
        units.extend(found)
        stretch.clear()

    for i in range(begin, end):
        if i not in regions:
            stretch.append(i)
            continue
        close(run_too=not regions[i].mixing)
        if regions[i].mixing:
            run.append(regions[i])
        else:
            units.append(regions[i])
    close(run_too=True)
    return units


# --- what one region is -----------------------------------------------------------------------------------------------


def _region_unit(river: River, i: int) -> Unit | None:
    item = river.items[i]
    if not item.inside or role_of(river, i) not in ("", "other"):
        return None
    join, ops = river.graph.ops[item.op], [river.graph.ops[k] for k in item.inside]
    size = prod(river.shapes.get(join.tensor, ()))
    layers = [river.layers[k] for k in item.inside if k in river.layers]
    layers = [layer for layer in layers if layer.positions > 1 or layer.channels == size]
    roles = tuple(layer.role for layer in layers)
    span = (i, i, item.fork, item.op)
    if join.kind == "Concat" and layers:
        kind = _module_kind(river, item, layers)
        entry = _squeeze(river, item.fork) if kind == "fire" else item.fork
        return Unit(kind, i, i, entry, item.op, roles)
    if join.kind not in SUMS or _squared(river, join):
        return None
    if not layers:
        pooled = any(op.kind in POOLS or op.kind == "DFT" for op in ops)
        return Unit("mixer", *span, (), "U") if pooled and has_identity(item, river.graph) else None
    if sum(2 if op.kind in ATTENTION else is_product(op) for op in ops) > 1:  # query by key, weights by value
        return Unit("transformer" if {*roles} == {"pointwise"} else "attention", *span, roles, "A")
    if set(roles) == {"pointwise"}:
        across = any(op.kind == "Transpose" and list(op.attribute("perm") or []) == [0, 2, 1] for op in ops)
        return Unit("mlp", *span, roles, "T" if across else "M")
    if set(roles) == {"depthwise"}:
        return Unit("depthwise", *span, roles, "D")
    return Unit(_residual_kind(roles), *span, roles, "C")


def _squared(river: River, join: Op) -> bool:
    """True for re * re + im * im, the power spectrum of a front end that spells its Fourier transform as layers."""
    makers = [river.graph.ops[k] for name in join.data if (k := river.graph.producer.get(name, -1)) >= 0]
    return any(
        op.kind in SQUARES or (op.kind == "Mul" and op.data[0] == op.data[-1] != "" and len(op.data) == 2)
        for op in makers
    )


def _residual_kind(roles: tuple[str, ...]) -> str:
    if "depthwise" in roles:
        return "convnext" if roles == ("depthwise", "pointwise", "pointwise") else "mbconv"
    return "fused_mbconv" if roles == ("full", "pointwise") else "residual"


def _module_kind(river: River, item: Item, layers: list[Layer]) -> str:
    join = river.graph.ops[item.op]
    if _shuffled(river, item):
        return "shuffle"
    if len(join.data) == 2 and river.graph.tensor_of(item.fork) in join.data:
        return "dense"
    if any(layer.role == "depthwise" for layer in layers):
        return "mbconv"  # with a shortcut for some of its channels
    return "fire" if sorted(layer.kernel for layer in layers) in ([1, 3], [1, 9]) else "inception"


def _squeeze(river: River, fork: int) -> int:
    """What enters the squeeze convolution of a fire module, whose activation is the fork."""
    conv = river.items[river.position[fork]].fork if fork in river.position else -1
    return river.items[river.position[conv]].fork if conv in river.layers and conv in river.position else fork


def _shuffled(river: River, item: Item) -> bool:
    """True when channels are dealt out between groups (a Transpose of five axes or more) inside or right behind."""
    after = river.after(river.position[item.op])
    behind = []
    while after is not None and river.graph.ops[river.items[after].op].kind in LAYOUT:
        behind.append(river.items[after].op)
        after = river.after(after)
    ops = [river.graph.ops[k] for k in (*item.inside, *behind)]
    return any(op.kind == "Transpose" and len(op.attribute("perm") or []) > 4 for op in ops)


# --- attention and MLP make one block ---------------------------------------------------------------------------------

BLOCK = re.compile(r"[DUT]*A[DUT]*M?|[DUT]+C?M|[DUT]+C|C?M|C|[DUT]")


def _grouped(run: list[Unit]) -> list[Unit]:
    """Residual units that follow each other with no layer between, put together into blocks.

    By what a unit mixes: A tokens by attention, D, U, T positions (depthwise, pool, MLP across tokens), M channels
    only, C both. A unit that only mixes channels is no block next to one that mixes positions: attention and MLP are
    one transformer block, A M; it stays so when the MLP has a depthwise convolution inside, A C throughout. A unit
    that does both stands alone. M A C M repeated is a conformer, whose block begins with half an MLP.
    """
    kinds = "".join(unit.mixing for unit in run)
    if not ("M" in kinds and "T" in kinds) or set(kinds) & set("ACDU"):
        kinds = kinds.replace("T", "M")  # a Transpose inside, yet not the two kinds of MLP of an MLP-Mixer
    pattern = BLOCK
    for whole in (r"M[ACD]*A[ACD]*M", r"D*AC"):
        if re.fullmatch(f"({whole})+", kinds):
            pattern = re.compile(whole)
    spans = [match.span() for match in pattern.finditer(kinds)]
    groups = [_merged(run[a:b]) for a, b in spans]
    attends = ["A" in kinds[a:b] for a, b in spans]
    if len(groups) > 3 and not attends[0] and all(attends[1:]) and "M" not in groups[0].mixing:
        return groups[1:]  # one lone convolution in front of a run of transformers: its position encoding
    return groups


def _merged(units: Iterable[Unit]) -> Unit:
    units = list(units)
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
