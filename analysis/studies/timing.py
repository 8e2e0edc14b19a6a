"""Timings that cannot be true: a block measured as cheaper than one before it in the same graph."""

from collections.abc import Mapping

from ...features import InputError


def non_monotone(ms_per_window: Mapping[str, float], spread: float | Mapping[str, float]) -> tuple[str, ...]:
    """Taps that were measured as cheaper than an earlier tap by more than the measurement's spread.

    Whatever computes a tap computes the taps before it on the same path, so such a fall is noise of the timing.

    Args:
        ms_per_window: tap -> milliseconds a window up to that tap, in graph order; nan where not measured.
        spread: the fall that noise may cause, in ms; or tap -> half the width of its interval, and a fall is more than
            noise when it exceeds the sum of both taps'.
    Returns:
        The taps to be flagged, in graph order.
    Raises:
        InputError: a negative spread, or a tap without one.
    """
    taps = list(ms_per_window)
    own = dict(spread) if isinstance(spread, Mapping) else dict.fromkeys(taps, spread / 2)
    if missing := [tap for tap in taps if tap not in own]:
        raise InputError(f"timing: expected a spread for every tap, got none for {', '.join(missing)}.")
    if any(own[tap] < 0 for tap in taps):
        raise InputError(f"timing: expected 0 or more, got a spread of {min(own[tap] for tap in taps)} ms.")
    flagged, floor = [], float("-inf")  # floor: the slowest lower end of an interval so far
    for tap in taps:
        ms = ms_per_window[tap]
        if ms + own[tap] < floor:
            flagged.append(tap)
        if ms - own[tap] > floor:  # false for nan
            floor = ms - own[tap]
    return tuple(flagged)
