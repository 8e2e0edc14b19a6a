"""Timings that cannot be true, told; see `analysis.studies.timing`."""

from collections.abc import Mapping

from ....analysis.studies.timing import non_monotone
from ...runtime.cost import Timing
from .finding import Finding

NAMED = 5


def study_timings(cost: Mapping[str, Timing]) -> Finding:
    """A warning where a tap was measured as cheaper than an earlier one by more than both spreads.

    Args:
        cost: tap -> milliseconds a window and their spread, in graph order.
    """
    flagged = non_monotone({tap: one.ms for tap, one in cost.items()}, {tap: one.spread for tap, one in cost.items()})
    if not flagged:
        return Finding()
    names = ", ".join(flagged[:NAMED]) + (f" and {len(flagged) - NAMED} more" if len(flagged) > NAMED else "")
    words = (
        f"Milliseconds are unsure: {names} measured cheaper than an earlier tap, by more than the spread. Was the "
        "machine busy? Shares of the cost are of multiply-accumulates, which are counted."
    )
    return Finding(warnings=(words,), config={"non_monotone_timings": list(flagged)})
