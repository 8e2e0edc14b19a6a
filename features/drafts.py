"""Names of drafts beside the files that they become: nobody can foresee them, and they tell whose they are.

A killed process cannot clean up. What it left is removed by the next one that writes the same file on this machine.
"""

import glob
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fresh_name(path: Path) -> Path:
    """A new hidden name in the folder of `path`, with its suffix; leftovers of killed processes are removed first."""
    stem = path.stem.encode("utf-8", "surrogateescape")[:40].decode("utf-8", "ignore")
    begin, end = f".{stem}.{machine()}-", path.suffix[:40]
    for left in path.parent.glob(f"{glob.escape(begin)}*{glob.escape(end)}"):
        owner = re.fullmatch(r"(\d+)-[0-9a-f]{16}", left.name.removeprefix(begin).removesuffix(end))
        if owner and not _alive(int(owner[1])):
            _remove(left)
    return path.with_name(f"{begin}{os.getpid()}-{secrets.token_hex(8)}{end}")


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path` to write files into that take their places together; gone when the block ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = fresh_name(path)
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def machine() -> str:
    """Eight digits for this machine and its start: numbers of processes mean nothing elsewhere."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        start = ""
    return hashlib.sha256(f"{socket.gethostname()} {start}".encode()).hexdigest()[:8]


def _alive(process: int) -> bool:
    """Whether a process of this number runs here; yes where that cannot be known."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _remove(left: Path) -> None:
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
    else:
        left.unlink(missing_ok=True)
