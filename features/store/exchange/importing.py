"""Embeddings of other programs as a store, so that they are ranked and trained on as our own taps are."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ... import InputError
from ...csv_files import read_csv
from ...files import sha256
from ...recordings import Clip, read_recordings
from ...recordings.tables.layouts import parse_columns
from ..key import StoreKey
from ..store import FeatureStore
from ..table import ROW_COLUMNS
from .anndata import read_h5ad
from .hoplite import read_hoplite

# what other programs call our row columns; `row_` before a name (as in our .npz) does not count
ALIASES = {
    "clip": ("clip",),
    "file": ("file", "filename", "file_name", "path", "filepath", "filepaths", "source_id", "recording", "audio_file"),
    "start_s": ("start_s", "start_time", "start", "start (s)", "start_times", "onset_s"),
    "end_s": ("end_s", "end_time", "end", "end (s)", "end_times", "offset_s"),
    "labels": ("labels", "label", "species", "annotation"),
    "group": ("group", "site", "deployment"),
    "fold": ("fold",),
}
FIELDS = {"path": "file", "label": "labels", "start": "start_s", "end": "end_s", "group": "group", "fold": "fold"}
NUMBERED = re.compile(r"(?:(.*?)[_ ]?)(\d+)")


def import_features(
    source: Path | str,
    output: Path | str,
    *,
    tap: str | None = None,
    labels: Path | str | None = None,
    column: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Make a store of embeddings that another program computed.

    Args:
        source: .npz (arrays [n, d], and [n] for file, start, end, label), .csv or .parquet (a row a window; numbered
            columns or lists), .h5ad, or the folder of a perch-hoplite database.
        output: the store to write.
        tap: what the vectors are called, where there is one array; its own name otherwise.
        labels: AUDIO as a sweep takes it, where `source` has no labels: a window gets those of the clip of its file
            that it shares most time with.
        column: which column is which, "label=species,path=filename,start=onset".
        overwrite: replace a store.

    Returns:
        The store, complete. Its key names the source's hash in the place of the model's.

    Raises:
        InputError: no arrays, no file names, no labels, values that are not finite.
    """
    source, output = Path(source), Path(output)
    rows, arrays = _read(source)
    if not arrays:
        raise InputError(f"{source}: no vectors found, expected arrays [windows, numbers], lists or numbered columns.")
    if tap is not None:
        if len(arrays) > 1 and tap not in arrays:
            raise InputError(f"{source}: holds {', '.join(arrays)}; `--tap {tap}` names none of them.")
        arrays = {tap: arrays.get(tap, next(iter(arrays.values())))}
    table = _labelled(source, _standard(source, rows, parse_columns(column) if column else {}), labels)
    kept = table["labels"] != ""
    table, arrays = table[kept].reset_index(drop=True), {name: array[kept.to_numpy()] for name, array in arrays.items()}
    table["clip"], order = _clips(table)
    table = table.iloc[order].reset_index(drop=True)
    length = float(np.median(table["end_s"] - table["start_s"]))
    file = source / "hoplite.sqlite" if source.is_dir() else source
    names = {name: name.replace("/", "_") for name in arrays}
    key = StoreKey(sha256(file), tuple(names.values()), "imported", 0, length, "imported", 0, "none")
    dims = {names[name]: array.shape[1:] for name, array in arrays.items()}
    meta = {"imported": str(source), "grouping": "column group" if table["group"].notna().any() else "none"}
    with FeatureStore.create(output, key, dims, meta, overwrite) as store:
        store.append(table, {names[name]: np.asarray(array)[order] for name, array in arrays.items()})
        store.finish()
    return output


def _read(source: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """(what is said of each row, name -> float32 [n, d])"""
    if source.is_dir():
        table, vectors = read_hoplite(source)
        return table, {"embedding": vectors}
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder.")
    suffix = source.suffix.lower()
    if suffix == ".h5ad":
        return read_h5ad(source)
    if suffix == ".npz":
        return _read_npz(source)
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"{source}: ends in {suffix or 'nothing'}, expected .npz, .csv, .parquet, .h5ad or a folder.")
    try:
        frame = pd.read_parquet(source) if suffix == ".parquet" else read_csv(source, float_precision="round_trip")
    except ImportError:
        raise InputError(f"{source}: Parquet needs pyarrow: pip install 'birdprobe[parquet]'") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: not readable ({error}).") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return _arrays_of(frame)


