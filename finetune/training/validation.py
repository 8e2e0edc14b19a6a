"""What a fold holds out: scored per clip after each epoch, written per window in the end."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor

from ...analysis import metrics
from ...analysis.predictions.row_ids import window_ids
from ...features import InputError
from ...features.recordings import Clip
from ..data.clips import Clips, clip_means
from ..data.folds import clip_targets
from ..data.teacher import Teacher
from ..losses import distillation, probabilities
from .loop import Loop


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of held-out clips, in the clips' order. logits float32 [w, K]; owner int64 [w]: each window's clip."""

    logits: Tensor
    owner: Tensor


class HeldOut:
    """clips: all that the fold holds out. Each process takes its share of them; all processes know the outcome."""

    def __init__(self, clips: Sequence[Clip], labels: Sequence[str], share: tuple[int, int], **reading):
        self.all, self.labels, self.share = tuple(clips), tuple(labels), share
        self.mine = self.all[share[0] :: share[1]]
        self.clips = Clips(self.mine, labels, **reading) if self.mine else None
        self.truth = clip_targets(self.all, self.labels) > 0  # [n, K]
        self.window_s = reading["window_s"]

    def predict(self, loop: Loop, batch_size: int) -> Windows:
        """Logits of all windows of each clip, with the network's present weights."""
        process, processes = self.share
        if self.clips is None:
            found = []
        else:
            logits, owner = loop.logits(self.clips.held_out(batch_size))
            found = [(logits.numpy(), owner.numpy() * processes + process)]
        found = gather_object(found) if processes > 1 else found
        logits, owner = (np.concatenate(parts) for parts in zip(*found))
        order = np.argsort(owner, kind="stable")
        return Windows(torch.from_numpy(logits[order]), torch.from_numpy(owner[order]))

    def scores(self, windows: Windows) -> dict[str, float]:
        """macro_auc, cmap and accuracy (top-1) over clips, each the mean of its windows' logits; nan if undefined."""
        if not torch.isfinite(windows.logits).all():
            raise InputError("training: expected finite logits, got others. A learning rate too high for this data?")
        means, there = clip_means(windows.logits, windows.owner, len(self.all))
        found = metrics.evaluate(self.truth[there.numpy()], means.numpy(), self.labels)
        return {"macro_auc": found["macro_auc"], "cmap": found["cmap"], "accuracy": found["top1"]}

    def distance(self, windows: Windows, teacher: Teacher | None) -> dict[str, float]:
        """kl: the mean of T^2 KL(teacher || student) over the windows that the teacher heard; nothing without one."""
        if teacher is None:
            return {}
        rows = teacher.rows_at(self.all, windows.owner.numpy(), self.window_s)
        heard = rows >= 0
        if not heard.any():
            return {"kl": float("nan")}
        logits = windows.logits[torch.from_numpy(heard)][:, torch.from_numpy(teacher.columns)]
        return {"kl": float(distillation(logits, torch.from_numpy(teacher.shares[rows[heard]]), teacher.temperature))}

    def table(self, windows: Windows, activation: str) -> tuple[list[str], np.ndarray, np.ndarray]:
        """(row ids, probabilities [w, K], truth [w, K]) of windows that are the clips' whole grid."""
        owner = windows.owner.numpy()
        first = np.searchsorted(owner, owner)  # of the clip's windows
        ends = (np.arange(len(owner)) - first + 1) * self.window_s
        ends += [self.all[i].start_s or 0.0 for i in owner]
        index = window_ids([self.all[i].name for i in owner], ends)
        return index, probabilities(windows.logits, activation).numpy(), self.truth[owner]
