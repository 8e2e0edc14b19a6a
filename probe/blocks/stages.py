"""Encoder-decoders without residual units: one block for each stage between two changes of scale.

    conv | pool, conv | pool, conv, attention | upsample, join, conv | upsample, join, conv, score

What repeats in a U-Net is the stage, however many convolutions it has; the bottom is one stage too, with its attention
where it has some. A last stage that activates nothing is the head.
"""

from functools import reduce

from ..graph.layers import ACTIVATIONS, MULTIPLICATIONS, POOLS, changes_of_scale, is_product
from .match import BlockMatch
from .regions import RegionSequence
from .unshortcut import SCORES, activated_tail, is_nonlinear, role_of


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
    if not is_nonlinear(sequence, tail) and after is not None and _kind(sequence, after) in POOLS:
        pooled = activated_tail(sequence, after)
        return pooled if is_nonlinear(sequence, pooled) else tail
    return tail


def _is_activated(sequence: RegionSequence, i: int) -> bool:
    kind = _kind(sequence, i)
    if sequence.regions[i].inside and sequence.wide(sequence.regions[i]):
        return True
    return is_nonlinear(sequence, i) and (kind in ACTIVATIONS - SCORES or kind in MULTIPLICATIONS)


def _kind(sequence: RegionSequence, i: int) -> str:
    return sequence.graph.ops[sequence.regions[i].op].kind
