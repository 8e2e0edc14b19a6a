"""Part of a file as a file of its own, and a search through a file that does not read all of it into memory."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..spelling import is_text

SEARCH_BYTES = 1 << 20


def openable(stream: Path | io.IOBase) -> Any:
    """What soundfile opens: of a path that is not UTF-8, which it refuses as text, the bytes."""
    return os.fsencode(stream) if isinstance(stream, Path) and not is_text(str(stream)) else stream


class Piece(io.RawIOBase):
    """`head`, followed by the bytes `start` to `stop` of a file, readable and seekable as one file.

    Args:
        path: the file.
        start, stop: in bytes; None for `stop` is the end of the file.
        head: bytes that come first, in place of a header that was wrong.
    """

    def __init__(self, path: Path, start: int = 0, stop: int | None = None, head: bytes = b""):
        super().__init__()
        self._file = path.open("rb")
        self._start, self._head, self._at = start, head, 0
        end = path.stat().st_size if stop is None else stop
        self._size = len(head) + max(0, end - start)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, min(len(view), self._size - self._at))]
        done = 0
        if len(view) and self._at < len(self._head):
            part = self._head[self._at : self._at + len(view)]
            view[: len(part)] = part
            done = len(part)
        if done < len(view):
            self._file.seek(self._start + self._at + done - len(self._head))
            done += self._file.readinto(view[done:])
        self._at += done
        return done

    def close(self) -> None:
        self._file.close()
        super().close()


def find_all(path: Path, pattern: bytes, start: int = 0) -> Iterator[int]:
    """Where in the file `pattern` begins, from byte `start` on; memory for one MiB."""
    with path.open("rb") as file:
        file.seek(start)
        kept, origin = b"", start  # `origin`: place in the file of the first byte kept
        while block := file.read(SEARCH_BYTES):
            data, at = kept + block, -1
            while (at := data.find(pattern, at + 1)) >= 0:
                yield origin + at
            kept = data[-(len(pattern) - 1) :]
            origin += len(data) - len(kept)
