"""Read-outs: what a tap's vectors say about the classes, read in several ways with the same folds."""

from .attentive import attentive_transfer, out_of_fold_attentive
from .readout import ALL, ATTENTIVE, DEFAULT, LINEAR, TRAINING_FREE, out_of_fold, out_of_fold_all, parse, transfer

__all__ = [
    "ALL",
    "ATTENTIVE",
    "DEFAULT",
    "LINEAR",
    "TRAINING_FREE",
    "attentive_transfer",
    "out_of_fold",
    "out_of_fold_all",
    "out_of_fold_attentive",
    "parse",
    "transfer",
]
