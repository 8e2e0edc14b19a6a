"""All claims, in the order of the note: the probe, the head, what failed, the last mile."""

from ..published import Published
from ..runs.discovery import Sources
from . import failures, heads, lastmile, probing
from .record import Claim

TESTS = (*probing.TESTS, *heads.TESTS, *failures.TESTS, *lastmile.TESTS)


def claims(sources: Sources, published: Published) -> tuple[Claim, ...]:
    """Every claim, once a run that tests it, or once untested. Same sources, same claims, in the same order."""
    return tuple(claim for test in TESTS for claim in test(sources, published))
