"""What can be wrong with a store: its structure, found before anything in it is believed, and its data, by reading all.

A damaged or forged file may name datasets elsewhere (links, virtual datasets, external raw data), and lengths that no
memory holds. A store keeps its data itself or in its own shards, and no length is taken that its bytes do not bear out.
"""

import zlib
from itertools import pairwise
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import pandas as pd

from .. import InputError
from .table import ROW_COLUMNS, SKIP_COLUMNS, decode, to_table

TABLES = {"rows": ROW_COLUMNS, "skipped": SKIP_COLUMNS}
PIECE = 1024  # rows in memory at a time
# what reading damaged structures or text raises
BROKEN = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError)
CHANGED = "changed since they were written (checksum)"
TEXTS = ("key", "meta")
SHAPES = {"committed": 1, "commits": 2, "rows": 1, "skipped": 1}  # dataset -> number of axes


def find_faults(store) -> list[str]:
    """Faults of an open FeatureStore, one line each; [] when it is complete and every bit is as it was written."""
    faults = []
    if not store.complete:
        faults.append("not complete: the extraction was interrupted (the same command resumes it)")
    if not store.provenance_intact():
        faults.append("key or meta: changed since the store was made (checksum)")
    commits = store.commits()
    ends = commits[["rows_end", "row_bytes_end", "skipped_bytes_end"]].to_numpy()
    if (np.diff(ends, axis=0, prepend=0) < 0).any():
        return [*faults, "commits: the number of rows goes down"]
    for name in ("rows", "skipped"):
        faults += changed_text(store, name)
    try:
        rows, skipped = (to_table(decode(store.text(name)), columns) for name, columns in TABLES.items())
        faults += _table_faults(rows, skipped, len(store))
    except BROKEN as error:
        faults.append(f"rows: unreadable ({error})")
    for tap in store.taps:
        faults += changed_features(store, tap, finite=True)
    return faults


def changed_features(store, tap: str, finite: bool = False) -> list[str]:
    """Where a tap is not what was written (finite: or holds infinite or NaN values), one line a commit and fault."""
    commits = store.commits()
    return [
        f"tap {tap}, rows {start} to {stop - 1}: {what}"
        for (start, stop), crc in zip(_spans(commits["rows_end"]), commits[tap])
        for what in _data_faults(store, tap, start, stop, crc, finite)
    ]


def changed_text(store, name: str) -> list[str]:
    """Where the text of "rows" or "skipped" is not what was written, one line a commit; [] where it is."""
    commits, text = store.commits(), store.text(name)
    spans = _spans(commits["row_bytes_end" if name == "rows" else "skipped_bytes_end"])
    return [
        f"{name}, bytes {start} to {stop - 1}: {CHANGED}"
        for (start, stop), crc in zip(spans, commits[f"{name}_crc"])
        if zlib.crc32(text[start:stop]) != crc
    ]


def _spans(ends: pd.Series):
    """(start, stop) of each commit."""
    return pairwise([0, *ends.tolist()])


def _table_faults(rows: pd.DataFrame, skipped: pd.DataFrame, n: int) -> list[str]:
    faults = []
    if len(rows) != n:
        faults.append(f"rows: {len(rows)} in the table, {n} committed")
    twice = rows[rows.duplicated(["clip", "start_s"])]
    faults += [f"row {i}: {row.file} at {row.start_s} s is there twice" for i, row in twice.head(10).iterrows()]
    backwards = np.flatnonzero(~(rows["end_s"].to_numpy() > rows["start_s"].to_numpy()))
    faults += [f"row {i}: ends at {rows.end_s[i]} s, before its start" for i in backwards[:10]]
    per_clip = rows.groupby("clip")[["file", "label", "size", "sha256"]].nunique()
    mixed = per_clip.index[(per_clip > 1).any(axis=1)]
    faults += [f"clip {clip}: its rows disagree about the file" for clip in mixed[:10]]
    both = sorted(set(rows["clip"]) & set(skipped["clip"]))
    faults += [f"clip {clip}: has rows although it was skipped" for clip in both[:10]]
    return faults


def _data_faults(store, tap: str, start: int, stop: int, wanted: int, finite: bool) -> list[str]:
    """What is wrong with one commit's features of one tap."""
    crc, sound = 0, True
    try:
        for at in range(start, stop, PIECE):
            piece = store.read_unchecked(tap, slice(at, min(at + PIECE, stop)))
            crc = zlib.crc32(piece, crc)
            sound = sound and (not finite or bool(np.isfinite(piece).all()))
    except BROKEN as error:
        return [f"unreadable ({error})"]
    return [CHANGED] * (crc != wanted) + ["infinite or NaN values"] * (not sound)


class Damaged(Exception):
    """What a store cannot look like; `FeatureStore.open` makes one line of it."""


