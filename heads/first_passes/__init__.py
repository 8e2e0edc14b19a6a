"""First passes as members of their own: what single windows say without any training by steps.

    mapped-logits    the backbone's logits for the run's classes, nothing learned
    probe-pca        standardise, PCA, a logistic regression a class; classes with too few positives from the logits

Both are heads like the others: out-of-fold tables, checkpoints, `predict`, `fuse`.
"""

from collections.abc import Mapping

from ..modules import Head, make
from .heads import LOGITS, FirstPassHead, MappedLogits, ProbePCA

KINDS: dict[str, type[FirstPassHead]] = {"mapped-logits": MappedLogits, "probe-pca": ProbePCA}


def build(name: str, widths: Mapping[str, int], n_classes: int, **options) -> Head:
    """A first pass by name, one of `KINDS`. Otherwise as `heads.modules.build`."""
    return make(KINDS, name, widths, n_classes, **options)


__all__ = ["KINDS", "LOGITS", "FirstPassHead", "MappedLogits", "ProbePCA", "build"]
