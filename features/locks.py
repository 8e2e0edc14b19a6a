"""Locks that name their holder: one process at a time works at a file or folder."""

import errno
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from . import InputError
from .files import KEPT, explained

try:
    import fcntl
except ImportError:  # Windows: no advisory locks, so none are taken
    fcntl = None  # type: ignore[assignment]  # a module that only some platforms have


class Locked(InputError):
    """The file or folder is in use elsewhere, at least one of the two for writing."""


class Lock:
    """Held by one process at a time: a context manager over a small file beside `path` that names its holder.

    The system lets go of it when the holder dies, however it dies.

    Raises:
        Locked: another process holds it; told are its number, its machine and since when.
    """

    def __init__(self, path: Path | str):
        path = Path(path)
        self.path, self.file = path, path.with_name(f".{path.name[:200]}.lock")
        self._handle: int | None = None

    def __enter__(self) -> "Lock":
        if fcntl is None:
            return self
        with explained(self.path):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            while self._handle is None:
                self._handle = self._acquire()
            about = {"pid": os.getpid(), "host": socket.gethostname()}
            about["since"] = datetime.now(UTC).isoformat(timespec="seconds")
            os.ftruncate(self._handle, 0)
            os.write(self._handle, json.dumps(about).encode())
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            self.file.unlink(missing_ok=True)  # while it is held, so that nobody else's is removed
            os.close(self._handle)
            self._handle = None

    def _acquire(self) -> int | None:
        """A locked handle; None where the file was removed meanwhile and another try is due."""
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.lexists(self.file) and os.path.samestat(os.fstat(handle), os.lstat(self.file)):
                return handle
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                holder = _holder(os.read(handle, 4096))
                os.close(handle)
                raise Locked(
                    f"{self.path}: in use by {holder}. Wait until it is done, or give another name. {KEPT}"
                ) from None
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):  # a file system without locks
                os.close(handle)
                raise
            return handle
        os.close(handle)
        return None


def _holder(text: bytes) -> str:
    try:
        found = json.loads(text)
        return f"process {found['pid']} on {found['host']}, since {found['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
