"""Stores that were extracted apart, read as one."""

import os
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from .. import InputError
from . import file as layout
from .store import FeatureStore
from .table import to_records
from .verify import own_shard

PIECE = 1024  # rows in memory at a time


def join(paths, out, overwrite: bool = False, meta: dict | None = None) -> Path:
    """A store whose arrays are views of the shards' (HDF5 virtual datasets, relative paths), rows sorted by clip.

    It opens and reads like any other, cannot be added to, and needs the shards to stay where they are beside it. The
    shards must be complete, have one key and share no clip; else InputError. Reads all of them once, for the CRCs.
    `meta` takes the place of the first shard's.
    """
    out = Path(out)
    shards = [FeatureStore.open(path) for path in paths]
    try:
        _agree(shards)
        rows, skips = _merge(shards)
        names = [os.path.relpath(shard.path, out.parent) for shard in shards]
        for name in names:
            own_shard(out, name)
        runs = _runs(rows["shard"].to_numpy(), rows["row"].to_numpy())
        views, crcs = {}, {}
        for tap in shards[0].taps:
            views[tap], crcs[tap] = _view(shards, names, runs, tap)
        first = shards[0]
    finally:
        for shard in shards:
            shard.close()

    def fill(file: h5py.File):
        store = FeatureStore(out, file, writable=False)
        store.write(to_records(rows), skips.to_numpy().tolist(), {}, crcs)
        store.finish()

    layout.build(out, first.key, first.dims, {**(meta or first.meta), "shards": names}, overwrite, views, fill)
    return out


def _agree(shards: list[FeatureStore]):
    seen: dict[int, Path] = {}
    for shard in shards:
        if differences := shards[0].key.differences(shard.key):
            raise InputError(f"{shard.path}: cannot be joined to {shards[0].path}: {differences[0]}")
        if not shard.complete:
            raise InputError(f"{shard.path}: not complete, so it cannot be joined. Was its extraction interrupted?")
        for clip in sorted(shard.done_clips() | set(shard.skipped()["clip"])):
            if clip in seen:
                raise InputError(f"{shard.path}: clip {clip} is also in {seen[clip]}, expected shards without overlap")
            seen[clip] = shard.path


def _merge(shards: list[FeatureStore]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Row table (with columns `shard` and `row`, where each row lies) and skipped clips, both sorted by clip."""
    tables = [shard.rows().assign(shard=i, row=np.arange(len(shard))) for i, shard in enumerate(shards)]
    skips = [shard.skipped() for shard in shards]
    rows, skipped = (
        pd.concat(parts, ignore_index=True).sort_values("clip", kind="stable", ignore_index=True)
        for parts in (tables, skips)
    )
    return rows, skipped


def _runs(shard: np.ndarray, row: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Rows that follow each other in one shard: (first row here, shard, first row there, number of rows)."""
    starts = np.flatnonzero((np.diff(shard, prepend=-1) != 0) | (np.diff(row, prepend=-2) != 1))
    return [(int(s), int(shard[s]), int(row[s]), int(n)) for s, n in zip(starts, np.diff(starts, append=len(row)))]


def _view(shards, names, runs, tap: str) -> tuple[h5py.VirtualLayout, int]:
    """The virtual array of one tap, [rows, *dims], and the CRC-32 of what it shows."""
    dim, dtype = shards[0].dims[tap], shards[0].key.dtype
    view, crc = h5py.VirtualLayout((sum(map(len, shards)), *dim), dtype), 0
    for at, i, row, n in runs:
        source = h5py.VirtualSource(names[i], f"taps/{tap}", (len(shards[i]), *dim), dtype)
        view[at : at + n] = source[row : row + n]
        for start in range(row, row + n, PIECE):
            crc = zlib.crc32(shards[i].read(tap, slice(start, min(start + PIECE, row + n))), crc)
    return view, crc
