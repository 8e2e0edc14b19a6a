"""What our runs measured of what the note claims: one number with its interval, the same for tables and claims.

Each function takes one run and gives a Measure, or None where the run does not hold what is asked for. Intervals, 95 %:
over recordings (or groups of clips) where a run knows them, as its own tables have them. Seeds are fixed: the same run
gives the same number.
"""

from .measure import Measure

__all__ = ["Measure"]
