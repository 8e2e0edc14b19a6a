"""First passes as members of their own: what single windows say without any training by steps.

    mapped-logits    the backbone's logits for the run's classes, nothing learned
    probe-pca        standardise, PCA, a logistic regression a class; classes with too few positives from the logits

Both are heads like the others: out-of-fold tables, checkpoints, `predict`, `fuse`. They are fitted in one go to the
training rows of the scored source, and judged on the held-out rows.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from ..features import InputError
from ..features.progress import Progress
from .modules import Head
from .training.folds import Split
from .training.loop import Fitted

LOGITS = "logits"  # the tap that is mapped, never probed
ABSENT = -10.0  # logit of a class that has no output and that nobody heard: "no" everywhere
COMPONENTS, POSITIVES, PENALTY = 64, 5, 0.1  # of PCA; the least windows of a class; C as in analysis.readouts.logistic


class Mapped(nn.Module):
    """Logits [..., B] of the backbone -> [..., K]: of each class the maximum over its outputs, `absent` if none."""

    indices: Tensor
    has: Tensor

    def __init__(self, outputs: Sequence[Sequence[int]], absent: float = ABSENT):
        super().__init__()
        self.absent = absent
        width = max(1, *map(len, outputs))
        rows = [[*each, *[each[0] if each else 0] * (width - len(each))] for each in outputs]
        self.register_buffer("indices", torch.tensor(rows))
        self.register_buffer("has", torch.tensor([bool(each) for each in outputs]))

    def forward(self, logits: Tensor) -> Tensor:
        return torch.where(self.has, logits[..., self.indices].amax(-1), self.absent)


class FirstPassHead(Head):
    """A head that is fitted in one go. outputs: of each class its outputs of the tap `logits`, see
    `features.recordings.class_mapping`; None: that tap is not used."""

    def __init__(self, widths: Mapping[str, int], n_classes: int, outputs: Sequence[Sequence[int]] | None = None):
        super().__init__(widths, n_classes)
        self.mapped = None if outputs is None else Mapped(outputs)
        self.at = list(widths).index(LOGITS) if LOGITS in widths else None

    def mapped_logits(self, xs: list[Tensor]) -> Tensor:
        if self.mapped is None or self.at is None:
            return xs[0].new_full((len(xs[0]), self.n_classes), ABSENT)
        return self.mapped(xs[self.at])

    def solve(self, xs: list[Tensor], targets: Tensor) -> None:
        """Fit to training windows: xs [N, width] per token, targets [N, K]."""

    def tap_weights(self, xs):
        return torch.full((len(self.widths),), 1 / len(self.widths))


class MappedLogits(FirstPassHead):
    """The backbone's own logits. There is nothing to fit."""

    def __init__(self, widths: Mapping[str, int], n_classes: int, outputs: Sequence[Sequence[int]] | None = None):
        if tuple(widths) != (LOGITS,):
            raise InputError(f"head mapped-logits: reads the tap logits alone, got {', '.join(widths)}.")
        super().__init__(widths, n_classes, outputs)

    def forward(self, xs):
        return self.mapped_logits(xs)


class ProbePCA(FirstPassHead):
    """A logistic regression a class on principal components of the standardised taps, written as one Linear.

    components: of PCA, at most. positives: windows that a class needs; others keep their mapped logits where `logits`
    is among the taps (which is then no feature), else ABSENT.
    """

    has_probe: Tensor

    def __init__(
        self,
        widths: Mapping[str, int],
        n_classes: int,
        outputs: Sequence[Sequence[int]] | None = None,
        components: int = COMPONENTS,
        positives: int = POSITIVES,
    ):
        features = {token: width for token, width in widths.items() if token != LOGITS}
        if not features:
            raise InputError("head probe-pca: expected a tap beside logits, got none. Such as probe-pca:embedding?")
        super().__init__(widths, n_classes, outputs)
        self.components, self.positives = components, positives
        self.classify = nn.Linear(sum(features.values()), n_classes)
        self.register_buffer("has_probe", torch.zeros(n_classes, dtype=torch.bool))

    def features(self, xs: list[Tensor]) -> Tensor:
        return torch.cat([x for token, x in zip(self.widths, self.standardised(xs)) if token != LOGITS], dim=-1)

    def forward(self, xs):
        return torch.where(self.has_probe, self.classify(self.features(xs)), self.mapped_logits(xs))

    @torch.no_grad()
    def solve(self, xs, targets):
        self.fit_statistics(xs)  # columns that never vary become zero; the pipeline's own scaling then changes nothing
        x, y = self.features(xs).double().numpy(), targets.numpy() > 0.5
        reduce = make_pipeline(StandardScaler(), PCA(min(self.components, *x.shape), svd_solver="full"))
        z = reduce.fit_transform(x)
        scale, pca = reduce[0], reduce[1]
        to_z = pca.components_ / scale.scale_  # z = (x - mean) @ to_z.T, the mean of PCA's input being 0
        weight, bias = np.zeros((self.n_classes, x.shape[1])), np.zeros(self.n_classes)
        heard = y.sum(axis=0)
        probed = np.flatnonzero((heard >= self.positives) & (heard < len(y)))
        for k in probed:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                found = LogisticRegression(C=PENALTY, max_iter=1000).fit(z, y[:, k])
            weight[k] = found.coef_[0] @ to_z
            bias[k] = found.intercept_[0] - weight[k] @ scale.mean_
        self.classify.weight.copy_(torch.from_numpy(weight))
        self.classify.bias.copy_(torch.from_numpy(bias))
        self.has_probe.zero_()
        self.has_probe[torch.from_numpy(probed)] = True


KINDS: dict[str, type[FirstPassHead]] = {"mapped-logits": MappedLogits, "probe-pca": ProbePCA}


@torch.no_grad()
def fit_first_pass(
    make: Callable[[], FirstPassHead],
    xs: Sequence[Tensor],
    targets: Tensor,
    splits: Sequence[Split],
    source: int,
    judge: Callable[[np.ndarray, Tensor], float] | None = None,
    bar: Progress | None = None,
) -> list[Fitted]:
    """One head a split, fitted to its training rows of one source alone (labelled soundscapes, where there are any).

    make: a new head. xs, targets: all rows, float [n, width] per token and [n, K]. source: its number. judge: (held-out
    rows, their logits) -> score.
    """
    fitted = []
    for split in splits:
        head = make().eval()
        rows = torch.from_numpy(split.train[source])
        head.solve([x[rows] for x in xs], targets[rows])
        held = torch.from_numpy(split.held)
        logits = head([x[held] for x in xs]) if len(held) else targets[:0]
        score = judge(split.held, logits) if judge and len(held) else math.nan
        fitted.append(Fitted(head, logits, score, 0, (), ()))
        if bar is not None:
            bar.advance(1, f"held-out AUC {score:.4f}")
    return fitted
