"""The patterns that make a region a block: residual units, modules, attention with its MLP.

Works on the sequence of regions (`probe.blocks.regions`).

A closed region is classified by its join and by the layers inside (layers on a pooled vector do not count):

    Add, layers in one branch, the other bare      residual unit: x + f(x)
    Add, layers in both                            residual unit with a projection: p(x) + f(x)
    Add, one branch bare, a pool in the other      mixer of tokens without weights (PoolFormer)
    Concat with layers                             module: inception, fire, shuffle, dense
    Concat of one like layer per part of a Split   not a block but one layer written in parts (grouped, mixed kernels)
    Mul, Sub, Div, Softmax, ...                    not a block: squeeze-excite, SiLU, GELU, a decomposed LayerNorm, ...

Blocks without a shortcut are found between the regions (`probe.blocks.unshortcut`). Nothing counts before the first
layer (the two spectrograms that BirdNET stacks) nor after the map has been pooled to one position (the head).
"""

import re
from collections.abc import Iterable
from math import prod

from ..graph.layers import ATTENTION, LAYOUT, NONLINEAR, POOLS, REDUCTIONS, Layer, is_product
from ..graph.operators import Op
from .match import BlockMatch
from .measured_graph import MeasuredGraph
from .regions import SUMS, Region, RegionSequence, has_identity
from .stages import same_scale, stage_matches
from .unshortcut import bottlenecks, plain_layers, role_of

NETWORK = {
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Selu",
    "Gelu",
    "Sigmoid",
    "HardSwish",
    "Swish",
    "Erf",
    "Softmax",
    "Tanh",
}
SQUARES = {"Pow", "Abs", "Sqrt", "Exp", "Log"}


def find_matches(measured: MeasuredGraph) -> tuple[list[BlockMatch], str]:
    """Every repeated block in graph order, and a note for the user where the network has no such structure."""
    sequence = measured.sequence
    begin, end = body(measured)
    regions = {i: match for i in range(begin, end) if (match := _match_region(measured, i))}
    sums = {i for i, match in regions.items() if _is_linear_sum(sequence, sequence.regions[i])}
    if 2 * len(sums) < len(regions):
        regions = {i: match for i, match in regions.items() if i not in sums}
    matches = _with_unshortcut(sequence, regions, begin, end)
    if sequence.skips and (not matches or same_scale(sequence, matches[0].first, matches[-1].last)):
        return stage_matches(
            sequence, begin, end
        ), "an encoder-decoder: each block is a stage between two changes of scale"
    if matches:
        return matches, ""
    convs = plain_layers(sequence, begin, end, activated=True)
    if len(convs) > 2:
        return convs, "no repeated branching structure: a plain stack, each block is one convolution and its activation"
    cuts = plain_layers(sequence, begin, end, activated=False)
    if cuts:
        return cuts, "no repeated structure: the blocks are the places where all data pass one tensor (kind cut)"
    return [], "no repeated structure and no tensor that all data pass; only the embedding and the logits can be read"


def body(measured: MeasuredGraph) -> tuple[int, int]:
    """Regions between the front end and the head: from the first layer to where the map shrinks to one position."""
    sequence = measured.sequence
    behind = _front_end(sequence)
    begin = next(
        (
            i
            for i, region in enumerate(sequence.regions)
            if i >= behind and (region.op in sequence.layers or sequence.wide(region))
        ),
        0,
    )
    if sequence.regions[begin].inside:
        begin += 1  # no layer stands before its fork
    last = max((k for k, layer in sequence.layers.items() if layer.positions > 1), default=-1)
    for i in range(begin, len(sequence.regions)):
        region = sequence.regions[i]
        spread = any(sequence.layers[k].positions > 1 for k in region.inside if k in sequence.layers)
        learned = region.op in sequence.layers or (sequence.graph.ops[region.op].kind in SUMS and spread)
        if (
            measured.positions(region.fork) > 1
            and measured.positions(region.op) == 1
            and not learned
            and region.op > last
        ):
            return begin, i
    return begin, len(sequence.regions)


