"""The conclusion of a sweep: findings, and the sentences that say them."""

from .conclusion import PUBLISHED, Conclusion, advise, conclude
from .findings import READOUT_WORDS, SCORE_WORDS, USE_WORDS, USES, Advice, Cell, Findings
from .text import MANY

__all__ = [
    "MANY",
    "PUBLISHED",
    "READOUT_WORDS",
    "SCORE_WORDS",
    "USES",
    "USE_WORDS",
    "Advice",
    "Cell",
    "Conclusion",
    "Findings",
    "advise",
    "conclude",
]
