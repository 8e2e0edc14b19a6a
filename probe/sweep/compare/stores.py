"""A store among the runs of a comparison: its windows read as the items of a sweep."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from ....analysis.scored_items import Probed
from ....features import InputError
from ....features.store import FeatureStore, align_store


def read_store(path: Path, run: Path, probed: Probed, labels: pd.DataFrame) -> tuple[dict, Probed, pd.DataFrame, str]:
    """(what a run's config.json would say, the items that a sweep and a store know, their labels, a warning or "").

    An item is the mean over the store's windows that share time with it, weighted by that time: the windows of the two
    need not be equally long. Labels, groups and folds are those of the sweep: run is its folder, probed its items,
    labels theirs. InputError: an unfinished store, no window in an item of the sweep, labels that disagree.
    """
    with FeatureStore.open(path) as store:
        if not store.complete:
            raise InputError(f"{path}: expected a complete store, got an unfinished one. Is it still being written?")
        aligned = align_store(store, probed.table, f"a {probed.unit} of {run}")
        features = {tap: aligned.means(store.read(tap))[aligned.found] for tap in store.taps}
        texts, key, meta = store.rows()["labels"], store.key, store.meta
    kept = aligned.found.nonzero()[0].tolist()
    theirs = [set(";".join(texts.iloc[aligned.windows(i)]).split(";")) for i in kept]
    own = [set(labels["labels"].iloc[i]) for i in kept]
    if different := [i for i, (a, b) in enumerate(zip(theirs, own)) if not a & b]:
        i = different[0]
        raise InputError(
            f"{path}: {probed.table['file'].iloc[kept[i]]} is labelled {';'.join(sorted(theirs[i]))!r}, in {run} "
            f"{';'.join(sorted(own[i]))!r} ({len(different)} of {len(kept)} differ); the same labels wanted. Import it "
            "again with `--labels AUDIO`?"
        )
    told = f"{path.stem}: {aligned.unused} of {len(texts)} windows left out, in no {probed.unit} of {run}."
    config = {
        "model": {
            "path": meta.get("model", str(path)),
            "sha256": key.model_sha256,
            "sample_rate": key.sample_rate or None,
            "window_s": key.window_s,
            "normalise": key.normalise,
            "architecture": meta.get("architecture", {"blocks": []}),
        },
        "settings": {"pool": key.pooling, "select": key.selection},
    }
    items = replace(probed, features=features, table=probed.table.iloc[kept].reset_index(drop=True))
    return config, items, labels.iloc[kept].assign(sha256=None).reset_index(drop=True), told if aligned.unused else ""
