"""A training in about a minute on a CPU that passes through every stage: frozen, full, averaged, resumed from, written.

It shows that everything works together on this machine and with this audio. Its scores mean nothing.
"""

from dataclasses import replace
from pathlib import Path

from ..features.recordings import Recordings, choose, read_recordings
from ..features.synthetic.clips import write_dataset
from .models import members
from .models.members import Member
from .training.recipe import Settings

CLASSES, PER_CLASS = 2, 10
TINY = "birdmae-tiny"


def smaller(member: Member, settings: Settings) -> tuple[Member, Settings]:
    """Two epochs (one frozen) of small batches; for any Bird-MAE its tiny form."""
    if member.name.startswith("birdmae-"):
        member = members.get(TINY)
    recipe = replace(settings.recipe, epochs=2, frozen_epochs=1, batch_size=4, ema=0.9)
    settings = replace(settings, recipe=recipe, folds=2, accumulate=2, precision="float32", device="cpu")
    return member, replace(settings, state_every_s=0.0)


def few(recordings: Recordings | None, run: Path, seed: int) -> Recordings:
    """A handful of the given clips, or of made-up species (written to RUN/smoke-audio) where none are given."""
    if recordings is None:
        audio = run / "smoke-audio"
        if not audio.is_dir():
            write_dataset(audio, CLASSES, PER_CLASS, seed)
        recordings = read_recordings(audio, group_regex=r"^(R\d+)-")
    return choose(recordings, CLASSES, PER_CLASS, seed)
