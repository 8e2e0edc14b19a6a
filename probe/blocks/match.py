"""The record of one repeated unit of a network, before it becomes a Block."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """Items `first`..`last` of the river; `entry` and `exit` are operator positions: what enters, what leaves.

    `roles` are those of the layers inside, in order. `mixing` says what a residual unit mixes (see `probe.blocks.patterns`);
    '' for units that are joined by a Concat or have no join at all.
    """

    kind: str
    first: int
    last: int
    entry: int
    exit: int
    roles: tuple[str, ...] = ()
    mixing: str = ""
