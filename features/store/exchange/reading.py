"""What other programs write of their embeddings: rows of a table, and arrays beside them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from ... import InputError
from ...csv_files import read_csv
from ...files import check_file
from .anndata import read_h5ad
from .hoplite import read_hoplite

NUMBERED = re.compile(r"(?:(.*?)[_ ]?)(\d+)")
LIST_TEXT = re.compile(r"[\[(]?[\s,0-9eE.+\-]+[\])]?")  # "[0.1, 0.2]", "0.1,0.2,...", numpy's "[0.1 0.2]"
LEAST_LIST = 4  # numbers without brackets; fewer may be labels
BIRDNET = ("inputs", "embeddings", "embeddings_masked", "segment_duration_s", "overlap_duration_s", "speed")
Read = tuple[pd.DataFrame, dict[str, np.ndarray]]


def read_embeddings(source: Path) -> Read:
    """What is said of each row, and the arrays float [n, *dims] by name, of any format that `import_features` takes.

    InputError: another format, or a file that is damaged.
    """
    if source.is_dir():
        table, vectors = read_hoplite(source)
        return table, {"embedding": vectors}
    check_file(source, "embeddings, or a folder of them")
    suffix = source.suffix.lower()
    if suffix == ".h5ad":
        return read_h5ad(source)
    if suffix == ".npz":
        return _read_npz(source)
    if suffix not in (".csv", ".parquet"):
        raise InputError(f"{source}: ends in {suffix or 'nothing'}, expected .npz, .csv, .parquet, .h5ad or a folder.")
    try:
        frame = pd.read_parquet(source) if suffix == ".parquet" else read_csv(source)
    except ImportError:
        raise InputError(f"{source}: Parquet needs pyarrow: pip install 'birdprobe[parquet]'") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: not readable ({error}).") from None
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index()
    return _arrays_of(source, frame)


def _read_npz(source: Path) -> Read:
    try:
        with np.load(source, allow_pickle=False) as held:
            found = {name: held[name] for name in held.files}
    except (OSError, ValueError) as error:  # ValueError: objects, which would have to be unpickled
        raise InputError(f"{source}: no .npz of plain arrays ({error}).") from None
    if set(BIRDNET) <= set(found) and found["embeddings"].ndim == 3:
        return _birdnet(found)
    columns = {name: array for name, array in found.items() if array.ndim == 1}
    lengths = {len(array) for array in columns.values()}
    arrays = {name: array for name, array in found.items() if array.ndim >= 2 and array.dtype.kind == "f"}
    if len(lengths | {len(array) for array in arrays.values()}) != 1:
        said = ", ".join(f"{name} {list(array.shape)}" for name, array in found.items())
        raise InputError(f"{source}: arrays of different lengths ({said}), expected a row a window in each.")
    return pd.DataFrame(columns), arrays


def _birdnet(found: dict[str, np.ndarray]) -> Read:
    """The package birdnet's: [files, windows, d], masked where a recording has no such window."""
    length, overlap, speed = (float(found[name].ravel()[0]) for name in BIRDNET[3:])
    file, window = np.nonzero(~found["embeddings_masked"].all(axis=2))
    start = window * (length - overlap) * speed
    table = pd.DataFrame({"file": found["inputs"][file], "start_s": start, "end_s": start + length * speed})
    return table, {"embedding": found["embeddings"][file, window].astype(np.float32)}


def _arrays_of(source: Path, frame: pd.DataFrame) -> Read:
    """Lists, and runs of numbered columns of numbers, are arrays; every other column says something of the row."""
    arrays: dict[str, np.ndarray] = {}
    numbered: dict[str, list] = {}
    rest = []
    for name, values in frame.items():
        match = NUMBERED.fullmatch(str(name))
        if len(values) and _is_vector(values.iloc[0]):
            arrays[str(name)] = _stacked(source, str(name), values)
        elif match and values.dtype.kind in "fi":
            numbered.setdefault(match[1] or "embedding", []).append(name)
        else:
            rest.append(name)
    for prefix, names in numbered.items():
        arrays[prefix] = frame[names].to_numpy(np.float32)
    return frame[rest], arrays


def _is_vector(value: object) -> bool:
    if isinstance(value, str):
        text = value.strip().replace("...", "")
        return bool(LIST_TEXT.fullmatch(text)) and (text[:1] in "[(" or len(_numbers(text)) >= LEAST_LIST)
    return isinstance(value, np.ndarray | list) and np.asarray(value).dtype.kind in "fi"


def _numbers(text: str) -> list[str]:
    return text.strip().strip("[]()").replace(",", " ").split()


def _stacked(source: Path, name: str, values: pd.Series) -> np.ndarray:
    """Lists, or their text, of one length: float32 [n, d]."""
    rows = []
    for number, value in enumerate(values, 1):
        if isinstance(value, str) and "..." in value:
            raise InputError(
                f"{source}: column {name}, row {number}: numbers left out by '...', as NumPy prints long arrays. Write "
                "`.tolist()` of the array, or .npz or .parquet."
            )
        try:
            rows.append(np.asarray(_numbers(value) if isinstance(value, str) else value, np.float32))
        except (TypeError, ValueError):
            raise InputError(f"{source}: column {name}, row {number}: no list of numbers ({value!s:.40}).") from None
        if rows[-1].shape != rows[0].shape:
            sizes = f"{rows[-1].size} numbers, {rows[0].size} in the first row"
            raise InputError(f"{source}: column {name}, row {number}: {sizes}; equally many wanted.")
    return np.stack(rows)
