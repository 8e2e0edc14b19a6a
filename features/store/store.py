"""FeatureStore: open, resume, read, append, check. The file's layout is told in `features.store`."""

import json
import time
import zlib
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from .. import InputError
from ..files import check_regular
from ..schema import checked, value_of
from ..spelling import counted, spanned
from . import file as layout
from .key import StoreKey
from .table import ROW_COLUMNS, SKIP_COLUMNS, decode, encode, to_records, to_table
from .verify import changed_features, changed_text, check_structure, check_text, find_faults

COMMIT_ROWS, COMMIT_S, COMMIT_BYTES = 256, 30.0, 1 << 26  # whichever comes first
REMEDY = "Is the file damaged? Restore a copy, or extract again with --overwrite."
SLACK_BYTES = 1 << 19  # HDF5's own structures, for one commit


class FeatureStore:
    """Use `FeatureStore.create(...)` or `FeatureStore.open(...)`, as a context manager.

    `key`: the StoreKey; `taps`: its tap names; `dims`: tap -> shape of one row; `meta`: JSON-able provenance.
    Readers see committed rows only. One writer at a time, one thread.
    """

    def __init__(self, path: Path, file: h5py.File, writable: bool):
        self.path, self._file, self._writable = path, file, writable
        check_text(path, file)
        self.key = StoreKey.from_json(file["key"].asstr()[()])
        check_structure(path, file, self.key.taps, self.key.dtype)
        self.meta = value_of(dict, json.loads(file["meta"].asstr()[()]), "meta")
        self.taps = self.key.taps
        self.dims = {tap: file["taps"][tap].shape[1:] for tap in self.taps}
        if writable and layout.is_joined(file):
            raise InputError(f"{path}: joined from shards, so it cannot be added to. Give --overwrite to redo it.")
        self._pending: list[tuple[list[list], dict[str, np.ndarray]]] = []  # records and features of each append
        self._pending_skips: list[list] = []
        self._written_at = time.monotonic()
        self._broken = False
        self._intact: set[str] = set()  # taps that were held against their checksums
        self._open_ended = writable and not self.complete
        self._clips: set[int] = set()  # in the store or in the buffer; the writer's only
        if writable:
            with self._keeps():
                for data, end in self._datasets():
                    layout.cut(data, end)
                layout.sync(file)
            self._clips = self.done_clips() | set(self.skipped()["clip"])

    # ---- open and close

    @classmethod
    def create(cls, path, key: StoreKey, dims: dict, meta: dict, overwrite: bool = False) -> "FeatureStore":
        """A new, empty store, open for writing. dims: tap -> shape of one row's features.

        Raises InputError when `path` exists and `overwrite` is False.
        """
        layout.build(Path(path), key, dims, meta, overwrite)
        return cls.open(path, "a", key)

    @classmethod
    def open(cls, path, mode: str = "r", key: StoreKey | None = None) -> "FeatureStore":
        """An existing store, mode "r" or "a" (resume: rows beyond the last commit are cut off).

        Raises InputError for a file that is no store, is truncated, is open in a writer, or differs from `key`.
        """
        path = Path(path)
        check_regular(path)
        if path.is_dir():
            held = " ".join(map(str, sorted(path.glob("*.h5"))))
            raise InputError(f"{path}: a folder, expected a store{f'. Meant {held}?' if held else '.'}")
        with layout.one_line(path):
            file = h5py.File(path, {"r": "r", "a": "r+"}[mode], locking="best-effort")
        try:
            if (found := layout.format_of(file)) != layout.FORMAT:
                raise InputError(
                    f"{path}: {found or 'another HDF5 file'}, expected a {layout.FORMAT}. Made by something else?"
                )
            store = cls(path, file, mode == "a")
            if key is not None and (differences := store.key.differences(key)):
                raise InputError(f"{path}: {differences[0]}")
        except InputError as error:
            file.close()
            raise InputError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None
        except Exception as error:  # whatever HDF5 and its reader make of a damaged file
            with suppress(Exception):
                file.close()
            if isinstance(error, OSError) and layout.is_full(error):
                raise
            raise InputError(f"{path}: damaged ({error}). Restore a copy, or extract again with --overwrite.") from None
        return store

    def close(self):
        """Commit what is buffered (whole clips) and close."""
        if not self._file:
            return
        try:
            if self._writable and not self._broken:
                self.commit()
        finally:
            try:
                self._file.close()
            except (OSError, RuntimeError):
                if not self._broken:  # after a failed write HDF5 may be unable to flush; what is committed is on disk
                    raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- read

    def __repr__(self) -> str:
        held = counted(len(self), "window") if self._file else "closed"
        return f"FeatureStore({self.path}: {held}, {spanned(self.taps)})"

    def __len__(self):
        """Committed rows."""
        return self._ends()[0]

    @property
    def complete(self) -> bool:
        """Whether every clip is in the store or among the skipped."""
        return bool(self._file["committed"][1])

    def rows(self) -> pd.DataFrame:
        """The row table, columns ROW_COLUMNS; group and fold are None where unknown.

        Raises:
            InputError: its text is not what was written.
        """
        return self._table("rows", ROW_COLUMNS)

    def skipped(self) -> pd.DataFrame:
        """Clips that could not be read: clip, file, reason."""
        return self._table("skipped", SKIP_COLUMNS)

    def _table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        if changed := changed_text(self, name):
            raise InputError(f"{self.path}: {changed[0]}. {REMEDY}")
        try:
            return to_table(decode(self.text(name)), columns)
        except (ValueError, TypeError, RecursionError, OverflowError) as error:
            raise InputError(f"{self.path}: {name}: unreadable ({error}). {REMEDY}") from None

    def text(self, name: str) -> np.ndarray:
        """The committed text of "rows" or "skipped", uint8 [bytes]."""
        return self._file[name][: self._ends()[1 if name == "rows" else 2]]

    def done_clips(self) -> set[int]:
        """Clips whose windows are all committed (clips are only ever committed whole)."""
        return set(self.rows()["clip"].tolist())

    def read(self, tap: str, rows=None) -> np.ndarray:
        """Features [rows, *dims] of one tap in the stored dtype; `rows`: a slice, mask or index array, in its order.

        The first reading of a tap holds all of it against its checksums. InputError: an unknown tap, values that are
        not what was written, a store that was closed.
        """
        if not self._file:
            raise InputError(f"{self.path}: closed. Open it again?")
        if tap not in self.taps:
            raise InputError(f"{self.path}: no tap {tap}. It has {', '.join(self.taps)}.")
        if tap not in self._intact and not self._writable:
            if changed := changed_features(self, tap):
                raise InputError(f"{self.path}: {changed[0]}. {REMEDY}")
            self._intact.add(tap)
        return self.read_unchecked(tap, rows)

    def read_unchecked(self, tap: str, rows=None) -> np.ndarray:
        """The same whatever the checksums say, for those who check; runs of neighbours straight into one array."""
        data, n = self._file["taps"][tap], len(self)
        index = np.arange(n)[slice(None) if rows is None else rows]
        wanted = np.unique(index)
        if 4 * len(wanted) > n:  # so many that one read of the whole span is faster
            wanted = np.arange(wanted[0], wanted[-1] + 1)
        out = np.empty((len(wanted), *data.shape[1:]), data.dtype)
        if len(wanted):
            bounds = [0, *np.flatnonzero(np.diff(wanted) != 1) + 1, len(wanted)]
            for start, stop in pairwise(bounds):
                try:
                    data.read_direct(out, np.s_[wanted[start] : wanted[stop - 1] + 1], np.s_[start:stop])
                except (OSError, RuntimeError) as error:
                    raise InputError(f"{self.path}: tap {tap}: unreadable ({error}). {REMEDY}") from None
        return out if np.array_equal(index, wanted) else out[np.searchsorted(wanted, index)]

    def commits(self) -> pd.DataFrame:
        """Per commit: where rows and text end by then, and the CRC-32 of what it added, per table and tap."""
        table = self._file["commits"][: self._file["committed"][0]]
        return pd.DataFrame(table, columns=[*layout.COMMIT_COLUMNS, *self.taps])

    def provenance_intact(self) -> bool:
        """Whether key and meta are as they were written."""
        texts = {name: self._file[name].asstr()[()].encode() for name in ("key", "meta")}
        return all(np.array_equal(self._file[name].attrs["crc"], zlib.crc32(text)) for name, text in texts.items())

    def check(self) -> list[str]:
        """Faults, one line each: not complete, flipped bits, inconsistent rows, values that are not finite."""
        return find_faults(self)

    def export(self, path, taps=(), form: str | None = None, folds: int = 5, seed: int = 0) -> Path:
        """Write .npz, .csv, .parquet, ...; see `features.store.exchange.export`."""
        from .exchange.export import export

        return export(self, path, taps, form, folds, seed)

    # ---- write

    def append(self, rows: pd.DataFrame, features: dict[str, np.ndarray]):
        """Add all windows of one or several whole clips: n rows (ROW_COLUMNS) and tap -> [n, *dims].

        Buffered; a commit follows about every 256 rows or 30 s. Raises InputError for values that are not finite or
        do not fit float16, and for a full disk.
        """
        clips = set(np.asarray(rows["clip"]).tolist())
        self._claim(clips)
        if set(features) != set(self.taps):
            raise ValueError(f"taps {sorted(features)}, expected {sorted(self.taps)}")
        stored = {}
        for tap in self.taps:
            if features[tap].shape != (len(rows), *self.dims[tap]):
                raise ValueError(f"tap {tap}: {features[tap].shape}, expected {(len(rows), *self.dims[tap])}")
            stored[tap] = _narrow(features[tap], self.key.dtype, tap, rows)
        self._pending.append((to_records(rows), stored))  # in one step, because Ctrl-C may come between two
        self._clips |= clips
        n = sum(len(records) for records, _ in self._pending)
        size = sum(array.nbytes for _, arrays in self._pending for array in arrays.values())
        if n >= COMMIT_ROWS or size >= COMMIT_BYTES or time.monotonic() - self._written_at > COMMIT_S:
            self.commit()

    def skip(self, clip: int, file: str, reason: str):
        """Note that a clip has no rows, and why."""
        self._claim({clip})
        self._clips.add(clip)
        self._pending_skips.append([int(clip), file, reason])

    def commit(self):
        """Write what is buffered so that neither a kill nor a power cut loses it. InputError for a full disk."""
        if not self._pending and not self._pending_skips:
            return
        records = [record for part, _ in self._pending for record in part]
        arrays = {tap: np.concatenate([part[tap] for _, part in self._pending]) for tap in self.taps if self._pending}
        crcs = {tap: zlib.crc32(array) for tap, array in arrays.items()}
        with layout.uninterrupted():
            self._broken = True  # until all is through: what was left half done must not be written a second time
            self.write(records, self._pending_skips, arrays, crcs)
            self._pending, self._pending_skips = [], []
            self._broken = False
        self._written_at = time.monotonic()

    def finish(self):
        """Commit and mark the store complete: every clip is in it or among the skipped."""
        self.commit()
        with layout.uninterrupted():
            self._file["committed"][1] = 1
            layout.sync(self._file)
        self._open_ended = False

    def write(self, rows: list[list], skips: list[list], arrays: dict, crcs: dict[str, int]):
        """One commit: records of rows and skipped clips, features per tap and their CRC-32s.

        For `commit` and `join`, whose `arrays` are empty because they lie in the shards.
        """
        file, done = self._file, int(self._file["committed"][0])
        n, row_bytes, skip_bytes = self._ends()
        row_text, skip_text = encode(rows), encode(skips)
        with self._keeps():
            layout.reserve(file, SLACK_BYTES + row_text.nbytes + skip_text.nbytes + self._new_chunks(arrays))
            for tap, values in arrays.items():
                layout.put(file["taps"][tap], n, values)
            ends = [n + len(rows)]
            ends.append(layout.put(file["rows"], row_bytes, row_text))
            ends.append(layout.put(file["skipped"], skip_bytes, skip_text))
            checks = [zlib.crc32(row_text.data), zlib.crc32(skip_text.data), *(crcs.get(tap, 0) for tap in self.taps)]
            layout.put(file["commits"], done, np.array([ends + checks], np.int64))
            layout.sync(file)
            file["committed"][0] = done + 1
            layout.sync(file)

    def _claim(self, clips: set[int]):
        if not self._open_ended:
            raise ValueError(f"{self.path} is complete or open for reading only")
        if clips & self._clips:
            raise ValueError(f"clips {sorted(clips & self._clips)} are in the store already")

    @contextmanager
    def _keeps(self):
        """A full disk becomes one line that says what is kept."""
        kept = len(self)
        try:
            yield
        except (OSError, RuntimeError) as error:
            if not layout.is_full(error):
                raise
            raise InputError(
                f"{self.path}: no space left on the disk. {kept} rows are safe in it. Free some space and give the "
                "same command again: it resumes."
            ) from error

    def _new_chunks(self, arrays: dict) -> int:
        """Bytes of the chunks that a commit of `arrays` adds to the file."""
        size, n = 0, len(self)
        for tap, array in arrays.items():
            chunk = self._file["taps"][tap].chunks[0]
            size += (-(-(n + len(array)) // chunk) - -(-n // chunk)) * chunk * array[:1].nbytes
        return size

    def _ends(self) -> tuple[int, int, int]:
        """Committed rows, bytes of `rows` and bytes of `skipped`."""
        done = int(self._file["committed"][0])
        return tuple(self._file["commits"][done - 1, :3].tolist()) if done else (0, 0, 0)

    def _datasets(self) -> list[tuple[h5py.Dataset, int]]:
        """Every dataset that grows, and its committed length."""
        n, row_bytes, skip_bytes = self._ends()
        pairs = [(self._file["taps"][tap], n) for tap in self.taps]
        pairs += [(self._file["rows"], row_bytes), (self._file["skipped"], skip_bytes)]
        return [*pairs, (self._file["commits"], int(self._file["committed"][0]))]


def _narrow(array: np.ndarray, dtype: str, tap: str, rows: pd.DataFrame) -> np.ndarray:
    """To the stored dtype, refusing what would not come back."""
    finite = np.isfinite(array)
    if not finite.all():
        file = rows["file"].iloc[np.argwhere(~finite)[0][0]]
        raise InputError(f"{file}, tap {tap}: {array[~finite][0]}, expected finite values. Does the model overflow?")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(array, dtype=dtype)
    if not np.isfinite(stored).all():
        at = np.unravel_index(np.abs(array).argmax(), array.shape)
        raise InputError(
            f"{rows['file'].iloc[at[0]]}, tap {tap}: {array[at]:g} does not fit {dtype}. Extract with --dtype float32."
        )
    return stored


@checked
def open_store(path: Path | str) -> FeatureStore:
    """Open a store for reading; a context manager.

    Args:
        path: the HDF5 file.

    Returns:
        The store: `taps`, `rows()`, `read(tap)`.

    Raises:
        InputError: a file that is no store, is truncated, or is open in a writer.
    """
    return FeatureStore.open(path, "r")
