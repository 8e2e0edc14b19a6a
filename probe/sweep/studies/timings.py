"""Timings that cannot be true: a tap measured as cheaper than one before it in the same graph."""

from collections.abc import Mapping

from ...runtime.cost import Timing
from .finding import Finding

NAMED = 5


def study_timings(cost: Mapping[str, Timing]) -> Finding:
    """A warning where a tap was measured as cheaper than an earlier one, in graph order, by more than both spreads.

    Whatever computes a tap computes the taps before it on the same path, so such a fall is noise of the timing.
    """
    flagged, floor = [], float("-inf")  # floor: the slowest lower end of an interval so far
    for tap, one in cost.items():
        if one.ms + one.spread < floor:
            flagged.append(tap)
        if one.ms - one.spread > floor:  # false for nan
            floor = one.ms - one.spread
    if not flagged:
        return Finding()
    names = ", ".join(flagged[:NAMED]) + (f" and {len(flagged) - NAMED} more" if len(flagged) > NAMED else "")
    words = (
        f"Milliseconds are unsure: {names} measured cheaper than an earlier tap, by more than the spread. Was the "
        "machine busy? Shares of the cost are of multiply-accumulates, which are counted."
    )
    return Finding(warnings=(words,), config={"non_monotone_timings": flagged})
