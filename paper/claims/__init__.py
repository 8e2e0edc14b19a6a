"""The note's claims, each with the test that we ran, our number, and the verdict that a rule drew from it.

    claims(sources, published) -> tuple[Claim, ...]    one a claim and run; where no run tests a claim, one that says
                                                       what is needed and the command that fills the row
    table(claims), rules_table(claims), needs_table(claims) -> Table: verdicts; the rules behind them; what is missing

A verdict is never prose: `paper.claims.verdicts` holds the rules. What our runs find on another backbone or other
recordings speaks of the claim's reach, not of the note's own numbers; each row therefore says what it was tested on,
and a claim that was not tested on Perch v2 and the competition's recordings has a row that says so.
"""

from ..published import Published
from ..runs.discovery import Sources
from . import failures, heads, lastmile, probing
from .record import Claim, needs_table, rules_table, table

__all__ = ["TESTS", "Claim", "claims", "needs_table", "rules_table", "table"]

TESTS = (*probing.TESTS, *heads.TESTS, *failures.TESTS, *lastmile.TESTS)  # in the order of the note


def claims(sources: Sources, published: Published) -> tuple[Claim, ...]:
    """Every claim, once a run that tests it, or once untested. Same sources, same claims, in the same order."""
    return tuple(claim for test in TESTS for claim in test(sources, published))
