"""Everything that a sweep can be told, checked before anything is opened."""

from dataclasses import dataclass, fields

from ...analysis import readouts
from ...features import InputError
from ...features.schema import check_choice, check_least, check_seed, comma_text, setting
from ..runtime.providers import DEVICES, PRECISIONS
from ..surgery.pooling import parse_all

CHOICES = {
    "metric": ("euclidean", "cosine"),
    "unit": ("clip", "window"),
    "projection": ("umap", "pca", "none"),
    "score": ("auto", "top1", "auc", "cmap"),
    "test_groups": ("file", "site"),
    "dtype": ("float32", "float16"),
    "device": DEVICES,
    "precision": PRECISIONS,
}
LEAST = {"k": 1, "folds": 2, "batch_size": 1, "jobs": 1, "min_per_class": 2, "classes": 1, "per_class": 1}
LISTS = ("taps", "pool", "bandpass", "readout", "shots")  # text with commas, or a sequence of its parts


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a sweep; the defaults are the command's. Lengths in seconds, rates in Hz.

    `taps`, `pool`, `bandpass`, `readout` and `shots` may also be numbers and sequences of text or numbers.
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
    classes: int | None = 30
    per_class: int | None = 20
    min_per_class: int | None = None
    group_regex: str | None = None
    groups: str | None = None
    fold_regex: str | None = None
    column: str | None = None
    test_column: str | None = None
    k: int = 5
    folds: int = 5
    metric: str = "euclidean"
    unit: str = "clip"
    readout: str = "all"
    score: str = "auto"
    test_groups: str = "file"
    shots: str | None = None
    planes: bool = False
    control: bool = False
    timing: bool = True
    projection: str = "pca"
    seed: int = 0

    def __post_init__(self):
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if name in LISTS and value is not None:
                value = comma_text(name, value)
            object.__setattr__(self, name, setting(name, field.type, value))

    def check(self) -> None:
        """Refuse what no later stage would explain as well.

        Raises:
            InputError: a word that is not among its choices, a number that is too small, options that do not go
                together.
        """
        for name, allowed in CHOICES.items():
            check_choice(flag(name), getattr(self, name), allowed)
        check_seed(self.seed)
        for name, least in LEAST.items():
            check_least(flag(name), getattr(self, name), least)
        parse_shots(self.shots)
        parse_all(self.pool)
        poolings = [part.strip().lower() for part in self.pool.split(",")]
        if readouts.ATTENTIVE in readouts.parse(self.readout) and not any(p.startswith("grid") for p in poolings):
            raise InputError(f"`--readout attentive` reads maps: it wants `--pool grid:HxW`, got `--pool {self.pool}`.")


def parse_shots(text: str | None) -> tuple[int, ...]:
    """`1,2,4` -> (1, 2, 4), ascending; None -> ().

    Raises:
        InputError: anything but whole numbers from 1.
    """
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"`--shots` must be whole numbers from 1, comma-separated, got {text!r}.")
    return tuple(sorted({int(part) for part in parts}))


def flag(name: str) -> str:
    """`batch_size` -> `--batch-size`."""
    return f"--{name.replace('_', '-')}"
