"""A claim, tested or not, and the table of all of them."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from ...analysis.tables import MISSING, Column, Table, text_columns
from ..measures import Measure
from ..measures.measure import caveat
from . import verdicts
from .commands import Need
from .verdicts import UNTESTED, VERDICTS, Verdict


@dataclass(frozen=True)
class Claim:
    """One claim tested on one run, or told to be untested.

    key: of the claim. claim: in words. source: "WORK, place". published: the number as printed, with its unit. test:
    what was measured, and the rule. run: the run's name; on: model and data; at: what was compared there. value, low,
    high: ours with its 95 % interval; None where there is none. shown: these as people read them. n: what was counted.
    needs: the file that the user must supply; command: what then fills the row; both "" where the claim was tested.
    """

    key: str
    claim: str
    source: str
    published: str
    test: str
    run: str
    on: str
    at: str
    value: float | None
    low: float | None
    high: float | None
    shown: str
    n: str
    verdict: Verdict
    needs: str = ""
    command: str = ""

    @property
    def tested(self) -> bool:
        return self.verdict != UNTESTED


Judged = tuple[Measure, Verdict]


def tested(measure: Measure, verdict: Verdict, form: str = "{:+.3f}", **about: Any) -> Claim:
    """A claim with our number. form: of the value and both ends of its interval; about: key, claim, source, published,
    test."""
    low, high = (None if math.isnan(end) else end for end in (measure.low, measure.high))
    place: dict[str, Any] = {"run": measure.run, "on": measure.on, "at": measure.at, "n": measure.n}
    number: dict[str, Any] = {"value": measure.value, "low": low, "high": high, "shown": measure.said(form)}
    return Claim(**about, **place, **number, verdict=verdict)


def untested(need: Need, **about: Any) -> Claim:
    """A claim that no run tests. about: as in `tested`."""
    place: dict[str, Any] = {"run": "", "on": need.on, "at": MISSING, "n": MISSING}
    number: dict[str, Any] = {"value": None, "low": None, "high": None, "shown": MISSING}
    return Claim(**about, **place, **number, verdict=UNTESTED, needs=need.files, command=need.command)


def judged(found: Iterable[Judged], need: Need, about: dict[str, str], form: str = "{:+.3f}") -> Iterator[Claim]:
    """A claim a measure. Another, untested, where none is of Perch v2 on the competition."""
    found = tuple(found)
    for one, verdict in found:
        yield tested(one, verdict, form, **about)
    if not any(one.perch for one, _ in found):
        yield untested(need, **about)


def positive(found: Iterable[Measure | None]) -> list[Judged]:
    """Measures of a difference that the claim says is above zero."""
    return [(one, verdicts.positive(*one.ends)) for one in found if one is not None]


def table(claims: Iterable[Claim]) -> Table:
    """Claims down, in their order: published, ours with interval and n, verdict. Raw fields are Claim's; people see
    what is claimed once, over all runs that test it."""
    claims = tuple(claims)
    names = [field.name for field in fields(Claim)]
    frame = pd.DataFrame([asdict(one) for one in claims], columns=[*names])
    again = frame["key"].duplicated()
    for name in ("claim", "published"):
        frame[f"{name}_once"] = frame[name].mask(again, "")
    runs: dict[tuple[str, str], set[str]] = {}
    for one in claims:
        runs.setdefault((one.key, one.on), set()).add(one.run)
    frame["where"] = [f"{one.on} ({one.run})" if len(runs[one.key, one.on]) > 1 else one.on for one in claims]
    columns = [
        *text_columns(claim_once="claim", published_once="published", where="tested on", at="what"),
        Column("ours [95 %]", "{shown}"),
        *text_columns("n", "verdict"),
    ]
    caption = (
        "Published claims against our runs. Brackets: 95 % intervals, over recordings where these are known. A row on "
        "another backbone or on other recordings tests the claim's reach, not the note's own number."
    )
    return Table.from_frame(frame, columns, caption + caveat(frame["on"]))


def rules_table(claims: Iterable[Claim]) -> Table:
    """How each claim was tested, and the rule of its verdict; one row a claim."""
    first = {claim.key: claim for claim in reversed(tuple(claims))}
    rows = [(one.key, one.claim, one.source, one.test) for one in reversed(first.values())]
    frame = pd.DataFrame(rows, columns=["key", "claim", "source", "test"])
    columns = text_columns("claim", "source", test="our test, and when it holds")
    words = f"The tests behind the claims. Verdicts are rules: {', '.join(VERDICTS[:-1])}, or {VERDICTS[-1]}."
    return Table.from_frame(frame, columns, words)


def needs_table(claims: Iterable[Claim]) -> Table:
    """What the user must supply for the rows that no run filled, and the command that then does; one row a command."""
    waiting: dict[str, list[Claim]] = {}
    for one in claims:
        if not one.tested:
            waiting.setdefault(one.command, []).append(one)
    rows = [
        ("; ".join(one.key for one in ones), "; ".join(one.claim for one in ones), ones[0].on, ones[0].needs, command)
        for command, ones in waiting.items()
    ]
    frame = pd.DataFrame(rows, columns=["keys", "claims", "on", "needs", "command"])
    columns = text_columns("claims", "on", needs="what you must supply", command="what then fills the rows")
    words = "What the untested claims need. The last run of each command goes to birdprobe paper, beside the others."
    return Table.from_frame(frame, columns, words)
