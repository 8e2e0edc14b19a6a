"""How features are made: what `extract` and `sweep` are told of recordings, backbone and machine."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from ...features import InputError
from ...features.playback import Playback
from ...features.recordings import Recordings, read_recordings
from ...features.schema import check_choice, check_least, check_seed, comma_text, setting
from ...features.windows import Selection
from ..runtime.backbone import Backbone
from ..runtime.providers import DEVICES, PRECISIONS, find_device
from ..surgery.pooling import parse_all

MOST_WINDOWS = 65_536  # of a batch: far more than a device's memory holds


@dataclass(frozen=True, kw_only=True)
class ExtractionSettings:
    """The settings of an extraction; the defaults are the command's. Lengths in seconds, rates in Hz.

    Those named in LISTS may also be numbers and sequences of text or numbers.
    """

    taps: str = "all"
    pool: str = "mean"
    select: str = "all"
    hop: float | None = None
    overlap: float | None = None
    speed: float = 1.0
    bandpass: str | None = None
    dtype: str = "float32"
    sample_rate: int | None = None
    window_s: float | None = None
    normalise: str | None = None
    frontend: str | None = None
    inputs: tuple[str, ...] = ()
    batch_size: int | None = None
    device: str = "auto"
    precision: str = "float32"
    jobs: int = 1
    cluster: str | None = None
    classes: int | None = None
    per_class: int | None = None
    group_regex: str | None = None
    groups: str | None = None
    fold_regex: str | None = None
    column: str | None = None
    seed: int = 0

    LISTS: ClassVar[tuple[str, ...]] = ("taps", "pool", "bandpass")
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "dtype": ("float32", "float16"),
        "device": DEVICES,
        "precision": PRECISIONS,
    }
    LEAST: ClassVar[dict[str, int]] = {"batch_size": 1, "jobs": 1, "classes": 1, "per_class": 1}

    def __post_init__(self):
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in self.LISTS and value is not None:
                value = comma_text(name, value)
            object.__setattr__(self, name, setting(name, field.type, value))

    def check(self) -> None:
        """InputError: an unknown word, a number that is too small, options that do not go together."""
        for name, allowed in self.CHOICES.items():
            check_choice(flag(name), getattr(self, name), allowed)
        check_seed(self.seed)
        for name, least in self.LEAST.items():
            check_least(flag(name), getattr(self, name), least)
        if self.batch_size is not None and self.batch_size > MOST_WINDOWS:
            raise InputError(f"`--batch-size` must be at most {MOST_WINDOWS}, got {self.batch_size}.")
        parse_all(self.pool)
        _ = self.how

    @property
    def how(self) -> dict[str, Any]:
        """Arguments of `extract`."""
        return {
            "selection": Selection.parse(self.select, self.hop, self.overlap),
            "playback": Playback.parse(self.speed, self.bandpass),
            **{name: getattr(self, name) for name in ("dtype", "batch_size", "jobs", "seed", "cluster")},
        }

    def read(self, audio: Path | str, labelled: bool = True) -> Recordings:
        """All clips of AUDIO."""
        return read_recordings(
            audio,
            group_regex=self.group_regex,
            groups_column=self.groups,
            fold_regex=self.fold_regex,
            column=self.column,
            labelled=labelled,
        )

    def open(self, model: Path | str, timed: bool = False) -> Backbone:
        """The backbone at the taps that are asked for."""
        return Backbone.open(
            model,
            taps=self.taps,
            pooling=self.pool,
            sample_rate=self.sample_rate,
            window_s=self.window_s,
            normalise=self.normalise,
            frontend=self.frontend,
            inputs=self.inputs,
            device=find_device(self.device, self.precision),
            threads=1,  # one-thread sessions called from a thread a core: the fastest where measured
            timed=timed,
        )


def flag(name: str) -> str:
    """`batch_size` -> `--batch-size`."""
    return f"--{name.replace('_', '-')}"
