"""The records: one clip, and the table of clips."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """One labelled recording, or a piece of one (start_s to end_s, seconds). The primary label comes first."""

    path: Path
    name: str  # relative to AUDIO, with forward slashes
    labels: tuple[str, ...]
    group: str | None = None
    fold: str | None = None
    start_s: float | None = None
    end_s: float | None = None

    @property
    def label(self) -> str:
        return self.labels[0]


@dataclass(frozen=True)
class Recordings:
    """The clips of one AUDIO. `grouping` and `folding` say in words where groups and given folds come from.

    classes: of the competition's taxonomy, in its order, where there is one that knows every label.
    kind: what AUDIO was recognised as, in words; "" where its folders or the manifest's columns say it.
    """

    root: Path
    clips: tuple[Clip, ...]
    grouping: str = "none"
    warnings: tuple[str, ...] = ()
    folding: str = "none"
    classes: tuple[str, ...] | None = None
    kind: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({clip.label for clip in self.clips}))
