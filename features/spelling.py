"""Names and counts as text: one spelling for what macOS and Linux write differently, and bytes that are no text; and
`1 file is`, `3 files are`."""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

SHORT = 20  # characters of a name where room is short, as on a terminal


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


def some(names: Sequence[str], n: int = 3) -> str:
    """The first n names, quoted, and how many more there are: for messages."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(f"'{name}'" for name in names[:n]) + more


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 clip", "3 clips", "2 classes"."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{plural if count != 1 else ''}"


def spanned(taps: Sequence[str]) -> str:
    """Names in order by the first and the last: "26 taps block_00..logits", "1 tap embedding"."""
    return f"{counted(len(taps), 'tap')} {'..'.join(dict.fromkeys((taps[0], taps[-1])))}"


def short_names(names: Sequence[str], most: int = SHORT) -> dict[str, str]:
    """Name -> it in at most so many characters, cut in the middle, or wherever the names stay apart."""
    for head in (most // 2, most - 1, 0):  # characters kept at the beginning, the others at the end
        tail = most - 1 - head
        short = {name: name if len(name) <= most else f"{name[:head]}…{name[len(name) - tail :]}" for name in names}
        if len(set(short.values())) == len(short):
            return short
    return {name: f"{i}…{name[i + 1 - most :]}" if len(name) > most else name for i, name in enumerate(names, 1)}


def agree(count: int, one: str, more: str) -> str:
    """The form of a verb or pronoun that goes with a count: agree(n, "is", "are")."""
    return one if count == 1 else more


def share(count: int, total: int, noun: str, one: str, more: str) -> str:
    """A part of a whole with its verb: "1 of 62 files is", "2 of 62 files are", "1 of 1 file is"."""
    return f"{count:,} of {counted(total, noun)} {agree(count, one, more)}"


def _alike(folder: Path, name: str) -> str:
    if name.isascii() or not folder.is_dir():
        return name
    return next((one.name for one in sorted(folder.iterdir()) if composed(one.name) == composed(name)), name)
