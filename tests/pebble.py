"""Pebble: a member so small that a whole training takes a second. Everything that resuming can get wrong is in it:
running statistics, dropout, a head that trains alone, a parameter's own learning rate, an extra loss."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn

from birdprobe.features.recordings import read_recordings
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.models import members, network
from birdprobe.finetune.models.members import Member, Recipe
from birdprobe.finetune.models.published_weights import load_strict
from birdprobe.finetune.training.recipe import Settings

RATE, WINDOW_S, FRAME = 32000, 0.2, 320
AUGMENT = Augment(noise_p=0.5, frequency_mask=4, time_mask=5)
RECIPE = Recipe(
    **{"learning_rate": 0.02, "epochs": 4, "frozen_epochs": 0, "batch_size": 8, "drop_path": 0.2, "layer_decay": 0.7},
    **{"augment": AUGMENT, "selection": "random", "loss": "bce", "warmup": 0.1},
)
TONES = (400.0, 1700.0, 5200.0)


class Bands(nn.Module):
    """float32 [N, S] -> log power of 16 bands, [N, T, 16]."""

    def __init__(self):
        super().__init__()
        angle = 2 * np.pi * np.outer(np.arange(FRAME), 4 * np.arange(1, 17)) / FRAME
        waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) / FRAME
        self.register_buffer("waves", torch.tensor(waves, dtype=torch.float32), persistent=False)

    def raw(self, waveform):
        both = waveform.unfold(1, FRAME, FRAME) @ self.waves
        return torch.log(both.square().view(*both.shape[:2], 2, 16).sum(2) + 1e-6)

    def finish(self, raw):
        return ((raw + 8) / 4).unsqueeze(1)

    def forward(self, waveform):
        return self.finish(self.raw(waveform))


class Network(network.Network):
    depth = 1

    def __init__(self, n_classes, drop_path=0.0, width=12, norm=True):
        super().__init__()
        self.patch_embed = nn.Conv1d(16, width, 1)
        norm = nn.BatchNorm1d(width) if norm else nn.Identity()
        self.blocks = nn.Sequential(nn.Conv1d(width, width, 3), norm, nn.ReLU(), nn.Dropout(drop_path))
        self.head = nn.Linear(width, n_classes)

    def tokens(self, x):
        return self.blocks(self.patch_embed(x[:, 0].transpose(1, 2)))

    def embedding(self, tokens):
        return tokens.amax(2)

    @property
    def classifier(self):
        return self.head

    def logits(self, tokens):
        return self.head(self.embedding(tokens))

    def layer_id(self, name):
        return {"patch_embed": 0, "blocks": 1, "head": 2}[name.split(".")[0]]

    def is_head(self, name):
        return name.startswith("head.")

    def load_weights(self, state, place, config=None):
        load_strict(self, state, place, drop=("head.",))
        return "head replaced"

    def rates(self, prototypes):
        return {"head.bias": prototypes}

    def extra_loss(self):
        return 0.01 * self.head.weight.square().mean()


PEBBLE = Member("pebble", "Pebble", "this test", Bands, Network, RECIPE, sample_rate=RATE, window_s=WINDOW_S)


def register() -> None:
    """Make it known by name, as checkpoints want it."""
    members.MEMBERS["pebble"] = PEBBLE


def settings(**changes) -> Settings:
    """Pebble's on one CPU thread. changes: of the recipe or of the settings, by name."""
    recipe = {name: value for name, value in changes.items() if name in Recipe.__dataclass_fields__}
    others = {name: value for name, value in changes.items() if name not in recipe}
    return Settings(replace(RECIPE, **recipe), **{"folds": 3, "device": "cpu", "threads": 2} | others)


def write_audio(folder: Path, n: int = 12) -> Path:
    """n noisy clips of 0.5 s of each of three tones, in class folders; a group is two clips."""
    rng = np.random.default_rng(0)
    time = np.arange(RATE // 2) / RATE
    for k, tone in enumerate(TONES):
        (folder / f"tone{k}").mkdir(parents=True)
        for i in range(n):
            wave = 0.3 * np.sin(2 * np.pi * tone * time * rng.uniform(0.97, 1.03)) + 0.1 * rng.standard_normal(
                len(time)
            )
            soundfile.write(folder / f"tone{k}" / f"G{k}{i // 2}-{i}.wav", wave.astype(np.float32), RATE)
    return folder


def read_audio(folder: Path):
    return read_recordings(folder, group_regex=r"^(G\d+)-")


def killed_at(audio: str, run: str, step: str, changes: str) -> None:
    """A training that the operating system kills in the middle of a step. changes: as for `settings`, in Python; or the
    name of another member, whose smoke training it is then."""
    import os
    import signal

    from birdprobe.finetune.training.loop import Loop
    from birdprobe.finetune.training.train import train

    torch.set_num_threads(1)
    whole = Loop.train_step

    def train_step(self, *args):
        loss = whole(self, *args)
        if self.step == int(step):
            os.kill(os.getpid(), signal.SIGKILL)
        return loss

    Loop.train_step = train_step
    if changes in members.MEMBERS:
        train(changes, read_audio(Path(audio)), Path(run), smoke=True)
    else:
        register()
        train("pebble", read_audio(Path(audio)), Path(run), settings(**eval(changes)))


if __name__ == "__main__":
    killed_at(*sys.argv[1:])
