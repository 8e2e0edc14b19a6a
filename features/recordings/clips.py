"""The records: one clip, and the table of clips; and how they are counted in messages: `1 file is`, `3 files are`."""

from collections.abc import Sequence
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


def some(names: Sequence[str], n: int = 3) -> str:
    """The first n names, quoted, and how many more there are: for messages."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(f"'{name}'" for name in names[:n]) + more


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 clip", "3 clips", "2 classes"."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{plural}"


def agree(count: int, one: str, more: str) -> str:
    """The form of a verb or pronoun that goes with a count: agree(n, "is", "are")."""
    return one if count == 1 else more


def share(count: int, total: int, noun: str, one: str, more: str) -> str:
    """A part of a whole with its verb: "1 of 62 files is", "2 of 62 files are", "1 of 1 file is"."""
    return f"{count} of {counted(total, noun)} {agree(count, one, more)}"
