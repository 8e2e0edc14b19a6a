"""Stores of the same recordings side by side in one, so that heads read our taps and the embeddings of others."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ... import InputError
from ...schema import checked
from ..key import StoreKey
from ..store import FeatureStore
from .alignment import align_store

BLOCK = 4096  # rows copied at a time
KEPT = ("audio", "grouping", "classes")  # of the first store's meta


@checked
def join_features(stores: Sequence[Path | str], output: Path | str, *, overwrite: bool = False) -> Path:
    """One store with the taps of all, on the windows of the first.

    Args:
        stores: two or more. The first one's windows, labels, groups and folds stay, and the names of its taps; another
            one's taps are called `STORE/TAP` by its file's stem, and hold of each window the mean over that store's
            windows that share time with it, weighted by that time. Windows that a store lacks are left out.
        output: the store to write.
        overwrite: replace a store.

    Returns:
        The store, complete. Its key is of no model: it can be ranked and trained on, not fused.

    Raises:
        InputError: fewer than two stores, two of one name, an unfinished one, no window in common.
    """
    paths = [Path(path) for path in stores]
    if len(paths) < 2:
        raise InputError(f"store join: {len(paths)} store found, at least two wanted.")
    if len({path.stem for path in paths[1:]}) < len(paths) - 1:
        raise InputError(f"{', '.join(map(str, paths[1:]))}: two stores of one name, so their taps would be too.")
    opened: list[FeatureStore] = []
    try:
        for path in paths:
            opened.append(FeatureStore.open(path))
            if not opened[-1].complete:
                raise InputError(f"{path}: expected a complete store, got an unfinished one. Is it still written?")
        return _join(opened, paths, Path(output), overwrite)
    finally:
        for store in opened:
            store.close()


def _join(stores: Sequence[FeatureStore], paths: Sequence[Path], output: Path, overwrite: bool) -> Path:
    first, *others = stores
    rows = first.rows()
    aligned = [align_store(other, rows, f"a window of {paths[0]}") for other in others]
    kept = np.flatnonzero(np.logical_and.reduce([one.found for one in aligned]))
    if not len(kept):
        raise InputError(f"{', '.join(map(str, paths))}: no window is in all of them. Of other recordings?")
    means = {
        f"{path.stem}/{tap}": one.means(other.read(tap))[kept]
        for path, other, one in zip(paths[1:], others, aligned)
        for tap in other.taps
    }
    if taken := set(means) & set(first.taps):
        raise InputError(f"{paths[0]}: has a tap {taken.pop()} of its own. Give the other store another file name.")
    hashes = ",".join(store.key.model_sha256 for store in stores)
    key = StoreKey(
        **asdict(first.key)
        | {"model_sha256": hashlib.sha256(hashes.encode()).hexdigest(), "taps": (*first.taps, *means)}
        | {"selection": f"joined, {first.key.selection}"}
    )
    dims = first.dims | {tap: x.shape[1:] for tap, x in means.items()}
    meta = {name: first.meta[name] for name in KEPT if name in first.meta}
    meta |= {"joined": [str(path) for path in paths], "left_out": len(rows) - len(kept)}
    table = rows.iloc[kept].reset_index(drop=True)
    with FeatureStore.create(output, key, dims, meta, overwrite) as store:
        for piece in np.split(np.arange(len(kept)), _ends(table["clip"].to_numpy())):
            own = {tap: first.read(tap, kept[piece]) for tap in first.taps}
            store.append(table.iloc[piece].reset_index(drop=True), own | {tap: x[piece] for tap, x in means.items()})
        store.finish()
    return output


def _ends(clips: np.ndarray) -> np.ndarray:
    """Where to cut rows into blocks that hold whole clips."""
    starts = np.flatnonzero(np.diff(clips)) + 1
    return starts[np.unique(starts // BLOCK, return_index=True)[1]] if len(starts) else starts
