"""Files written whole or not at all: the one home of atomic writes and file hashes."""

import errno
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import InputError
from .drafts import fresh_name
from .schema import check_fields

CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
REASONS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "no space left on the disk, or a limit on the size of files",
    errno.ENAMETOOLONG: "a name that is too long",
    errno.ENOTDIR: "a file stands where a parent folder must be",
    errno.EEXIST: "a file stands where a folder must be",
    errno.EISDIR: "expected the name of a file, got a folder",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "no permission to write there, the disk is read-only",
    errno.ELOOP: "a circle of symbolic links",
}
KEPT = "Nothing that was there is lost."


def sha256(*paths: Path | str) -> str:
    """The hash of a file's bytes, or of several files' one after another, read in pieces; 64 hexadecimal digits.

    InputError: the file cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        check_regular(path)
        try:
            with Path(path).open("rb") as file:
                while block := file.read(CHUNK):
                    digest.update(block)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    return digest.hexdigest()


def check_regular(path: Path | str) -> None:
    """Refuse a pipe, a socket or a device, which would be waited for; what is missing is another's to say.

    InputError: neither a file nor a folder.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path}: expected a file, got a pipe or a device. Save what comes out of it first?")


def check_new(path: Path, overwrite: bool) -> None:
    """Refuse a path that cannot be written, or holds something already unless `overwrite`. Nothing is changed.

    InputError: a folder of that name, a parent that is a file or takes no files, a name too long; an existing file or
    link, unless `overwrite`.
    """
    path = Path(path)
    with explained(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "", str(path))
        if not overwrite and os.path.lexists(path):
            what = "a dangling symbolic link found" if not path.exists() else "exists"
            raise InputError(f"{path}: {what}, expected a new file. Use --overwrite to replace it.")
        check_parents(path.parent)
        with suppress(FileNotFoundError):
            os.lstat(path)  # a name too long is said now, not after the work


def check_exists(path: Path | str, expected: str) -> None:
    """Refuse an input that is not there, in every command's words. expected: what it is, such as "an ONNX model"."""
    if not Path(path).exists():
        raise InputError(f"{path}: no such file or folder, expected {expected}.")


def check_file(path: Path | str, expected: str) -> None:
    """Refuse an input that is not there, see `check_exists`, a folder, or what `check_regular` refuses."""
    check_exists(path, expected)
    check_regular(path)
    if Path(path).is_dir():
        raise InputError(f"{path}: expected {expected}, got a folder.")


def check_run(path: Path | str, command: str, *files: str) -> None:
    """Refuse what is no run of a command, see `check_exists`. files: patterns of what such a run holds.

    InputError: nothing there, a file, or a folder without such files.
    """
    expected = f"a run of `birdprobe {command}`"
    check_exists(path, expected)
    if not Path(path).is_dir():
        raise InputError(f"{path}: expected {expected}, got a file.")
    for file in files:
        if not any(Path(path).glob(file)):
            raise InputError(f"{path}: expected {expected}, got no {file} in it.")


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary file beside `path`, with the same suffix, that takes its place when the block ends.

    After any failure, a kill included, `path` is as it was. A link at `path` is replaced, not written through; one
    that lies where the temporary name would be is not followed.

    Yields:
        The path of an empty file to write to.

    Raises:
        InputError: no space left, a parent that is a file, a name too long, a folder in its place.
    """
    path = Path(path)
    with explained(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _create_beside(path)
    try:
        with explained(path, only=fresh):
            yield fresh
        with explained(path):
            flush(fresh)
            if path.is_file():
                fresh.chmod(path.stat().st_mode & 0o7777)
            fresh.replace(path)
            flush(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Put `content` in the place of what is at `path`, see `replacing`."""
    with replacing(path) as fresh:
        fresh.write_bytes(content)


def write_text(path: Path | str, text: str) -> None:
    """Put `text` (UTF-8, line ends as they are) in the place of what is at `path`, see `replacing`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))  # a path may hold bytes that are no text


def write_json(path: Path | str, content: object, indent: int | None = 2) -> None:
    """Put `content` as JSON in the place of what is at `path`, see `replacing`."""
    write_text(path, json_text(content, indent))


def json_text(content: object, indent: int | None = 2) -> str:
    """What `write_json` writes."""
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def read_json(path: Path | str, wanted: Mapping[str, Any] | None = None) -> dict:
    """The JSON object in a file. wanted: the fields that are used, see `schema.check_fields`.

    InputError: no such file, not readable, not a JSON object, a field missing or of another type.
    """
    check_regular(path)
    try:
        found = parse_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}).") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(found).__name__}.")
    try:
        check_fields(wanted or {}, found)
    except InputError as fault:
        raise InputError(f"{path}: {fault} Was it written by birdprobe?") from None
    return found


def parse_json(text: str | bytes) -> Any:
    """`json.loads`, whose only error is ValueError: text nested a thousand deep is no JSON of ours either."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def flush(path: Path) -> None:
    """Hand a file, or the names in a folder, to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a file system that cannot
            raise
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path, only: Path | None = None) -> Iterator[None]:
    """What the system says about a file that cannot be written, as one InputError line.

    Args:
        path: the file that the line names.
        only: tell errors about this file alone, and full disks; others pass through.
    """
    try:
        yield
    except OSError as error:
        ours = only is None or error.errno in FULL or error.filename in (str(only), only)
        if not ours or error.errno is None:
            raise
        reason = REASONS.get(error.errno, error.strerror or str(error))
        raise InputError(f"{path}: {reason}. {KEPT}") from error


def _create_beside(path: Path) -> Path:
    """A new empty file in the folder of `path`, see `drafts.fresh_name`."""
    fresh = fresh_name(path)
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return fresh


def check_parents(folder: Path) -> None:
    """OSError where the nearest of `folder` and its parents that exists is no folder, or takes no new names: tried,
    because what permissions say is not all that there is to it."""
    for parent in (folder, *folder.parents):
        if os.path.lexists(parent):
            if not parent.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "", str(parent))
            try:
                Path(tempfile.mkdtemp(prefix=".birdprobe-", dir=parent)).rmdir()
            except FileNotFoundError:  # as below /proc
                raise PermissionError(errno.EACCES, "", str(parent)) from None
            return