def _front_end(sequence: RegionSequence) -> int:
    """The first region behind a front end that ends with a logarithm, whatever matrices it is spelled with; else 0.

    Networks put no logarithm behind their layers before the first activation: what is there is a spectrogram, such as
    the octaves of a constant-Q transform.
    """
    end = 0
    for i, region in enumerate(sequence.regions):
        kinds = sequence.kinds(region)
        if kinds & NETWORK:
            break
        end = i + 1 if "Log" in kinds else end
    return end


def _with_unshortcut(
    sequence: RegionSequence, regions: dict[int, BlockMatch], begin: int, end: int
) -> list[BlockMatch]:
    """The matches in order: consecutive residual units are grouped, the gaps between them are searched."""
    signatures = {match.roles for match in regions.values()}
    transformer = any(match.mixing == "A" for match in regions.values())
    lonely = transformer and not any("depthwise" in roles for roles in signatures)
    matches: list[BlockMatch] = []
    run: list[BlockMatch] = []
    gap: list[int] = []

    def close(run_ends: bool) -> None:
        # a subsampling by depthwise convolutions in front of a transformer is no block of it
        found = [] if lonely else list(bottlenecks(sequence, gap, signatures))
        roles = {role for i in gap if (role := role_of(sequence, i))}
        if found or run_ends or roles - {"depthwise"}:
            matches.extend(_grouped(run))
            run.clear()
        matches.extend(found)
        gap.clear()

    for i in range(begin, end):
        if i not in regions:
            gap.append(i)
            continue
        close(run_ends=not regions[i].mixing)
        if regions[i].mixing:
            run.append(regions[i])
        else:
            matches.append(regions[i])
    close(run_ends=True)
    return matches


# --- what one region is -----------------------------------------------------------------------------------------------


def _match_region(measured: MeasuredGraph, i: int) -> BlockMatch | None:
    sequence, region = measured.sequence, measured.sequence.regions[i]
    if not region.inside or role_of(sequence, i) not in ("", "other") or _keeps_a_token(measured, region):
        return None
    join, ops = sequence.graph.ops[region.op], [sequence.graph.ops[k] for k in region.inside]
    size = prod(sequence.shapes.get(join.tensor, ()))
    layers = [sequence.layers[k] for k in region.inside if k in sequence.layers]
    layers = [layer for layer in layers if layer.positions > 1 or layer.channels == size]
    roles = tuple(layer.role for layer in layers)
    span = (i, i, region.fork, region.op)
    if join.kind == "Concat" and layers:
        kind = _module_kind(sequence, region, layers)
        entry = _squeeze(sequence, region.fork) if kind == "fire" else region.fork
        return BlockMatch(kind, i, i, entry, region.op, roles)
    if join.kind not in SUMS or _squared(sequence, join):
        return None
    if not layers:
        pooled = any(op.kind in POOLS or op.kind == "DFT" for op in ops)
        return BlockMatch("mixer", *span, (), "U") if pooled and has_identity(region, sequence.graph) else None
    if sum(2 if op.kind in ATTENTION else is_product(op) for op in ops) > 1:  # query by key, weights by value
        return BlockMatch("transformer" if {*roles} == {"pointwise"} else "attention", *span, roles, "A")
    if set(roles) == {"pointwise"}:
        across = any(op.kind == "Transpose" and list(op.attribute("perm") or []) == [0, 2, 1] for op in ops)
        return BlockMatch("mlp", *span, roles, "T" if across else "M")
    if set(roles) == {"depthwise"}:
        return BlockMatch("depthwise", *span, roles, "D")
    return BlockMatch(_residual_kind(roles), *span, roles, "C")


