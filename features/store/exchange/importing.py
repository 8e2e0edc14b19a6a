"""Embeddings of other programs as a store, so that they are ranked and trained on as our own taps are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from ... import InputError
from ...files import sha256
from ...recordings import read_recordings
from ...recordings.tables.labelled import seconds
from ...recordings.tables.layouts import parse_columns
from ...schema import checked
from ..key import StoreKey
from ..store import FeatureStore
from ..table import ROW_COLUMNS
from .alignment import align
from .reading import read_embeddings

# what other programs call our row columns; `row_` before a name (as in our .npz) does not count
ALIASES = {
    "clip": ("clip",),
    "file": (
        *("file", "filename", "file_name", "file_path", "path", "filepath", "filepaths"),
        *("source_id", "recording", "audio_file", "input", "inputs"),
    ),
    "start_s": ("start_s", "start_time", "start", "start (s)", "start_times", "onset_s"),
    "end_s": ("end_s", "end_time", "end", "end (s)", "end_times", "offset_s"),
    "labels": ("labels", "label", "species", "annotation"),
    "group": ("group", "site", "deployment"),
    "fold": ("fold",),
}
FIELDS = {"path": "file", "label": "labels", "start": "start_s", "end": "end_s", "group": "group", "fold": "fold"}


@checked
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
    rows, arrays = read_embeddings(source)
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
    untimed = bool(np.isinf(table["end_s"]).all())
    if untimed:
        table["end_s"] = 1.0
    length = float(np.median(table["end_s"] - table["start_s"]))
    file = source / "hoplite.sqlite" if source.is_dir() else source
    names = {name: name.replace("/", "_") for name in arrays}
    key = StoreKey(sha256(file), tuple(names.values()), "imported", 0, length, "imported", 0, "none")
    dims = {names[name]: array.shape[1:] for name, array in arrays.items()}
    meta: dict[str, object] = {
        "imported": str(source),
        "grouping": "column group" if table["group"].notna().any() else "none",
    }
    with FeatureStore.create(output, key, dims, meta | ({"untimed": True} if untimed else {}), overwrite) as store:
        store.append(table, {names[name]: np.asarray(array)[order] for name, array in arrays.items()})
        store.finish()
    return output


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
        said = ["" if value != value or value is None else str(value) for value in values]
        table[name] = [np.nan if (s := seconds(source, i, name, text)) is None else s for i, text in enumerate(said, 2)]
    table["start_s"] = table["start_s"].fillna(0.0)
    untimed = found["start_s"] is None and found["end_s"] is None  # a vector is of its whole recording
    table["end_s"] = np.inf if untimed else table["end_s"].fillna(table["start_s"] + 1.0)
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
    clips = read_recordings(labels).clips
    pieces = pd.DataFrame(
        [(clip.name, clip.start_s or 0.0, np.inf if clip.end_s is None else clip.end_s) for clip in clips],
        columns=["file", "start_s", "end_s"],
    )
    try:
        aligned = align(pieces, table).turned
    except InputError as error:
        raise InputError(f"{labels}: {error}") from None
    best = [clips[aligned.windows(row)[0]] if there else None for row, there in enumerate(aligned.found)]
    if not any(best):
        raise InputError(
            f"{source}: none of its {len(table)} windows lies in a clip of {labels} ({table['file'].iloc[0]!r} here, "
            f"{clips[0].name!r} there). Are files named alike?"
        )
    groups = [own or (clip.group or "" if clip else "") for own, clip in zip(table["group"], best)]
    return table.assign(labels=[";".join(clip.labels) if clip else "" for clip in best], group=groups)


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
