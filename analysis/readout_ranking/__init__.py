"""Which tap, read how: taps x read-outs with intervals, family-wise tests and what choosing among them costs."""

from .cells import Cell
from .ranking import ALPHA, Choice, ReadoutRanking, best_index, compare_pairs, rank_readouts
from .selection_bias import corrected_score

__all__ = [
    "ALPHA",
    "Cell",
    "Choice",
    "ReadoutRanking",
    "best_index",
    "compare_pairs",
    "corrected_score",
    "rank_readouts",
]
