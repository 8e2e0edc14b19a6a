"""Small stores whose every value follows from the number of its clip."""

from pathlib import Path

import numpy as np
import pandas as pd

from birdprobe.features.store import ROW_COLUMNS, FeatureStore, StoreKey

ROOT = Path(__file__).resolve().parents[2]
KEY = StoreKey("ab" * 32, ("block_00", "embedding"), "mean", 32000, 5.0, "all", 0, "peak", "float32")
DIMS = {"block_00": (3,), "embedding": (2, 4)}


def table(clips, windows=2):
    """The rows of some clips; every value follows from the clip's number."""
    rows = []
    for clip in clips:
        for w in range(windows):
            label, group = f"species {clip % 3}", f"R{clip % 5}" if clip % 2 else None
            file, sha = f"{label}/ü{clip}.wav", f"{clip:064x}"
            rows.append((clip, file, 5.0 * w, 5.0 * w + 5, label, f"{label};x", group, None, 1000 + clip, sha))
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS))


def values(rows, dims=DIMS, dtype=np.float32):
    """tap -> [rows, *dims], every value follows from clip, window and place."""
    number = rows["clip"].to_numpy() * 16 + rows["start_s"].to_numpy() / 5
    out = {}
    for tap, dim in dims.items():
        size = int(np.prod(dim))
        flat = np.sin(number[:, None] * (1 + np.arange(size)) + len(tap))
        out[tap] = flat.reshape(len(rows), *dim).astype(dtype)
    return out


def fill(path, clips, key=KEY, **kwargs):
    with FeatureStore.create(path, key, DIMS, {"preset": None}, **kwargs) as store:
        for clip in clips:
            store.append(table([clip]), values(table([clip])))
        store.finish()
    return path


def assert_holds(store, clips):
    """Exactly these clips, in this order, each value where it belongs."""
    rows = table(clips)
    pd.testing.assert_frame_equal(store.rows().astype(object), rows.astype(object).where(rows.notna(), None))
    for tap, wanted in values(rows).items():
        np.testing.assert_array_equal(store.read(tap), wanted)
