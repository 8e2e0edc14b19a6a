"""First passes as members of their own: what single windows say without any training by steps.

    mapped-logits    the backbone's logits for the run's classes, nothing learned
    probe-pca        standardise, PCA, a logistic regression a class; classes with too few positives from the logits

Both are heads like the others: out-of-fold tables, checkpoints, `predict`, `fuse`.
"""

from .heads import LOGITS, FirstPassHead, MappedLogits, ProbePCA

KINDS: dict[str, type[FirstPassHead]] = {"mapped-logits": MappedLogits, "probe-pca": ProbePCA}

__all__ = ["KINDS", "LOGITS", "FirstPassHead", "MappedLogits", "ProbePCA"]
