"""Stores ranked as they are: cached taps and the embeddings of other programs side by side."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from ..features import InputError
from ..features.schema import checked
from ..features.store import FeatureStore
from .api import RankedFeatures, rank


@checked
def rank_stores(stores: Sequence[Path | str], **settings: Any) -> RankedFeatures:
    """Rank every tap of one or several stores on the clips that all of them hold.

    Args:
        stores: paths. With several, a tap is named `STORE/TAP` by the file's stem. A clip is its windows of one file
            with one set of labels, read as their mean vector; files are told apart by their names without folders and
            endings. Labels, groups and folds are those of the first store.
        **settings: of `rank`: readout, score, reference, k, n_folds, seed.

    Returns:
        The ranking and its conclusion.

    Raises:
        InputError: no clip that all stores hold, two stores of one name, too few clips of a class.
    """
    paths = [Path(path) for path in stores]
    if len({path.stem for path in paths}) < len(paths):
        raise InputError(f"{', '.join(map(str, paths))}: two stores of one name, so their taps cannot be told apart.")
    tables, features = [], []
    for path in paths:
        with FeatureStore.open(path) as store:
            table, number = _clips(path, store.rows())
            prefix = "" if len(paths) == 1 else f"{path.stem}/"
            tables.append(table)
            features.append({f"{prefix}{tap}": _means(store.read(tap), number) for tap in store.taps})
    shared = tables[0].index
    for table in tables[1:]:
        shared = shared[shared.isin(table.index)]
    if not len(shared):
        raise InputError(f"{', '.join(map(str, paths))}: no clip is in all of them. Other recordings or labels?")
    found = {
        tap: x[table.index.get_indexer(shared)] for table, taps in zip(tables, features) for tap, x in taps.items()
    }
    about = tables[0].loc[shared]
    groups = [group or file for group, file in zip(about["group"], about["file"])]
    given = about["fold"]
    folds = pd.factorize(given)[0].tolist() if given.notna().all() else None
    labels = [tuple(text.split(";")) for text in about["labels"]]
    if settings.get("reference") is None and len(paths) > 1:  # as with one store: the first one's usual tap
        own = tuple(tap for tap in features[0])
        usual = f"{paths[0].stem}/embedding"
        settings["reference"] = usual if usual in own else [t for t in own if not t.endswith("/logits")][-1]
    return rank(found, labels, groups, folds, **settings)


def _clips(path: Path, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """(the first row of every clip, indexed by name and labels; the number of each row's clip, int64 [rows])"""
    names = [PurePosixPath(file).stem for file in rows["file"]]
    labels = [";".join(sorted(text.split(";"))) for text in rows["labels"]]
    number, found = pd.factorize(pd.MultiIndex.from_arrays([names, labels], names=["file", "labels"]))
    if (rows.groupby(number)["file"].nunique() > 1).any():
        raise InputError(f"{path}: two recordings of one name and labels, so clips cannot be matched by name.")
    first = rows.iloc[np.unique(number, return_index=True)[1]]
    return first.set_index(pd.MultiIndex.from_tuples(list(found))), number


def _means(x: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """[windows, *dims] -> [clips, d]: the mean over each clip's windows."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    sums = np.zeros((clip.max() + 1, flat.shape[1]))
    np.add.at(sums, clip, flat)
    return (sums / np.bincount(clip)[:, None]).astype(np.float32)
