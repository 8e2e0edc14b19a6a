"""Log-mels of made-up songs, in memory: made once, then cropped and augmented for every step of Wren's training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

from ...features.synthetic.clips import Species, Take, make_clip
from ...features.windows import normalise_windows
from ..frontends.logmel import FLOOR, SCALE, PerchLogMel


def _log_mels(takes: Sequence[Take], species: Sequence[Species]) -> np.ndarray:
    torch.set_num_threads(1)
    frontend = PerchLogMel()
    waves = normalise_windows(np.stack([make_clip(take, species) for take in takes]), "peak")
    return frontend(torch.from_numpy(waves)).numpy().astype(np.float16)


def log_mels(takes: Sequence[Take], species: Sequence[Species], jobs: int = 2) -> Tensor:
    """The planned clips as log-mels, float16 [n, 500, 128]: 128 kB a clip."""
    chunks = [takes[i : i + 50] for i in range(0, len(takes), 50)]
    parts = Parallel(n_jobs=jobs)(delayed(_log_mels)(chunk, species) for chunk in chunks)
    return torch.from_numpy(np.concatenate(parts))


@dataclass(frozen=True)
class Songs:
    """Training data in memory: log-mels [n, 500, 128] float16, class indices [n], salience [n, 500].

    Salience is how far a frame's strongest mel bin stands above that bin's median: songs do, background does not."""

    mels: Tensor
    classes: Tensor
    salience: Tensor

    @classmethod
    def of(cls, mels: Tensor, classes: Tensor) -> "Songs":
        rows = [(mel.float() - mel[::5].float().median(dim=0).values).amax(dim=1) for mel in mels]
        return cls(mels, classes, torch.stack(rows))

    def crops(self, rows: Tensor, frames: int, rng: np.random.Generator) -> Tensor:
        """float32 [len(rows), frames, 128]: of three random crops of each clip, the one with the most song in it."""
        length = self.mels.shape[1]
        running = nn.functional.pad(self.salience[rows].cumsum(1), (1, 0))
        starts = torch.from_numpy(rng.integers(0, length - frames + 1, (len(rows), 3)))
        content = running.gather(1, starts + frames) - running.gather(1, starts)
        best = starts.gather(1, content.argmax(1, keepdim=True))[:, 0].tolist()
        return torch.stack([self.mels[row, at : at + frames] for row, at in zip(rows.tolist(), best)]).float()


def augment(crops: Tensor, targets: Tensor, mix: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mix a second crop in (power is added), change gain and tilt, mask a band and a moment.

    crops float32 [n, frames, 128] log-mel; targets float32 [n, classes], shared out by the mixed amplitudes."""
    n, frames, mels = crops.shape
    ratio = np.where(rng.random(n) < mix, 10 ** rng.uniform(-1, 0, n), 0.0)
    ratio = torch.from_numpy(ratio.astype(np.float32))[:, None, None]
    mixed = SCALE * torch.log(torch.exp(crops / SCALE) + ratio * torch.exp(crops.roll(1, 0) / SCALE))
    crops = torch.where(ratio > 0, mixed, crops)
    targets = (targets + ratio[:, 0] * targets.roll(1, 0)) / (1 + ratio[:, 0])
    gain, tilt = (torch.from_numpy(rng.uniform(-w, w, (n, 1, 1)).astype(np.float32)) for w in (0.07, 0.05))
    crops = (crops + gain + tilt * torch.linspace(-1, 1, mels)).clamp(min=SCALE * math.log(FLOOR))
    for row in range(n):
        quiet = float(crops[row].mean())
        width, long = int(rng.integers(0, 12)), int(rng.integers(0, frames // 8))
        low, start = int(rng.integers(0, mels - width)), int(rng.integers(0, frames - long))
        crops[row, :, low : low + width] = quiet
        crops[row, start : start + long] = quiet
    return crops, targets
