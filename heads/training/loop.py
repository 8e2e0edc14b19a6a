"""The training loop: one head architecture, one model per split, the best epoch of each kept.

Protocol of Yadav 2026 ("Training"): AdamW, cosine annealing, at most 50 epochs, early stopping on the held-out macro
ROC-AUC, feature mixup with alpha 0.2, fixed fractions of each source in a batch. Learning rate, weight decay, batch
size and patience are not published; those here are ours. The held-out fold also chooses the epoch, so its score is a
little optimistic, as published; `patience=None` trains all epochs and never looks.
"""

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from ...features import InputError
from ...features.progress import Progress
from ...features.schema import check_choice, check_least
from ...finetune.losses import LOSSES, activation_of, loss
from ..modules import Head
from ..sequences import SequenceHead
from .folds import Batches, Split

ASL_GAMMA_POSITIVE = 0.0  # as on the published model card; the loss's other numbers are Ridnik et al.'s own
STACKED_BATCH = 64  # 5 models stacked are 1.1-1.2 x as fast up to here, at 256 equal; see tests/bench_heads.py


@dataclass(frozen=True)
class Settings:
    """How heads are trained.

    loss: "bce" or "asl" (any number of labels a row), "ce" (exactly one). batch_size: None takes 256 from 10,000
    training rows on, else 64, or less where an epoch would have under 8 steps. mixup: alpha of Beta, 0 is off.
    patience: epochs without a better held-out score; None never stops early and keeps the last epoch. fractions: of
    each source in a batch, normalised over those that are there. together: train the folds as one stack; None does so
    where it is faster. dim, dropout: of the heads that have them. folds, fold_by: see `splits.make_folds`. unit: "clip"
    or "window", what is scored while training. sequence_length: windows that heads over time read at once, at most.
    """

    loss: str = "bce"
    epochs: int = 50
    batch_size: int | None = None
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    mixup: float = 0.2
    patience: int | None = 10
    fractions: tuple[float, ...] = (0.75, 0.15, 0.10)
    together: bool | None = None
    dim: int = 256
    dropout: float = 0.1
    folds: int = 5
    fold_by: str | None = None
    unit: str = "clip"
    sequence_length: int = 12
    seed: int = 0

    def __post_init__(self):
        for name, allowed in (("loss", LOSSES), ("unit", ("clip", "window"))):
            check_choice(f"--{name}", getattr(self, name), allowed)
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 1), ("folds", 2), ("sequence_length", 1)):
            check_least(f"--{name.replace('_', '-')}", getattr(self, name), least)
        if min(self.fractions, default=-1) < 0 or not sum(self.fractions):
            raise InputError(f"`--fractions` must be shares of the sources, as in 0.75,0.15,0.1, got {self.fractions}.")
        if self.mixup < 0:
            raise InputError(f"`--mixup` must be 0 or more, got {self.mixup}.")
        if not self.learning_rate > 0:
            raise InputError(f"`--lr` must be above 0, got {self.learning_rate}.")

    @property
    def activation(self) -> str:
        return activation_of(self.loss)


@dataclass(frozen=True, eq=False)
class Fitted:
    """One trained model, in evaluation mode. logits [held, K] of its held-out rows; score: the best held-out score
    (nan without one); epoch: the one kept, from 1; losses, scores: one an epoch."""

    module: Head | SequenceHead
    logits: Tensor
    score: float
    epoch: int
    losses: tuple[float, ...]
    scores: tuple[float, ...]


def fit(
    make: Callable[[], Head],
    xs: Sequence[Tensor],
    targets: Tensor,
    splits: Sequence[Split],
    settings: Settings,
    judge: Callable[[np.ndarray, Tensor], float] | None = None,
    bar: Progress | None = None,
) -> list[Fitted]:
    """Train one head per split. xs: float [n, width] per token; targets: float [n, K] in 0..1.

    judge(rows, logits) -> held-out score, larger is better; without it, or with nan, the last epoch is kept. bar: moves
    a step an epoch and model. Deterministic in `settings.seed` on CPU; the global random state is left as it was.
    """
    bar = bar or Progress("training", 0, wanted=False)
    batch = batch_size(settings, splits)
    together = settings.together
    if together is None:  # under early stopping a stack runs until its last model is done, which costs what it gains
        together = batch <= STACKED_BATCH and (settings.patience is None or judge is None)
    numbered = list(enumerate(splits))
    fitted = []
    with torch.random.fork_rng(devices=[]):
        for some in [numbered] if together else [[one] for one in numbered]:
            fitted += _fit_stack(make, list(xs), targets, some, settings, batch, judge, bar)
    return fitted


