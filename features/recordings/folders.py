"""Which audio files lie below a folder: linked sub-folders are followed, hidden ones are passed over and told."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..audio import SUFFIXES


@dataclass(frozen=True)
class AudioFiles:
    """Audio files below a folder, sorted, and the hidden folders there that hold audio too."""

    files: tuple[Path, ...]
    hidden: tuple[Path, ...]


def is_hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def is_audio(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES


def audio_files(folder: Path, root: Path | None = None) -> AudioFiles:
    """Every audio file at any depth below `folder`.

    A folder that can be reached in two ways, by links that form a circle for one, is read once; a link to `root` (the
    folder that all recordings lie in) or above it is not followed, because all other files would count again.
    """
    root = (root or folder).resolve()
    seen = {root, *root.parents} - {folder.resolve()}
    files: list[Path] = []
    hidden: list[Path] = []
    for place, subfolders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        links = {name for name in subfolders if (here / name).is_symlink()}
        subfolders[:] = [*sorted(set(subfolders) - links), *sorted(links)]  # a link comes after its target
        if (real := here.resolve()) in seen:
            subfolders.clear()
            continue
        seen.add(real)
        hidden += [here / name for name in subfolders if name.startswith(".") and _holds_audio(here / name)]
        subfolders[:] = [name for name in subfolders if not is_hidden(name)]
        files += [here / name for name in names if is_audio(name)]
    return AudioFiles(tuple(sorted(files)), tuple(sorted(hidden)))


def hidden_with_audio(root: Path) -> list[Path]:
    """The hidden folders right below `root` that hold audio."""
    return sorted(p for p in root.iterdir() if p.name.startswith(".") and p.is_dir() and _holds_audio(p))


def _holds_audio(folder: Path) -> bool:
    return any(is_audio(name) for _, _, names in os.walk(folder) for name in names)
