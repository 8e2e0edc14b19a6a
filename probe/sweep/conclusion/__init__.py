"""The conclusion of a sweep: findings, and the sentences that say them."""

from .conclusion import PUBLISHED, Conclusion, advise, conclude
from .findings import USE_WORDS, USES, Advice, Findings
from .text import few_groups, how_sure

__all__ = [
    "PUBLISHED",
    "USES",
    "USE_WORDS",
    "Advice",
    "Conclusion",
    "Findings",
    "advise",
    "conclude",
    "few_groups",
    "how_sure",
]
