"""The rules that turn a number and its 95 % interval into a verdict. The same number always gives the same one.

positive       the claim is that a difference is above zero
equal          the claim is that a difference is none: within a margin
at_most        the claim is an upper bound on a number without an interval
over_readouts  whether a claim survives the way that vectors are read
"""

import math
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["holds", "does not hold", "undecided", "metric artefact", "cannot be tested"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNDECIDED: Verdict = "undecided"
ARTEFACT: Verdict = "metric artefact"
UNTESTED: Verdict = "cannot be tested"
VERDICTS = (HOLDS, FAILS, UNDECIDED, ARTEFACT, UNTESTED)
LEVEL = 0.05


def positive(value: float, low: float, high: float) -> Verdict:
    """The interval lies above zero: holds. Below or at zero throughout: does not hold. Else undecided, as without an
    interval (nan)."""
    if math.isnan(low) or math.isnan(high):
        return UNDECIDED
    if low > 0:
        return HOLDS
    return FAILS if high <= 0 else UNDECIDED


def equal(value: float, low: float, high: float, margin: float) -> Verdict:
    """Equivalence (Schuirmann 1987, with the 95 % interval, so at 2.5 % a side): within +-margin: holds. An interval
    that leaves out zero and reaches beyond the margin, or lies beyond it whole: does not hold. Else undecided."""
    if math.isnan(low) or math.isnan(high):
        return UNDECIDED
    if -margin <= low and high <= margin:
        return HOLDS
    return FAILS if low > 0 or high < 0 else UNDECIDED


def at_most(value: float, bound: float) -> Verdict:
    return HOLDS if value <= bound else FAILS


def can_order(n: int) -> bool:
    """Whether a rank correlation of n things can be significant at all: two-sided, n! orders, two of them perfect."""
    return n > 1 and 2 / math.factorial(n) < LEVEL


def best_of_many(value: float, high: float, p: float) -> Verdict:
    """The best of several is better than another. p: family-wise, nan where it was not tested. Below 5 % and above
    zero: holds. Not even the best one's interval reaches above zero: does not hold. Else undecided."""
    if value > 0 and p < LEVEL:
        return HOLDS
    return FAILS if high <= 0 else UNDECIDED


def over_readouts(published: Verdict, others: Sequence[Verdict]) -> Verdict:
    """What the published read-out supports and none of the other read-outs does is an artefact of its metric."""
    return ARTEFACT if published == HOLDS and others and HOLDS not in others else published


def near(value: float, stated: float, share: float) -> Verdict:
    """A number without error lies within a share of the stated one."""
    return HOLDS if abs(value - stated) <= share * abs(stated) else FAILS
