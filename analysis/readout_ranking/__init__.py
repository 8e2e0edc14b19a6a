"""Which tap, read how: taps x read-outs with intervals, family-wise tests and what choosing among them costs."""

from .nested import NestedChoice, nested_choice
from .ranking import ALPHA, COLUMNS, Choice, ReadoutRanking, rank_readouts
from .selection_bias import corrected_score

__all__ = [
    "ALPHA",
    "COLUMNS",
    "Choice",
    "NestedChoice",
    "ReadoutRanking",
    "corrected_score",
    "nested_choice",
    "rank_readouts",
]
