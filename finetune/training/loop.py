"""One step of training, for any member: waveforms in, weights moved.

    waveform -> augmented -> front end -> masked, finished -> pieces -> network -> loss -> gradient, clipped -> AdamW

Everything random in a step follows from (seed, fold, epoch, step, process): done again, it gives the same weights.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import losses
from ..data import augment
from ..data.teacher import Teacher
from ..models.members import Model
from ..models.network import Mixed, Network
from ..torch_settings import compiled
from . import resume, schedule
from .averaging import Average
from .recipe import Settings


class Loop:
    """A model and its optimizer on one process's device. steps: of the whole training. teacher: of targets that hold
    its shares, see `Clips`.

    `step` counts optimizer steps; `average` holds the weights to evaluate; `network` is the plain module.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        fold: int,
        steps: int,
        accelerator: Accelerator,
        teacher: Teacher | None = None,
    ):
        self.teacher = teacher
        self.settings, self.recipe, self.fold, self.accelerator = settings, settings.recipe, fold, accelerator
        self.device = accelerator.device
        model.to(self.device)
        self.taught = torch.from_numpy(teacher.columns).to(self.device) if teacher else None
        self.frontend, self.network = model.frontend, model.network
        self.steps, self.warmup = steps, schedule.warmup_length(steps, self.recipe.warmup)
        self.step, self.lr = 0, 0.0
        self.trained = [name for name, parameter in self.network.named_parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(
            schedule.parameter_groups(
                self.network,
                self.recipe.learning_rate,
                self.recipe.weight_decay,
                self.recipe.layer_decay,
                self.network.rates(self.recipe.prototype_lr),
            ),
            betas=(self.recipe.betas[0], self.recipe.betas[1]),
            fused=self.device.type == "cuda",
        )
        self.average = Average(self.network, self.recipe.ema)
        self.mixed = Mixed(self.network, settings.autocast(self.device))
        self.draws = torch.Generator(self.device)
        self.wrapped: nn.Module = self.mixed  # until `stage` compiles it, or wraps it for several processes
        self.frozen: bool | None = None

    def stage(self, frozen: bool) -> None:
        """Let the head alone learn, or everything. Call it before each epoch: it also sets the training mode.

        The frozen part stays in evaluation mode, so that neither drop path nor running statistics move what it says.
        """
        if frozen != self.frozen:
            self.optimizer.zero_grad(set_to_none=True)
            parameters = dict(self.network.named_parameters())
            for name in self.trained:
                parameters[name].requires_grad_(not frozen or self.network.is_head(name))
            network = compiled(self.mixed) if self.settings.compile else self.mixed
            # Wrapped anew: across processes the wrapper shares gradients of what could learn when it was made.
            self.wrapped = self.accelerator.prepare_model(network)
            self.frozen = frozen
        self.network.train(not frozen)
        if frozen:
            for module in _heads(self.network):
                module.train()

    def train_step(
        self, waveform: Tensor, targets: Tensor, epoch: int, in_epoch: int, pools: Mapping[str, Tensor | None]
    ) -> Tensor:
        """The mean loss of a batch (a scalar on the device), after moving the weights.

        waveform float32 [B, S], targets float32 [B, K] (of `loss`); pools: "pool" and "nocall" of `augment.waveform`.
        """
        place = (self.settings.seed, self.fold, epoch, in_epoch, self.accelerator.process_index)
        drawn = np.random.SeedSequence(place).generate_state(2, np.uint32)
        self.draws.manual_seed(int(drawn[0]))
        torch.manual_seed(int(drawn[1]))  # dropout and drop path
        x, targets = self.picture(waveform, targets, pools)
        self.lr = schedule.lr_at(self.step, self.steps, self.warmup, self.recipe.learning_rate, self.recipe.min_lr)
        schedule.set_lr(self.optimizer, self.lr)
        total = self._gradient(x, targets)
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.step)
        self.step += 1
        return total

    @torch.no_grad()
    def picture(self, waveform: Tensor, targets: Tensor, pools: Mapping[str, Tensor | None]) -> tuple[Tensor, Tensor]:
        """(the network's input float32, targets), augmented, on the device."""
        config = self.recipe.augment
        waveform, targets = (t.to(self.device, non_blocking=True) for t in (waveform, targets))
        given: dict[str, Any] = dict(pools)
        waveform, targets = augment.waveform(waveform, targets, config, self.draws, **given)
        raw = augment.spectrogram(self.frontend.raw(waveform), config, self.draws)
        return self.frontend.finish(raw), targets

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Of logits [N, K], or the sum over several sets of them, [M, N, K]; with a teacher, targets as of `Clips`."""
        if self.teacher is None:
            return self.label_loss(logits, targets)
        k = logits.shape[-1]
        shares, known = targets[:, k:-1].expand(*logits.shape[:-1], -1), targets[:, -1] == 0
        value = losses.distillation(logits[..., self.taught], shares, self.teacher.temperature)
        value = self.teacher.weight * value.sum()
        if known.any():
            value = value + known.float().mean() * self.label_loss(logits[..., known, :], targets[known, :k])
        return value

    def label_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        recipe = self.recipe
        each = losses.loss(
            recipe.loss,
            logits,
            targets.expand_as(logits),
            gamma_neg=recipe.gamma_neg,
            gamma_pos=recipe.gamma_pos,
            clip=recipe.asl_clip,
        )
        return each.sum()

    @torch.no_grad()
    def logits(self, waveforms: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """(logits float32 [w, K], clip numbers int64 [w]) on the CPU, of (waveform [B, S], clip numbers [B]) batches.

        With the network's present weights, in evaluation mode; the training mode comes back with the next `stage`.
        """
        self.network.eval()
        found, owners = [], []
        for waveform, owner in waveforms:
            x = self.frontend(waveform.to(self.device, non_blocking=True))
            found.append(self.mixed(x).cpu())
            owners.append(owner)
        return torch.cat(found), torch.cat(owners)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, for `state.save`."""
        return {
            **resume.prefixed("network", self.network.state_dict()),
            **resume.prefixed("average", self.average.tensors()),
            **resume.prefixed("optimizer", resume.optimizer_tensors(self.optimizer, self.network)),
        }

    def restore(self, tensors: Mapping[str, Tensor], step: int) -> None:
        self.network.load_state_dict(resume.under("network", tensors))
        self.average.restore(resume.under("average", tensors))
        resume.restore_optimizer(self.optimizer, self.network, resume.under("optimizer", tensors))
        self.step = step

    def _gradient(self, x: Tensor, targets: Tensor) -> Tensor:
        """Of the whole batch, from as many pieces as the settings say. The loss, detached."""
        total = torch.zeros((), device=self.device)
        pieces = list(zip(x.chunk(self.settings.accumulate), targets.chunk(self.settings.accumulate)))
        for i, (piece, wanted) in enumerate(pieces):
            last = i == len(pieces) - 1
            together = nullcontext() if last else self.accelerator.no_sync(self.wrapped)
            with together, self.network.tracked():
                value = self.loss(self.wrapped(piece), wanted) * (len(piece) / len(x))
                if last and (extra := self.network.extra_loss()) is not None:
                    value = value + extra
                self.accelerator.backward(value)
            total += value.detach()
        return total


def _heads(network: Network) -> list[nn.Module]:
    """Modules all of whose parameters train while the rest is frozen."""
    found = []
    for name, module in network.named_modules():
        own = [f"{name}.{parameter}" for parameter, _ in module.named_parameters()]
        if name and own and all(map(network.is_head, own)):
            found.append(module)
    return found
