"""The conclusion of a sweep in words: a headline, one line a use, the published protocol's, and what the groups allow.

No line says more than the table of read-outs: "beats" and "beyond chance" stand for a family-wise p below 5 % over all
taps and read-outs.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ....analysis import wording
from ....analysis.readouts import USES
from ....analysis.runs import Run
from ....features.spelling import counted

if TYPE_CHECKING:
    from .conclusion import Advice, Conclusion, ScoredCell

SAID = {use: words.lower() for use, words in wording.USES.items()}
STANDARDISED = ("knn-standard", "linear", "logistic")  # the read-outs that standardise the vectors first
WORTH = 0.02  # a lead below this, and not beyond chance, is no difference worth having
MANY = 100  # groups from which on the least possible p is no news


def parts(found: "Conclusion") -> dict[str, str]:
    """headline, training_free, linear, published, limit -> its line, in this order, without those that have none."""
    lines = {"headline": _headline(found)}
    lines |= {use: _use(found, use, advice) for use, advice in found.uses.items()}
    lines |= {"published": _published(found), "limit": _limit(found)}
    return {part: line for part, line in lines.items() if line}


def _headline(found: "Conclusion") -> str:
    uses = found.uses
    beaten = [advice for advice in uses.values() if advice.beats_last]
    if beaten and len(beaten) == len(uses):
        return _beaten(found)
    if beaten:
        return _beaten_once(found)
    if uses and all(advice.tap == found.reference for advice in uses.values()):
        return _kept(found)
    standardised = [cell for cell in found.winners if cell.readout in STANDARDISED]
    most = max(standardised, key=lambda cell: cell.vs_last, default=None)
    if most and most.vs_last < WORTH and not any(cell.readout in STANDARDISED for cell in found.beating):
        return _level(found, most)
    if len(found.winners) > 1 and len(found.inner_first) == len(found.winners):
        return _inner(found)
    return _open(found)


def _beaten(found: "Conclusion") -> str:
    """Every use has a tap that beats the reference."""
    last = wording.tap_name(found.reference)
    advised = list(found.uses.items())
    taps = list(dict.fromkeys(advice.tap for _, advice in advised))
    if len(taps) > 1:
        each = ", ".join(f"{advice.tap} {SAID[use]}" for use, advice in advised)
        told = f"Read {each}: both beat {last} beyond chance"
    elif len(advised) > 1:
        told = f"Read {taps[0]}: it beats {last} beyond chance, without training and with a linear head"
    else:
        told = f"Read {taps[0]} by {found.words(advised[0][1].readout)}: it beats {last} beyond chance"
    others = [cell.readout for cell in found.winners if cell.tap == found.reference]
    return f"{told}; {_readouts(found, others)} put{_s(others)} {last} first." if others else f"{told}."


def _beaten_once(found: "Conclusion") -> str:
    """One use has a tap that beats the reference, the other has none."""
    last = wording.tap_name(found.reference)
    beaten, other = sorted(found.uses.items(), key=lambda pair: not pair[1].beats_last)
    rest = f"{last} is itself the best" if other[1].tap == found.reference else "the best tap does not"
    return (
        f"It depends on how you read it: {SAID[beaten[0]]} {beaten[1].tap} beats {last} beyond chance, "
        f"{SAID[other[0]]} {rest}."
    )


def _kept(found: "Conclusion") -> str:
    """Every use has the reference first."""
    last = wording.tap_name(found.reference)
    ways = {
        "training_free": lambda advice: f"by {found.words(advice.readout)}",
        "linear": lambda _: "with a linear head",
    }
    told = f"Read {last}, {' or '.join(ways[use](advice) for use, advice in found.uses.items())}"
    others = [cell for cell in found.winners if cell.tap != found.reference]
    if not others:
        many = f"any of {len(found.winners)} read-outs" if len(found.winners) > 1 else "this read-out"
        return f"{told}: no other tap does better under {many}."
    names = [cell.readout for cell in others]
    taps = ", ".join(dict.fromkeys(cell.tap for cell in others))
    only = "only " if len(others) == 1 else ""
    beats = [cell for cell in others if cell.beats_last]
    sure = "and that beyond chance" if len(beats) == len(others) else "and not beyond chance"
    if beats and len(beats) < len(others):
        sure = f"beyond chance by {_readouts(found, [cell.readout for cell in beats])}"
    first = "another tap" if len(others) == 1 else "other taps"
    return f"{told}: {only}{_readouts(found, names)} put{_s(names)} {first} first ({taps}), {sure}."


def _level(found: "Conclusion", most: "ScoredCell") -> str:
    """Standardised, no tap is ahead by anything that counts."""
    last = wording.tap_name(found.reference)
    ahead = "no tap comes before it"
    if most.vs_last > 0:
        points = [f"{wording.in_points(value):+.1f}" for value in (most.vs_last, most.vs_last_hi)]
        sure = ", not beyond chance" if found.beating else ""  # else the sentence begins with it
        ahead = f"at most {points[0]} points, up to {points[1]} by its interval{sure}"
    told = f"once the vectors are standardised no difference worth having is found ({ahead})"
    if not found.beating:
        return f"No tap beats {last} beyond chance, and {told}."
    best = found.beating[0]
    gain = f"{wording.in_points(best.vs_last):+.1f} points"
    return (
        f"It depends on how you read it: by {found.words(best.readout)} {best.tap} beats {last} ({gain}), but {told}."
    )


def _inner(found: "Conclusion") -> str:
    """Every read-out has an inner tap first."""
    last = wording.tap_name(found.reference)
    taps = sorted({cell.tap for cell in found.winners}, key=found.taps.index)
    if len(taps) == 1:
        told = f"{taps[0]} leads {last} under every read-out"
    else:
        apart = len(taps) == 2 or any("/" in tap or not tap.startswith("block_") for tap in taps)
        where = _listed(taps, "or") if apart else f"{taps[0]} to {taps[-1]}"
        told = f"An inner tap ({where}) leads {last} under every read-out"
    if not found.beating:
        return f"{told}, nowhere beyond chance: not enough to leave it."
    return f"{told}, beyond chance only {_cells(found, found.beating)}."


def _open(found: "Conclusion") -> str:
    """Nothing is sure, and the read-outs do not speak with one voice."""
    last = wording.tap_name(found.reference)
    if found.beating:
        best = found.beating[0]
        return (
            f"It depends on how you read it: by {found.words(best.readout)} {best.tap} beats {last} beyond chance, by "
            "the best read-out of either use no tap does."
        )
    told = f"No tap beats {last} beyond chance under any read-out"
    if len({cell.tap for cell in found.winners}) > 1:
        return f"{told}; which comes first depends on how you read it."
    return f"{told}." if len(found.winners) > 1 else f"No tap beats {last} beyond chance."


def _use(found: "Conclusion", use: str, advice: "Advice") -> str:
    """The line of one use: its best tap, its score, how it compares."""
    last, how = wording.tap_name(found.reference), found.words(advice.readout)
    score = wording.interval(advice.score, advice.lo, advice.hi)
    if wording.number(advice.corrected) != wording.number(advice.score):
        score += f" ({wording.number(advice.corrected)} corrected for the choice)"
    if advice.tap == found.reference:
        return f"{wording.USES[use]}: {last} by {how}, {score}; no other tap does better."
    alike = " under the same read-out" if advice.read_readout != advice.readout and not advice.beats_last else ""
    gain = f"{wording.points(advice.vs_last, advice.vs_last_lo, advice.vs_last_hi)} against {last}{alike}"
    p = wording.p_value(advice.p_adjusted)
    if advice.beats_last:
        return f"{wording.USES[use]}: {advice.tap} by {how}, {score}, {gain} ({p})."
    told = f"{wording.USES[use]}: {advice.tap} by {how} comes first with {score}, {gain}, not beyond chance ({p})"
    beating = [cell for cell in found.beating if cell.readout in USES[use]]
    if beating:
        return f"{told}; beyond chance: {_cells(found, beating[:1], '')}."
    if advice.read_readout != advice.readout:
        told += f"; by {found.words(advice.read_readout)} {last} itself has {advice.read_score:.3f}"
    return f"{told}."


def _published(found: "Conclusion") -> str:
    """What the published protocol says, and whether its tap holds under the read-out that is advised."""
    if found.published is None:
        return ""
    tap, score, last = found.published.tap, found.published.score, wording.tap_name(found.reference)
    scored = "" if found.metric == "top1" else f"; here by {wording.SCORES[found.metric]}"
    who = f"The published protocol ({found.words(found.published.readout)}, the best tap as it comes{scored})"
    there = found.published_elsewhere
    if tap == found.reference:
        too = " too" if all(advice.tap == found.reference for advice in found.uses.values()) else ""
        return f"{who} names {last}{too} ({score:.3f})."
    if there is None or there.readout == found.published.readout:
        return f"{who} names {tap} ({score:.3f})."
    how, lead = found.words(there.readout), f"{abs(wording.in_points(there.vs_last)):.1f} points"
    if found.misled:
        return f"{who} would have sent you to {tap} ({score:.3f}) and misled you: by {how} it is {lead} below {last}."
    told = f"{who} names {tap} ({score:.3f}); by {how} it is"
    if lead == "0.0 points":
        return f"{told} level with {last}."
    if there.vs_last < 0:
        return f"{told} {lead} below {last}, within chance: its lead does not survive that read-out."
    sure = "beyond chance" if there.beats_last else "not beyond chance"
    return f"{told} {lead} above {last} too, {sure} ({wording.p_value(there.p_adjusted)})."


def _limit(found: "Conclusion") -> str:
    told = few_groups(found.n_groups, found.smallest_p)
    return told and f"{told} More groups would show more; more clips of the same groups hardly would."


def few_groups(n_groups: int, smallest_p: float) -> str:
    """What so few groups can show at all; "" for many."""
    if n_groups >= MANY or smallest_p < wording.SMALLEST_P:
        return ""
    return f"{n_groups} groups: p cannot fall below {smallest_p:.2g}."


def how_sure(run: Run) -> str:
    """What scores, intervals and p-values of a conclusion are: an interval may leave out 0 where p is large."""
    over, table = "groups" if run.n_groups else run.unit, run.readouts
    score = wording.SCORES[run.config["conclusion"]["metric"]]
    many = f"{counted(table.tap.nunique(), 'tap')} x {counted(table.readout.nunique(), 'read-out')}"
    return (
        f"Scores: {score}; brackets: 95 % intervals over {over}, of one tap and read-out alone; p: family-wise, over "
        f"all {many}."
    )


def _s(names: list[str]) -> str:
    return "s" if len(names) == 1 else ""


def _cells(found: "Conclusion", cells: "Iterable[ScoredCell]", preposition: str = "for ") -> str:
    """Cells with what makes them sure: "for block_09 by logistic regression (+11.4 points, p = 0.031)"."""
    cells = list(cells)
    if len(cells) > 2:
        return f"by {_readouts(found, list(dict.fromkeys(cell.readout for cell in cells)))}"
    each = [
        f"{cell.tap} by {found.words(cell.readout)} ({wording.in_points(cell.vs_last):+.1f} points, "
        f"{wording.p_value(cell.p_adjusted)})"
        for cell in cells
    ]
    return preposition + _listed(each, "and")


def _readouts(found: "Conclusion", names: list[str]) -> str:
    return _listed([found.words(name) for name in names], "and")


def _listed(words: list[str], last: str) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
