"""Read-outs: what a tap's vectors say about the classes, read in several ways with the same folds."""

from .readout import (
    ALL,
    ATTENTIVE,
    DEFAULT,
    LINEAR,
    TRAINING_FREE,
    USES,
    out_of_fold,
    out_of_fold_all,
    parse,
    predict,
    transfer,
)

__all__ = [
    "ALL",
    "ATTENTIVE",
    "DEFAULT",
    "LINEAR",
    "TRAINING_FREE",
    "USES",
    "out_of_fold",
    "out_of_fold_all",
    "parse",
    "predict",
    "transfer",
]
