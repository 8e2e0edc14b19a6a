"""Where the recordings are that a table names: beside it, above it, or below it under the same name.

Tables travel: they come with backslashes, with the folders of another machine, or with paths from a project's root.
"""

import re
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PureWindowsPath

from ...spelling import is_there, on_disk
from ..clips import some
from ..folders import audio_files
from ..wording import agree, counted

ABOVE = 4  # folders above a table from which its paths may count


class AudioPaths:
    """The files that the rows of one table name. `moved`: names that were found elsewhere than the table says."""

    def __init__(self, table: Path):
        self.folder = table.parent
        self.moved: list[str] = []
        self._found: dict[str, Path] = {}

    def find(self, text: str) -> Path:
        """The file that a row names; where there is none, the path as the row has it, relative to the table."""
        if text not in self._found:
            self._found[text] = self._search(text.strip())
        return self._found[text]

    def named_like(self, table: Path) -> Path | None:
        """The recording whose name the table's begins with: `dawn.wav` for `dawn.Table.1.selections.txt`."""
        stem = table.name
        while "." in stem:
            stem = stem.rpartition(".")[0]
            for file in (*self._by_stem.get(stem, ()), *self._by_name.get(stem, ())):
                return file
        return None

    def _search(self, text: str) -> Path:
        plain = on_disk(self.folder, text)
        if _is_file(plain):
            return plain
        windows = "\\" in text or re.match(r"[A-Za-z]:", text)
        parts = PureWindowsPath(text).parts if windows else Path(text).parts
        rooted = bool(windows and PureWindowsPath(text).drive) or Path(text).is_absolute()
        if not rooted:
            slashed = Path(*parts) if parts else Path(text)
            for folder in (self.folder, *list(self.folder.resolve().parents)[:ABOVE]):
                if _is_file(found := on_disk(folder, str(slashed))):
                    return found
            plain = self.folder / slashed
        for start in range(1, len(parts)):
            if _is_file(file := on_disk(self.folder, str(Path(*parts[start:])))):
                self.moved.append(text)
                return file
        alike = self._by_name.get(parts[-1] if parts else "", ())
        if len(alike) == 1:
            if rooted or len(parts) > 1:
                self.moved.append(text)
            return alike[0]
        return plain

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        return audio_files(self.folder).files

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for file in self._files:
            found[file.name].append(file)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found = defaultdict(list)
        for file in self._files:
            found[file.stem].append(file)
        return found


def told_moved(table: Path, paths: AudioPaths) -> list[str]:
    """A warning about the recordings that were found elsewhere than the table says; [] where there are none."""
    if not (moved := sorted(set(paths.moved))):
        return []
    count = f"{counted(len(moved), 'recording')} {agree(len(moved), 'is', 'are')}"
    were = agree(len(moved), "was", "were")
    return [f"{table}: {count} not where it says, and {were} found by name: {some(moved, 1)}."]


def _is_file(path: Path) -> bool:
    return is_there(path) and path.is_file()
