"""One place where a block pattern matched, before it becomes a Block."""

from dataclasses import dataclass


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
