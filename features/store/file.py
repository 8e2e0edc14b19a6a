"""The HDF5 file under a store: its datasets, and what goes wrong with files, told in one line."""

import errno
import json
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np

from .. import InputError
from ..files import FULL, replacing
from ..locks import Locked
from .key import StoreKey
from .table import ROW_COLUMNS, SKIP_COLUMNS

FORMAT = "birdprobe store 1"
EMPTY_BYTES = 1 << 15  # of a store without rows, with some tens of taps
CHUNK_ROWS, CHUNK_BYTES, TEXT_CHUNK = 256, 1 << 20, 1 << 14
COMMIT_COLUMNS = ("rows_end", "row_bytes_end", "skipped_bytes_end", "rows_crc", "skipped_crc")  # then one per tap


def build(
    path: Path,
    key: StoreKey,
    dims: dict[str, tuple[int, ...]],
    meta: dict,
    overwrite: bool = False,
    views: dict[str, h5py.VirtualLayout] | None = None,
    fill: Callable[[h5py.File], None] | None = None,
):
    """Write an empty store beside `path` and move it there when it is whole: a kill leaves nothing or a store.

    dims: tap -> shape of one row. With `views` the taps are virtual datasets; `fill` may write into the file before
    it appears. Raises InputError when `path` exists and `overwrite` is False.
    """
    if set(dims) != set(key.taps):
        raise ValueError(f"dims of {sorted(dims)}, expected {sorted(key.taps)}")
    if path.is_dir() or (os.path.lexists(path) and not overwrite):
        raise InputError(f"{path}: {'is a folder' if path.is_dir() else 'exists'}. Give another name or --overwrite.")
    versions = {"birdprobe": _version("birdprobe"), "numpy": np.__version__, "h5py": h5py.__version__}
    meta = {"created": datetime.now(UTC).isoformat(timespec="seconds"), **meta}
    meta["versions"] = {**versions, **meta.get("versions", {})}
    with (
        one_line(path),
        replacing(path) as beside,
        _with_room(beside),
        h5py.File(beside, "w", libver="earliest", locking="best-effort") as file,
    ):
        # texts have their lengths: over a damaged heap of free ones HDF5 loops for ever
        file.attrs["format"] = np.bytes_(FORMAT)
        for name, text in (("key", key.to_json()), ("meta", json.dumps(meta, default=str))):
            # a dataset, because an attribute cannot hold more than 64 KiB
            data = text.encode()
            written = file.create_dataset(name, data=data, dtype=h5py.string_dtype(length=len(data)))
            written.attrs["crc"] = zlib.crc32(data)
        file.create_dataset("committed", data=np.zeros(2, np.int64))
        columns = (*COMMIT_COLUMNS, *key.taps)
        _grow(file, "commits", (len(columns),), np.int64).attrs["columns"] = np.bytes_(",".join(columns).encode())
        for tap in key.taps:
            if views:
                file.create_virtual_dataset(f"taps/{tap}", views[tap], fillvalue=np.nan)
            else:
                _grow(file, f"taps/{tap}", tuple(dims[tap]), np.dtype(key.dtype))
        for name, columns in (("rows", ROW_COLUMNS), ("skipped", SKIP_COLUMNS)):
            _grow(file, name, (), np.uint8, TEXT_CHUNK).attrs["columns"] = np.bytes_(",".join(columns).encode())
        if fill:
            fill(file)
        sync(file)


def format_of(file: h5py.File) -> str | None:
    """What the file says it is; the first stores say it in a text of free length."""
    said = file.attrs.get("format")
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


@contextmanager
def _with_room(path: Path) -> Iterator[None]:
    """OSError where an empty store does not fit: HDF5, which cannot close on a full disk, is not asked to try."""
    with path.open("r+b") as file:
        file.write(bytes(EMPTY_BYTES))
        file.truncate(0)
    yield


def _grow(file: h5py.File, name: str, dim: tuple, dtype, chunk: int | None = None) -> h5py.Dataset:
    """An empty dataset [0, *dim] that grows, in chunks of `chunk` rows, else of about 1 MiB and at most 256 rows."""
    chunk = chunk or rows_a_chunk(dim, dtype)
    return file.create_dataset(name, (0, *dim), dtype, maxshape=(None, *dim), chunks=(chunk, *dim))


def rows_a_chunk(dim: tuple, dtype) -> int:
    """Rows that HDF5 writes together: about 1 MiB, at most 256."""
    return min(CHUNK_ROWS, max(1, CHUNK_BYTES // (int(np.prod(dim)) * np.dtype(dtype).itemsize)))


def feature_bytes(dims: dict[str, tuple[int, ...]], dtype: str, rows: int) -> int:
    """What the arrays of a store of so many rows take: whole chunks."""
    size = 0
    for dim in dims.values():
        chunk = rows_a_chunk(dim, dtype)
        size += -(-rows // chunk) * chunk * int(np.prod(dim)) * np.dtype(dtype).itemsize
    return size


def put(data: h5py.Dataset, start: int, values: np.ndarray) -> int:
    """Write rows from `start` on, end the dataset there, and give its new length."""
    end = start + len(values)
    data.resize(end, axis=0)
    if len(values):
        data[start:end] = values
    return end


def cut(data: h5py.Dataset, end: int):
    """Drop what a killed writer left beyond its last commit."""
    if len(data) > end:
        data.resize(end, axis=0)


def reserve(file: h5py.File, n_bytes: int):
    """Claim disk space at the end of the file, OSError if there is none.

    HDF5 cannot recover from a full disk in the middle of its writes (it can then neither flush nor close), so the
    disk is asked first. `sync` gives back what was not used.
    """
    handle, size = file.id.get_vfd_handle(), file.id.get_filesize()
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(handle, size, n_bytes)
    except OSError as error:
        os.ftruncate(handle, size)
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def sync(file: h5py.File):
    """Flush, which hands the data to the system, and fsync, which hands it to the disk."""
    file.flush()
    os.ftruncate(file.id.get_vfd_handle(), file.id.get_filesize())
    os.fsync(file.id.get_vfd_handle())


@contextmanager
def uninterrupted():
    """Ctrl-C waits for the end of this. Inside h5py it may hit a weak reference's callback, which swallows it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted = []
    before = signal.signal(signal.SIGINT, lambda *_: noted.append(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        signal.raise_signal(signal.SIGINT)


def is_full(error: Exception) -> bool:
    """Whether an OSError, or what h5py made of one, means that no more can be written."""
    return getattr(error, "errno", None) in FULL or any(f"errno = {code}," in str(error) for code in FULL)


@contextmanager
def one_line(path: Path):
    """What the system or HDF5 says about a file that cannot be opened or made, as one InputError line."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file or folder, expected a store.") from None
    except (OSError, RuntimeError) as error:
        text = str(error)
        if "unable to lock file" in text or "already open" in text:
            raise Locked(f"{path}: locked. Is it being written by another process?") from None
        if is_full(error):
            reason = "no space left on the disk"
        elif "file signature not found" in text:
            reason = "not an HDF5 file, expected a store. Is it something else, or empty?"
        elif "truncated file" in text:
            reason = "truncated. Was a copy cut short?"
        else:
            reason = f"cannot be opened ({text})"
        raise InputError(f"{path}: {reason}") from None


def is_joined(file: h5py.File) -> bool:
    found: list[bool] = []
    file["taps"].visititems(lambda _, item: found.append(isinstance(item, h5py.Dataset) and item.is_virtual))
    return any(found)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
