"""Which regions of the sequence make the blocks: units, modules, attention with its MLP, what stands between them.

`probe.blocks.classification` says what one region is. Blocks without a shortcut are found between the regions
(`probe.blocks.unshortcut`), the stages of an encoder-decoder without units too. Nothing counts
before the first layer (the two spectrograms that BirdNET stacks) nor after the map has been pooled to one position
(the head).
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from ..graph.layers import NETWORK, REDUCTIONS
from .classification import INVERTED, is_linear_sum, match_region
from .measured_graph import MeasuredGraph
from .regions import SUMS, BlockMatch, RegionSequence, gives_aside
from .unshortcut import bottlenecks, plain_layers, role_of, same_scale, stage_matches


def find_matches(measured: MeasuredGraph) -> tuple[list[BlockMatch], str]:
    """Every repeated block in graph order, and a note for the user where the network has no such structure."""
    sequence = measured.sequence
    begin, end = body(measured)
    regions = {i: match for i in range(begin, end) if (match := match_region(measured, i))}
    sums = {i for i, match in regions.items() if is_linear_sum(sequence, sequence.regions[i])}
    if 2 * len(sums) < len(regions):
        regions = {i: match for i, match in regions.items() if i not in sums}
    if any("A" in match.mixing for match in regions.values()):  # among transformers a dense module is a wider unit
        regions = {i: replace(match, mixing="D") if match.kind == "dense" else match for i, match in regions.items()}
    alone = _collected_alone(sequence, regions, end)
    matches = _with_unshortcut(sequence, regions, begin, alone[0].first if alone else end)
    matches = [*_without_downsampling(_in_step(sequence, matches)), *alone]
    if sequence.skips and (not matches or same_scale(sequence, matches[0].first, matches[-1].last)):
        note = "an encoder-decoder: each block is a stage between two changes of scale"
        return stage_matches(sequence, begin, end), note
    if matches:
        return matches, ""
    convs = plain_layers(sequence, begin, end, activated=True)
    if len(convs) > 2:
        layers = {"conv": "convolution", "recurrent": "recurrent layer"}
        layer = " or ".join(name for kind, name in layers.items() if kind in {match.kind for match in convs})
        return convs, f"no repeated branching structure: a plain stack, each block is one {layer} and its activation"
    cuts = plain_layers(sequence, begin, end, activated=False)
    if cuts:
        return cuts, "no repeated structure: the blocks are the places where all data pass one tensor (kind cut)"
    return [], "no repeated structure and no tensor that all data pass, so there are no blocks"


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
    # a class token that is sliced off midway is no head: layers on the other positions follow
    last = max((k for k, layer in sequence.layers.items() if layer.positions > 1), default=-1)
    for i in range(begin, len(sequence.regions)):
        region = sequence.regions[i]
        spread = any(sequence.layers[k].positions > 1 for k in region.inside if k in sequence.layers)
        learned = region.op in sequence.layers or (sequence.graph.ops[region.op].kind in SUMS and spread)
        shrinks = measured.positions(region.fork) > 1 and measured.positions(region.op) == 1
        if shrinks and not learned and region.op > last:
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
    attention = next((i for i, match in regions.items() if match.mixing == "A"), None)
    lonely = attention is not None and not any(
        "depthwise" in match.roles for i, match in regions.items() if i < attention
    )
    matches: list[BlockMatch] = []
    run: list[BlockMatch] = []
    gap: list[int] = []

    def close(run_ends: bool, before: str = "") -> None:
        # a subsampling by depthwise convolutions in front of a transformer is no block of it
        found = [] if lonely else list(bottlenecks(sequence, gap, signatures))
        if found and before == "A" and INVERTED in signatures and found[-1].roles == INVERTED[1:]:
            found.pop()  # where units expand first, what does not is the local projection of the attention behind it
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
        close(not regions[i].mixing, before=regions[i].mixing)
        if regions[i].mixing:
            run.append(regions[i])
        else:
            matches.append(regions[i])
    close(run_ends=True)
    modules = regions and not any(match.mixing for match in regions.values())
    first = next((k for k, match in enumerate(matches) if modules and match.kind != "separable"), 0)
    return matches[first:]  # in front of modules and nothing else, separable convolutions are the stem


def _collected_alone(sequence: RegionSequence, regions: dict[int, BlockMatch], end: int) -> list[BlockMatch]:
    """The last layer of a network whose head reads what every layer gives aside (WaveNet), where it is one more unit.

    Nothing is added to its input any more: it ends where what it gives joins what the others gave.
    """
    graph, unit = sequence.graph, next(reversed(regions.values()), None)
    if unit is None or unit.mixing != "C" or not gives_aside(graph, sequence.regions[unit.last]):
        return []

    def behind(i: int) -> bool:
        return i == unit.exit or bool(i > unit.exit and graph.ancestors[i] >> unit.exit & 1)

    def joins(i: int) -> bool:
        return behind(i) and any(p >= 0 and not behind(p) for p in graph.parents[i])

    join = next((i for i in range(unit.exit + 1, len(graph.ops)) if joins(i)), -1)
    layers = [i for i in sequence.layers if behind(i) and i < join and graph.ancestors[join] >> i & 1]
    roles = tuple(sequence.layers[i].role for i in layers)
    if not layers or roles not in (unit.roles, unit.roles[:-1]) or sequence.position.get(join, end) >= end:
        return []
    first = next(i for i in range(unit.last + 1, end) if behind(sequence.regions[i].op))
    last = sequence.position[join]
    after = sequence.after(last)
    if after is not None and after < end and sequence.op(after).kind in REDUCTIONS and graph.ops[join].kind == "Concat":
        last = after  # stacked, and summed over the stack
    return [BlockMatch(unit.kind, first, last, unit.exit, sequence.regions[last].op, roles)]


def _in_step(sequence: RegionSequence, matches: list[BlockMatch]) -> list[BlockMatch]:
    """Two streams side by side, the one feeding the other at every step (TNT): what a step does is one block."""
    ancestors = sequence.graph.ancestors

    def follows(i: int, j: int) -> bool:
        return bool(ancestors[matches[i].exit] >> matches[j].exit & 1)

    alternate = all(follows(i, i - 1) == (i % 2 == 1) for i in range(1, len(matches)))
    if (
        len(matches) > 3
        and len(matches) % 2 == 0
        and alternate
        and all(follows(i, i - 2) for i in range(2, len(matches)))
    ):
        return [_merged(pair) for pair in zip(matches[::2], matches[1::2])]
    return matches


def _without_downsampling(matches: list[BlockMatch]) -> list[BlockMatch]:
    """Less the modules between two stages that have a unit before the subsampling and a part of one behind it.

    T is the usual block, F a part of it, B a subsampling: TTT BF TT (RepViT), T FBF TT (EfficientViT).
    """
    usual = Counter(match.mixing for match in matches if match.mixing).most_common(1)
    if not usual:
        return matches
    letters = "".join(
        ("T" if match.mixing == usual[0][0] else "F" if match.mixing in usual[0][0] else "?") if match.mixing else "B"
        for match in matches
    )
    if not re.fullmatch("(T*[TF]BF)+T+", letters):
        return matches
    between = [range(*match.span()) for match in re.finditer("[TF]BF", letters)]
    return [match for i, match in enumerate(matches) if not any(i in span for span in between)]


# --- attention and MLP make one block ---------------------------------------------------------------------------------

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
    both is a block of its own. M A C M repeated is a conformer, whose block begins with half an MLP, A M C M the same
    with whole ones (Squeezeformer); C A M A M is a MaxViT block: MBConv, attention in windows, attention across the
    grid; D M A D M is an EfficientViT block. Where every feed-forward part of a run has a depthwise convolution in its
    middle, A C and C are the same block with and without attention (EfficientFormerV2).
    """
    kinds = "".join(match.mixing for match in run)
    if not ("M" in kinds and "T" in kinds) or set(kinds) & set("ACDU"):
        kinds = kinds.replace("T", "M")  # a Transpose inside, yet not the two kinds of MLP of an MLP-Mixer
    pattern = BLOCK
    for whole in (r"M[ACD]*A[ACD]*M", r"D*AC", r"CAMAM", r"AMCM"):
        if re.fullmatch(f"({whole})+", kinds) and kinds != "MAM":  # alone, half a block and a whole one
            pattern = re.compile(whole)
    if "DMADM" in kinds:
        pattern = re.compile(f"DMADM|{BLOCK.pattern}")
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
        kind = "conformer" if mixing[0] == "M" or mixing == "AMCM" else "transformer"
    elif "T" in mixing:
        kind = "mixer"
    roles = tuple(role for match in matches for role in match.roles)
    return BlockMatch(kind, matches[0].first, matches[-1].last, matches[0].entry, matches[-1].exit, roles, mixing)