def check_structure(path: Path, file: h5py.File, taps: tuple[str, ...], dtype: str) -> None:
    """Check all datasets of a store, and of its shards, against the taps and the dtype of its key.

    Damaged: anything missing, of another type, shape or length than it has to be. InputError: data outside the store
    and its shards; a shard that is missing.
    """
    for name, axes in SHAPES.items():
        data = _dataset(path, file, name)
        if data.ndim != axes or data.dtype.kind not in "iu" or data.is_virtual:
            raise Damaged(f"{name}: {data.ndim} axes of {data.dtype}")
    done = _commits(file, len(taps))
    n, row_bytes, skipped_bytes = file["commits"][done - 1, :3].tolist() if done else (0, 0, 0)
    _holds(file["rows"], row_bytes)
    _holds(file["skipped"], skipped_bytes)
    if n > row_bytes:  # a row's text has several bytes
        raise Damaged(f"{n} rows in {row_bytes} bytes of text")
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}  # shard -> tap -> shape
    for tap in taps:
        data = _dataset(path, file["taps"], tap)
        if data.dtype != np.dtype(dtype) or not data.ndim:
            raise Damaged(f"tap {tap}: {data.dtype}, its key says {dtype}")
        if not data.is_virtual:
            _holds(data, n)
            continue
        if not 0 <= n <= len(data):
            raise Damaged(f"tap {tap}: {len(data)} rows, {n} committed")
        for source in data.virtual_sources():
            if source.file_name not in shapes:
                shapes[source.file_name] = _shard_shapes(path, source.file_name, taps)
            there = shapes[source.file_name].get(tap)
            if source.dset_name.lstrip("/") != f"taps/{tap}" or there is None or there[1:] != data.shape[1:]:
                raise InputError(f"{path}: tap {tap} shows other data than its shards' tap. {_LEAVES}")


_LEAVES = "A store reads nothing but its own shards. Was it made by somebody else, or damaged?"


def check_text(path: Path, file: h5py.File) -> None:
    """Check that the key and the provenance are texts in the file itself."""
    for name in TEXTS:
        if h5py.check_string_dtype(_dataset(path, file, name).dtype) is None or file[name].shape != ():
            raise Damaged(f"{name}: no text")
    _hard(path, file, "taps")
    if not isinstance(file["taps"], h5py.Group):
        raise Damaged("taps: no group")


def own_shard(path: Path, name: str) -> Path:
    """The file of a shard, which lies beside the store or below its folder. InputError: another place; no such file."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    shard = path.parent / name
    inside = shard.resolve().is_relative_to(path.parent.resolve())
    if not parts or name == "." or Path(name).is_absolute() or ".." in parts or not inside:
        raise InputError(f"{path}: shows data of {name}, outside its folder. {_LEAVES}")
    if not shard.exists():
        raise InputError(f"{path}: its shard {name} is missing. Were the shards moved or deleted?")
    return shard


def _shard_shapes(path: Path, name: str, taps: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """tap -> shape in a shard, whose data have to lie in itself."""
    shard = own_shard(path, name)
    try:
        with h5py.File(shard, "r", locking="best-effort") as file:
            _hard(shard, file, "taps")
            found = {tap: _dataset(shard, file["taps"], tap) for tap in taps}
            if any(data.is_virtual for data in found.values()):
                raise InputError(f"{shard}: a shard that shows data of other files. {_LEAVES}")
            return {tap: data.shape for tap, data in found.items()}
    except (Damaged, OSError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{path}: its shard {name} cannot be read ({error}). Extract again with --overwrite."
        ) from None


def _hard(path: Path, group: h5py.Group, name: str) -> None:
    link = group.get(name, getlink=True)
    if link is None:
        raise Damaged(f"no {name}")
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{path}: {name} is a link to {getattr(link, 'filename', link.path)}. {_LEAVES}")


def _dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    _hard(path, group, name)
    data = group[name]
    if not isinstance(data, h5py.Dataset):
        raise Damaged(f"{name}: no dataset")
    if data.external:
        raise InputError(f"{path}: {name} lies in {data.external[0][0]}. {_LEAVES}")
    return data


def _holds(data: h5py.Dataset, length: int) -> None:
    """Whether so many rows are really there: no length is believed that the bytes in the file do not bear out."""
    row = int(np.prod(data.shape[1:], dtype=object)) * data.dtype.itemsize
    if not 0 <= length <= len(data) or length * row > data.id.get_storage_size():
        raise Damaged(f"{data.name}: {length} rows committed, {data.id.get_storage_size()} bytes there")


def _commits(file: h5py.File, n_taps: int) -> int:
    """The number of commits, whose table is consistent."""
    counter, commits = file["committed"], file["commits"]
    if counter.shape != (2,) or commits.shape[1] != 5 + n_taps:
        raise Damaged(f"committed {counter.shape}, commits {commits.shape}")
    done = int(counter[0])
    _holds(commits, done)
    ends = commits[:done, :3]
    if (np.diff(ends, axis=0, prepend=0) < 0).any():
        raise Damaged("commits: the number of rows goes down")
    return done
