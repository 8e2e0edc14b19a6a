"""Everything that a sweep can be told, checked before anything is opened."""

from dataclasses import dataclass
from typing import ClassVar

from ...analysis import readouts
from ...features import InputError
from ..extraction.settings import ExtractionSettings


@dataclass(frozen=True, kw_only=True)
class Settings(ExtractionSettings):
    """The settings of a sweep: those of its extraction, and what is ranked how."""

    classes: int | None = 30
    per_class: int | None = 20
    min_per_class: int | None = None
    test_column: str | None = None
    test_groups: str = "file"
    k: int = 5
    folds: int = 5
    metric: str = "euclidean"
    unit: str = "clip"
    readout: str = "all"
    score: str = "auto"
    shots: str | None = None
    planes: bool = False
    control: bool = False
    timing: bool = True
    projection: str = "pca"

    LISTS: ClassVar = (*ExtractionSettings.LISTS, "readout", "shots")
    CHOICES: ClassVar = ExtractionSettings.CHOICES | {
        "metric": ("euclidean", "cosine"),
        "unit": ("clip", "window"),
        "projection": ("umap", "pca", "none"),
        "score": ("auto", "top1", "auc", "cmap"),
        "test_groups": ("file", "site"),
    }
    LEAST: ClassVar = ExtractionSettings.LEAST | {"k": 1, "folds": 2, "min_per_class": 2}

    def check(self) -> None:
        """The same, and what is ranked how."""
        super().check()
        parse_shots(self.shots)
        poolings = [part.strip().lower() for part in self.pool.split(",")]
        if readouts.ATTENTIVE in readouts.parse(self.readout) and not any(p.startswith("grid") for p in poolings):
            raise InputError(f"`--readout attentive` reads maps: it wants `--pool grid:HxW`, got `--pool {self.pool}`.")


def parse_shots(text: str | None) -> tuple[int, ...]:
    """`1,2,4` -> (1, 2, 4), ascending; None -> (). InputError: anything but whole numbers from 1."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in parts):
        raise InputError(f"`--shots` must be whole numbers from 1, comma-separated, got {text!r}.")
    return tuple(sorted({int(part) for part in parts}))
