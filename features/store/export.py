"""A store as files that other programs read: .npz with arrays, .csv with the row table."""

from pathlib import Path

import numpy as np
import pandas as pd

from features import InputError
from features.store.rows import NUMBERS


def export(store, path, taps=(), overwrite: bool = False) -> Path:
    """Write the committed rows of an open FeatureStore to `path`.

    .npz: one array [rows, *dim] per tap and one array `row_COLUMN` [rows] per row column (text as fixed-width
    unicode, "" where it is missing: nothing is pickled). .csv: the row table and, per tap, the columns `TAP_0`,
    `TAP_1`, ... of its flattened features.
    Raises InputError for another ending, an existing file without `overwrite`, and an unknown tap.
    """
    path, taps = Path(path), tuple(taps)
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists. Give --overwrite to replace it.")
    if path.suffix not in (".npz", ".csv"):
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}, wanted .npz or .csv")
    table = store.rows()
    arrays = {tap: store.read(tap) for tap in taps}
    if path.suffix == ".npz":
        for name, column in table.items():
            values = column if name in NUMBERS else [value or "" for value in column]
            arrays[f"row_{name}"] = np.array(values)
        np.savez(path, allow_pickle=False, **arrays)
        return path
    parts = [table]
    for tap, array in arrays.items():
        flat = array.reshape(len(table), -1)
        parts.append(pd.DataFrame(flat, columns=[f"{tap}_{i}" for i in range(flat.shape[1])]))
    pd.concat(parts, axis=1).to_csv(path, index=False)
    return path
