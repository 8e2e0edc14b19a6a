"""Read-outs: the ways in which a tap's vectors are turned into class scores, equal in rigour.

knn            Euclidean 5-NN on raw vectors: the published read-out (Table 1 of Yadav 2026)
knn-cosine     5-NN by cosine
knn-standard   columns standardised by the training rows, then 5-NN by cosine
centroid       nearest class mean by cosine (few-shot retrieval)
linear         columns standardised, one-vs-rest ridge, its penalty chosen inside the training rows
logistic       columns standardised, multinomial logistic regression (one-vs-rest where rows have several labels)
attentive      attention over the positions of an un-pooled map, then a linear softmax
"""

from .attentive import attentive_out_of_fold, attentive_transfer
from .readout import DEFAULT, LINEAR, READOUTS, TRAINING_FREE, out_of_fold, parse, transfer

__all__ = [
    "DEFAULT",
    "LINEAR",
    "READOUTS",
    "TRAINING_FREE",
    "attentive_out_of_fold",
    "attentive_transfer",
    "out_of_fold",
    "parse",
    "transfer",
]
