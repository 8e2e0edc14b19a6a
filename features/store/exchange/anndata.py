"""AnnData's file format, version 0.1.0 of its on-disk specification, written and read with h5py alone."""

from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from ... import InputError


def write_h5ad(path: Path, table: pd.DataFrame, arrays: Mapping[str, np.ndarray]) -> None:
    """obs: the row table. obsm: every tap, flattened. X: the embedding, or the last tap that is no logits."""
    flat = {tap: array.reshape(len(table), -1).astype(np.float32) for tap, array in arrays.items()}
    main = next((tap for tap in ("embedding", *reversed(flat)) if tap in flat and tap != "logits"), None)
    width = flat[main].shape[1] if main else 0
    with h5py.File(path, "w") as file:
        _encoded(file, "anndata", "0.1.0")
        _array(file, "X", flat[main] if main else np.zeros((len(table), 0), np.float32))
        _frame(file, "obs", table, [f"{row.file}@{row.start_s:g}" for row in table.itertuples()])
        _frame(file, "var", pd.DataFrame(), [f"{main}_{i}" for i in range(width)])
        for name in ("layers", "obsp", "varm", "varp", "uns"):
            _encoded(file.create_group(name), "dict", "0.1.0")
        group = _encoded(file.create_group("obsm"), "dict", "0.1.0")
        for tap, values in flat.items():
            _array(group, tap.replace("/", "_"), values)


def read_h5ad(path: Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """(obs as text and numbers, name -> [n, d] of obsm, else of X). Categories and dense arrays only.

    InputError: no AnnData file, or one without a dense array.
    """
    try:
        with h5py.File(path, "r") as file:
            obs = file["obs"]
            names = [*obs.attrs.get("column-order", [])]
            columns = {str(name): _column(obs[name]) for name in names}
            held = {name: data for name, data in file.get("obsm", {}).items() if isinstance(data, h5py.Dataset)}
            if not held and isinstance(file.get("X"), h5py.Dataset):
                held = {"X": file["X"]}
            arrays = {name: np.asarray(data[()]) for name, data in held.items() if data.ndim == 2}
    except (OSError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: no readable AnnData file ({error}).") from None
    return pd.DataFrame(columns), arrays


def _column(data: h5py.Dataset | h5py.Group) -> np.ndarray:
    if isinstance(data, h5py.Group):  # categories and the codes into them; -1 is missing
        categories, codes = _column(data["categories"]), data["codes"][()]
        return np.where(codes < 0, "", categories.astype(object)[codes])
    return data.asstr()[()] if h5py.check_string_dtype(data.dtype) else data[()]


def _encoded(node, kind: str, version: str):
    node.attrs["encoding-type"], node.attrs["encoding-version"] = kind, version
    return node


def _array(group: h5py.Group, name: str, values: np.ndarray) -> None:
    _encoded(group.create_dataset(name, data=values), "array", "0.2.0")


def _strings(group: h5py.Group, name: str, values: list[str]) -> None:
    _encoded(group.create_dataset(name, data=values, dtype=h5py.string_dtype()), "string-array", "0.2.0")


def _frame(file: h5py.File, name: str, table: pd.DataFrame, index: list[str]) -> None:
    group = _encoded(file.create_group(name), "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs.create("column-order", list(table.columns), (len(table.columns),), h5py.string_dtype())
    _strings(group, "_index", index)
    for column, values in table.items():
        if values.dtype == object:
            _strings(group, str(column), [value or "" for value in values])
        else:
            _array(group, str(column), values.to_numpy())
