"""A store as files that other programs read.

npz             an array per tap and one per row column, and the row table beside it as .csv
csv, parquet    one row a window: the row table, then every tap (CSV: TAP_0, TAP_1, ...; Parquet: a list a tap)
opensoundscape  CSV with the index file, start_time, end_time and the numbers of one tap, as its `embed` gives
h5ad            AnnData: every tap in obsm, one of them as X
hoplite         the folder of a perch-hoplite database, of one tap; needs perch-hoplite
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ... import InputError
from ...csv_files import write_csv
from ...files import replacing
from ...recordings.folds import assign_folds
from ..table import NUMBERS
from .anndata import write_h5ad

FORMATS = ("npz", "csv", "parquet", "opensoundscape", "h5ad", "hoplite")


def export(store, path, taps: Sequence[str] = (), form: str | None = None, folds: int = 5, seed: int = 0) -> Path:
    """Write the committed rows of an open FeatureStore to `path`, replacing what is there.

    Args:
        store: an open FeatureStore.
        path: the file; its ending tells the format, unless `form` does.
        taps: which; none in a .csv or .npz for the row table alone. opensoundscape and hoplite take one.
        form: one of FORMATS.
        folds, seed: of the folds that are made where none were given with the clips: as a sweep makes them, groups kept
            whole. Where that cannot be, the column stays empty.

    Returns:
        The path.

    Raises:
        InputError: another ending, an unknown tap, or a package that the format needs is missing.
    """
    path = Path(path)
    form = form or path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise InputError(f"{path}: ends in {path.suffix or 'nothing'}, expected one of .{', .'.join(FORMATS)}")
    if form in ("opensoundscape", "hoplite") and len(taps) != 1:
        raise InputError(f"{path}: {form} holds one vector a window; `--taps` must be one of {', '.join(store.taps)}.")
    if not len(store):
        raise InputError(f"{path}: the store has no rows, so there is nothing to export. Were all its files skipped?")
    table = with_folds(store, folds, seed)
    arrays = {tap: store.read(tap) for tap in taps}
    if form == "hoplite":
        from .hoplite import write_hoplite

        return write_hoplite(path, table, *arrays.values())
    if form == "npz":
        _write_npz(path, table, arrays)
        return path
    with replacing(path) as fresh:
        if form == "h5ad":
            write_h5ad(fresh, table, arrays)
        elif form == "parquet":
            _write_parquet(fresh, table, arrays)
        elif form == "opensoundscape":
            (values,) = arrays.values()
            index = pd.MultiIndex.from_arrays(
                [table["file"], table["start_s"], table["end_s"]], names=["file", "start_time", "end_time"]
            )
            write_csv(pd.DataFrame(values.reshape(len(table), -1), index=index), fresh)
        else:
            write_csv(
                pd.concat([table, *(_flat(tap, array) for tap, array in arrays.items())], axis=1), fresh, index=False
            )
    return path


def with_folds(store, n: int = 5, seed: int = 0) -> pd.DataFrame:
    """The row table with a fold in every row: the given one, else made over the clips as a sweep makes them."""
    table = store.rows()
    if not len(table) or table["fold"].notna().all():
        return table
    clips = table.drop_duplicates("clip")
    groups = [group or file for group, file in zip(clips["group"], clips["file"])]
    known = store.meta.get("grouping", "none") != "none"
    try:
        made = assign_folds(clips["label"].tolist(), groups if known else None, None, n, seed)[0]
    except InputError:  # one class, fewer clips than folds: nothing to cross-validate
        return table
    fold_of = dict(zip(clips["clip"], map(str, made.tolist())))
    return table.assign(fold=[fold_of[clip] for clip in table["clip"]])


def _flat(tap: str, array: np.ndarray) -> pd.DataFrame:
    flat = array.reshape(len(array), -1)
    return pd.DataFrame(flat, columns=[f"{tap}_{i}" for i in range(flat.shape[1])])


def _write_npz(path: Path, table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> None:
    """Text as fixed-width unicode, "" where it is missing: nothing is pickled."""
    columns = {
        f"row_{name}": np.array(column if name in NUMBERS else [value or "" for value in column])
        for name, column in table.items()
    }
    with replacing(path) as fresh, replacing(path.with_suffix(".csv")) as beside:  # both whole, then both there
        write_csv(table, beside, index=False)
        np.savez(fresh, allow_pickle=False, **arrays, **columns)


def _write_parquet(path: Path, table: pd.DataFrame, arrays: dict[str, np.ndarray]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError("Parquet needs pyarrow: pip install 'birdprobe[parquet]'") from None
    columns = {name: pa.array(column.tolist()) for name, column in table.items()}
    for tap, array in arrays.items():
        flat = array.reshape(len(array), -1)
        columns[tap] = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])
    pq.write_table(pa.table(columns), path)
