"""What can be wrong with a store, found by reading all of it."""

import zlib
from itertools import pairwise

import numpy as np
import pandas as pd

from .table import ROW_COLUMNS, SKIP_COLUMNS, decode, to_table

TABLES = {"rows": ROW_COLUMNS, "skipped": SKIP_COLUMNS}
PIECE = 1024  # rows in memory at a time
BROKEN = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
)  # what reading damaged structures or text raises
CHANGED = "changed since they were written (checksum)"


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
        for (start, stop), crc in zip(_spans(commits["rows_end"]), commits[tap]):
            faults += [
                f"tap {tap}, rows {start} to {stop - 1}: {what}" for what in _data_faults(store, tap, start, stop, crc)
            ]
    return faults


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


def _data_faults(store, tap: str, start: int, stop: int, wanted: int) -> list[str]:
    """What is wrong with one commit's features of one tap."""
    crc, finite = 0, True
    try:
        for at in range(start, stop, PIECE):
            piece = store.read(tap, slice(at, min(at + PIECE, stop)))
            crc = zlib.crc32(piece, crc)
            finite &= bool(np.isfinite(piece).all())
    except BROKEN as error:
        return [f"unreadable ({error})"]
    return [CHANGED] * (crc != wanted) + ["infinite or NaN values"] * (not finite)