def batch_size(settings: Settings, splits: Sequence[Split]) -> int:
    rows = max(sum(map(len, split.train)) for split in splits)
    return settings.batch_size or (256 if rows >= 10_000 else min(64, max(8, rows // 8)))


def _fit_stack(make, xs, targets, numbered, settings, batch, judge, bar):
    modules, batches = [], []
    for i, split in numbered:
        torch.manual_seed(1000 * settings.seed + i)
        modules.append(make())
        rows = torch.from_numpy(np.concatenate(split.train))
        modules[-1].fit_statistics([x[rows] for x in xs])
        batches.append(Batches(split, batch, settings.fractions, settings.mixup, (settings.seed, i)))
    stack = Stack(modules)
    keepers = [Keeper(settings.patience if judge else None) for _ in numbered]
    steps = math.ceil(max(sum(map(len, split.train)) for _, split in numbered) / batch)
    optimiser, schedule = optimised(stack.parameters(), settings)
    for _ in range(settings.epochs):
        losses = train_epoch(stack, xs, targets, batches, steps, optimiser, settings.loss)
        schedule.step()
        for m, (_, split) in enumerate(numbered):
            if not keepers[m].done:
                logits = stack.predict(m, [x[split.held] for x in xs]) if len(split.held) else targets[:0]
                score = judge(split.held, logits) if judge else math.nan
                keepers[m].see(stack.state(m), logits, float(losses[m]), score)
        score = np.mean([keeper.score for keeper in keepers])
        bar.advance(len(numbered), f"loss {float(losses.mean()):.4f}, held-out AUC {score:.4f}")
        if all(keeper.done for keeper in keepers):
            break
    return [keeper.fitted(module) for module, keeper in zip(modules, keepers)]


def optimised(
    parameters: Iterable[Tensor], settings: Settings
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW, and the cosine that is to be stepped after each epoch."""
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    return optimiser, torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)


def train_epoch(stack, xs, targets, batches, steps, optimiser, kind) -> Tensor:
    """One epoch of all models; their mean losses [M]."""
    drawn = [torch.from_numpy(np.stack(part, axis=1)) for part in zip(*(b.epoch(steps) for b in batches))]
    total = torch.zeros(stack.size)
    for index, partner, weight in zip(*drawn):  # [M, B] each
        mix = weight[..., None]
        mixed = [torch.lerp(x[partner], x[index], mix) for x in xs]
        wanted = torch.lerp(targets[partner], targets[index], mix)
        losses = loss(kind, stack(mixed), wanted, gamma_pos=ASL_GAMMA_POSITIVE)
        optimiser.zero_grad(set_to_none=True)
        losses.sum().backward()  # the models share nothing, so each gets its own gradient
        optimiser.step()
        total += losses.detach()
    return total / steps


class Stack:
    """M heads of one architecture trained as one: parameters side by side, one vmapped pass for all.

    Small models at small batches are bound by the overhead of each operator, and a stack pays that once for all folds.
    At large batches the batched matrix products are slower than plain ones, and models one after another win. A stack
    of one is the plain module.
    """

    def __init__(self, modules: Sequence[Head]):
        self.size = len(modules)
        self._one = modules[0] if self.size == 1 else copy.deepcopy(modules[0])
        if self.size > 1:
            self._parameters, self._buffers = stack_module_state(list(modules))

    def parameters(self) -> list[Tensor]:
        return list(self._one.parameters() if self.size == 1 else self._parameters.values())

    def __call__(self, xs: list[Tensor]) -> Tensor:
        """Training pass: xs of [M, B, width] -> logits [M, B, K]. Each model draws its own dropout."""
        self._one.train()
        if self.size == 1:
            return self._one([x[0] for x in xs])[None]
        return vmap(self._call, in_dims=(0, 0, 0), randomness="different")(self._parameters, self._buffers, xs)

    @torch.no_grad()
    def predict(self, m: int, xs: list[Tensor], rows: int = 4096) -> Tensor:
        """Evaluation pass of model m: xs of [n, width] -> logits [n, K]."""
        self._one.eval()
        state = self.state(m)
        pieces = zip(*(x.split(rows) for x in xs))
        return torch.cat([functional_call(self._one, state, (list(piece),)) for piece in pieces])

    def state(self, m: int) -> dict[str, Tensor]:
        """Model m's state dict; views of what is being trained."""
        if self.size == 1:
            return self._one.state_dict()
        return {name: tensor.detach()[m] for name, tensor in (self._parameters | self._buffers).items()}

    def _call(self, parameters, buffers, xs):
        return functional_call(self._one, (parameters, buffers), (xs,))


class Keeper:
    """Of one model: the best epoch so far, and whether its patience is over. What comes after that is ignored, so a
    model gives the same result alone as in a stack that goes on for others."""

    def __init__(self, patience: int | None):
        self.patience, self.done = patience, False
        self.score, self.epoch = math.nan, 0
        self.losses: list[float] = []
        self.scores: list[float] = []

    def see(self, state, logits, loss, score):
        self.losses.append(loss)
        self.scores.append(score)
        better = self.patience is None or math.isnan(self.score) or score > self.score
        if better:
            self.score, self.epoch, self.logits = score, len(self.scores), logits
            self.state = {name: tensor.clone() for name, tensor in state.items()}
        self.done = self.patience is not None and len(self.scores) - self.epoch >= self.patience

    def fitted(self, module: Head | SequenceHead) -> Fitted:
        """The model with the weights of its best epoch."""
        module.load_state_dict(self.state)
        return Fitted(module.eval(), self.logits, self.score, self.epoch, tuple(self.losses), tuple(self.scores))
