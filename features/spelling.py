"""Names of files as text: one spelling for what macOS and Linux write differently, and bytes that are no text."""

import os
import unicodedata
from pathlib import Path


def composed(text: str) -> str:
    """The composed form (NFC) of Unicode: `é` is one character, however it was typed."""
    return unicodedata.normalize("NFC", text)


def is_text(name: str) -> bool:
    """Whether a name from the disk is UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def printable(name: str) -> str:
    r"""A name with bytes that are not UTF-8 as `\xe9`, so that every table and terminal can hold it."""
    return name if is_text(name) else os.fsencode(name).decode("utf-8", "backslashreplace")


def on_disk(folder: Path, name: str) -> Path:
    """`folder / name`; where no such file is there, one whose name differs by the form of its accents alone."""
    path = folder / name
    if is_there(path):
        return path
    found = Path(path.anchor) if path.is_absolute() else Path()
    for part in path.parts[1:] if path.is_absolute() else path.parts:
        if part != ".." and not is_there(found / part):
            part = _alike(found, part)
        found /= part
    return found if is_there(found) else path


def is_there(path: Path) -> bool:
    """Whether a path exists; False too where it cannot be one."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a byte 0
        return False


def _alike(folder: Path, name: str) -> str:
    if name.isascii() or not folder.is_dir():
        return name
    return next((one.name for one in sorted(folder.iterdir()) if composed(one.name) == composed(name)), name)