def _is_linear_sum(sequence: RegionSequence, region: Region) -> bool:
    """True for one layer that is trained as the sum of several: no branch has two in series, nothing bends, no shortcut.

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


def _squared(sequence: RegionSequence, join: Op) -> bool:
    """True for re * re + im * im, the power spectrum of a front end that spells its Fourier transform as layers."""
    makers = [sequence.graph.ops[k] for name in join.data if (k := sequence.graph.producer.get(name, -1)) >= 0]
    return any(
        op.kind in SQUARES or (op.kind == "Mul" and op.data[0] == op.data[-1] != "" and len(op.data) == 2)
        for op in makers
    )


def _residual_kind(roles: tuple[str, ...]) -> str:
    if "depthwise" in roles:
        return "convnext" if roles == ("depthwise", "pointwise", "pointwise") else "mbconv"
    return "fused_mbconv" if roles == ("full", "pointwise") else "residual"


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
    while after is not None and sequence.graph.ops[sequence.regions[after].op].kind in LAYOUT:
        behind.append(sequence.regions[after].op)
        after = sequence.after(after)
    ops = [sequence.graph.ops[k] for k in (*region.inside, *behind)]
    return any(op.kind == "Transpose" and len(op.attribute("perm") or []) > 4 for op in ops)


# --- attention and MLP make one block ---------------------------------------------------------------------------------

INVERTED = ("pointwise", "depthwise", "pointwise")
BLOCK = re.compile(r"[DUT]*A[DUT]*M?|[DUT]+C?M|[DUT]+C|C?M|C|[DUT]")


def _grouped(run: list[BlockMatch]) -> list[BlockMatch]:
    """Consecutive residual units with no layer between, combined into blocks.

    Each unit has a letter for what it mixes:

        A        tokens, by attention
        D, U, T  positions (depthwise, pool, MLP across tokens)
        M        channels only
        C        both

    A unit that only mixes channels belongs to the block of one that mixes positions: attention and MLP are one
    transformer block, A M, also where the MLP has a depthwise convolution inside (A C throughout). A unit that does
    both is a block of its own. M A C M repeated is a conformer, whose block begins with half an MLP; C A M A M is a
    MaxViT block: MBConv, attention in windows, attention across the grid. Where every feed-forward part of a run has a
    depthwise convolution in its middle, A C and C are the same block with and without attention (EfficientFormerV2).
    """
    kinds = "".join(match.mixing for match in run)
    if not ("M" in kinds and "T" in kinds) or set(kinds) & set("ACDU"):
        kinds = kinds.replace("T", "M")  # a Transpose inside, yet not the two kinds of MLP of an MLP-Mixer
    pattern = BLOCK
    for whole in (r"M[ACD]*A[ACD]*M", r"D*AC", r"CAMAM"):
        if re.fullmatch(f"({whole})+", kinds) and kinds != "MAM":  # alone, half a block and a whole one
            pattern = re.compile(whole)
    feeds = {match.roles for match in run if match.mixing == "C"}
    if feeds == {INVERTED} and re.fullmatch(r"C*(AC+){2,}", kinds):
        pattern = re.compile("A?C")
    spans = [match.span() for match in pattern.finditer(kinds)]
    groups = [_merged(run[a:b]) for a, b in spans]
    attends = ["A" in kinds[a:b] for a, b in spans]
    if len(groups) > 3 and not attends[0] and all(attends[1:]) and "M" not in groups[0].mixing:
        return groups[1:]  # one lone convolution in front of a run of transformers: its position encoding
    return groups


def _merged(matches: Iterable[BlockMatch]) -> BlockMatch:
    matches = list(matches)
    if len(matches) == 1:
        return matches[0]
    mixing = "".join(match.mixing for match in matches)
    kind = "metaformer"
    if "A" in mixing:
        kind = "conformer" if mixing[0] == "M" else "transformer"
    elif "T" in mixing:
        kind = "mixer"
    roles = tuple(role for match in matches for role in match.roles)
    return BlockMatch(kind, matches[0].first, matches[-1].last, matches[0].entry, matches[-1].exit, roles, mixing)
