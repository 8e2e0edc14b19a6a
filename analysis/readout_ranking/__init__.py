"""Which tap, read how: taps x read-outs with intervals, family-wise tests and what choosing among them costs."""

from .cells import Cell
from .nested import NestedChoice, nested_choice
from .pairs import compare_pairs
from .ranking import ALPHA, COLUMNS, Choice, ReadoutRanking, rank_readouts
from .selection_bias import corrected_score

__all__ = [
    "ALPHA",
    "COLUMNS",
    "Cell",
    "Choice",
    "NestedChoice",
    "ReadoutRanking",
    "compare_pairs",
    "corrected_score",
    "nested_choice",
    "rank_readouts",
]
