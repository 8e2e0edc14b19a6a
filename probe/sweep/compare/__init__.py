"""Several finished sweeps on the same clips: one ranking of model x tap x read-out."""

from .comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