def _read_npz(source: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    try:
        with np.load(source, allow_pickle=False) as held:
            found = {name: held[name] for name in held.files}
    except (OSError, ValueError) as error:  # ValueError: objects, which would have to be unpickled
        raise InputError(f"{source}: no .npz of plain arrays ({error}).") from None
    columns = {name: array for name, array in found.items() if array.ndim == 1}
    lengths = {len(array) for array in columns.values()}
    arrays = {name: array for name, array in found.items() if array.ndim >= 2 and array.dtype.kind == "f"}
    if len(lengths | {len(array) for array in arrays.values()}) != 1:
        said = ", ".join(f"{name} {list(array.shape)}" for name, array in found.items())
        raise InputError(f"{source}: arrays of different lengths ({said}), expected a row a window in each.")
    return pd.DataFrame(columns), arrays


def _arrays_of(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Lists, and runs of numbered columns of numbers, are arrays; every other column says something of the row."""
    arrays: dict[str, np.ndarray] = {}
    numbered: dict[str, list] = {}
    rest = []
    for name, values in frame.items():
        match = NUMBERED.fullmatch(str(name))
        if (
            len(values)
            and isinstance(values.iloc[0], np.ndarray | list)
            and np.asarray(values.iloc[0]).dtype.kind in "fi"
        ):
            arrays[str(name)] = np.stack([np.asarray(value, np.float32) for value in values])
        elif match and values.dtype.kind in "fi":
            numbered.setdefault(match[1] or "embedding", []).append(name)
        else:
            rest.append(name)
    for prefix, names in numbered.items():
        arrays[prefix] = frame[names].to_numpy(np.float32)
    return frame[rest], arrays


def _standard(source: Path, rows: pd.DataFrame, named: Mapping[str, str]) -> pd.DataFrame:
    """The columns under our names, text and seconds; labels and groups empty where unknown."""
    spelled = {str(name).removeprefix("row_").strip().casefold(): name for name in rows.columns}
    given = {FIELDS[field]: column.casefold() for field, column in named.items() if field in FIELDS}
    found = {
        ours: next((spelled[name] for name in (*filter(None, [given.get(ours)]), *theirs) if name in spelled), None)
        for ours, theirs in ALIASES.items()
    }
    if found["file"] is None:
        raise InputError(
            f"{source}: no column says which recording a row is of, expected one of {', '.join(ALIASES['file'])} or "
            f"`--column path=NAME`; it has {', '.join(map(str, rows.columns)) or 'none'}."
        )
    table = pd.DataFrame({"file": [str(value).replace("\\", "/") for value in rows[found["file"]]]})
    for name in ("start_s", "end_s"):
        values = rows[found[name]] if found[name] is not None else np.full(len(rows), np.nan)
        table[name] = pd.to_numeric(pd.Series(np.asarray(values)), errors="coerce")
    table["start_s"] = table["start_s"].fillna(0.0)
    table["end_s"] = table["end_s"].fillna(table["start_s"] + 1.0)
    for name in ("labels", "group", "fold"):
        values = rows[found[name]] if found[name] is not None else [""] * len(rows)
        table[name] = ["" if value is None or value != value else str(value) for value in values]
    table["clip"] = rows[found["clip"]].to_numpy() if found["clip"] is not None else -1
    return table


def _labelled(source: Path, table: pd.DataFrame, labels: Path | str | None) -> pd.DataFrame:
    """The table with labels: its own, or those of the clips of AUDIO."""
    if labels is None:
        if not (table["labels"] != "").any():
            raise InputError(f"{source}: no labels; say where they are by `--column label=NAME` or `--labels AUDIO`.")
        return table
    clips: dict[str, list] = {}
    for clip in read_recordings(labels).clips:
        clips.setdefault(Path(clip.name).stem, []).append(clip)
    found, groups = [], []
    row: Any  # a named tuple of the table's columns
    for row in table.itertuples():
        shared = [(_shared_s(row.start_s, row.end_s, clip), clip) for clip in clips.get(Path(row.file).stem, ())]
        most, best = max(shared, key=lambda pair: pair[0], default=(0.0, None))
        found.append(";".join(best.labels) if best is not None and most > 0 else "")
        groups.append(row.group or (best.group or "" if best is not None else ""))
    if not any(found):
        raise InputError(
            f"{source}: none of its {len(table)} windows lies in a clip of {labels}. Are files named alike?"
        )
    return table.assign(labels=found, group=groups)


def _shared_s(start_s: float, end_s: float, clip: Clip) -> float:
    return min(end_s, np.inf if clip.end_s is None else clip.end_s) - max(start_s, clip.start_s or 0.0)


def _clips(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """A number for each run of windows of one file with one label set, int64 [n]; and the order by these numbers.

    The other columns that a store's rows have are added to the table.
    """
    table["label"] = [text.partition(";")[0] for text in table["labels"]]
    table["size"], table["sha256"] = 0, None
    for name in ("group", "fold"):
        table[name] = [text or None for text in table[name]]
    same = pd.MultiIndex.from_frame(table[["file", "labels", "clip"]].astype(str))
    numbers = pd.factorize(same)[0].astype(np.int64)
    assert set(ROW_COLUMNS) <= set(table.columns)
    return numbers, np.lexsort((table["start_s"].to_numpy(), numbers))
