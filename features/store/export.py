"""A store as files that other programs read: .npz with arrays, .csv with the row table."""

from pathlib import Path

import numpy as np
import pandas as pd

from .. import InputError
from ..csv_files import write_csv
from ..files import replacing
from .table import NUMBERS


def export(store, path, taps=()) -> Path:
    """Write the committed rows of an open FeatureStore to `path`, replacing what is there.

    NAME.npz: one array [rows, *dim] per tap and one array `row_COLUMN` [rows] per row column (text as fixed-width
    unicode, "" where it is missing: nothing is pickled), and the row table beside it as NAME.csv. NAME.csv: the row
    table and, per tap, the columns `TAP_0`, `TAP_1`, ... of its flattened features.
    Raises InputError for another ending and for an unknown tap.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".csv"):
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}, expected .npz or .csv")
    table = store.rows()
    arrays = {tap: store.read(tap) for tap in taps}
    if path.suffix == ".npz":
        for name, column in table.items():
            arrays[f"row_{name}"] = np.array(column if name in NUMBERS else [value or "" for value in column])
        with (
            replacing(path) as fresh,
            replacing(path.with_suffix(".csv")) as fresh_table,
        ):  # both whole, then both there
            write_csv(table, fresh_table, index=False)
            np.savez(fresh, allow_pickle=False, **arrays)
        return path
    parts = [table]
    for tap, array in arrays.items():
        flat = array.reshape(len(table), -1)
        parts.append(pd.DataFrame(flat, columns=[f"{tap}_{i}" for i in range(flat.shape[1])]))
    with replacing(path) as fresh:
        write_csv(pd.concat(parts, axis=1), fresh, index=False)
    return path
