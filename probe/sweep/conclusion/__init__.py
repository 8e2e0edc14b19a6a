"""The conclusion of a sweep, as a record and in words."""

from .conclusion import PUBLISHED, Advice, Conclusion, advise, conclude
from .text import few_groups, how_sure

__all__ = [
    "PUBLISHED",
    "Advice",
    "Conclusion",
    "advise",
    "conclude",
    "few_groups",
    "how_sure",
]
