"""A small finished sweep with its features: three classes, pairs of clips of a recording, three taps of rising worth.

What is in features.h5 is what predictions.csv was computed from, so that analyses can be checked against the sweep.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from birdprobe.analysis import knn
from birdprobe.features.store import FeatureStore, StoreKey

TAPS = {"block_00": 0.2, "block_01": 1.0, "embedding": 3.0}  # tap -> how far apart its classes lie


def clips(n_classes=3, per_class=20, siblings=2) -> pd.DataFrame:
    """label, group (siblings in a row share one), fold (groups whole)."""
    n = n_classes * per_class
    label = np.repeat([f"class {i}" for i in range(n_classes)], per_class)
    group = np.arange(n) // siblings
    return pd.DataFrame({"label": label, "group": [f"R{i:03d}" for i in group], "fold": group % 5})


def vectors(table: pd.DataFrame, apart: float, own: float = 0.0, dims: int = 4, seed: int = 0) -> np.ndarray:
    """float32 [n, dims]: a centre for each class, `apart` in units of noise, and one for each group, `own`."""
    rng = np.random.default_rng(seed)
    label, group = (np.unique(table[name], return_inverse=True)[1] for name in ("label", "group"))
    x = apart * rng.normal(size=(label.max() + 1, dims))[label] + own * rng.normal(size=(group.max() + 1, dims))[group]
    return (x + rng.normal(size=x.shape)).astype(np.float32)


def make_sweep(folder: Path, unit: str = "clip") -> Path:
    """Write config.json, predictions.csv and features.h5 of a sweep over clips of two windows each."""
    folder.mkdir(parents=True)
    table = clips()
    n = len(table)
    rows = pd.DataFrame({"clip": np.arange(n).repeat(2), "file": [f"{i:03d}.wav" for i in range(n) for _ in "ab"]})
    rows["start_s"] = np.tile([0.0, 5.0], n)
    rows = rows.assign(end_s=rows["start_s"] + 5, size=1000, sha256="0" * 64)
    for name in ("label", "group", "fold"):
        rows[name] = table[name].astype(str).to_numpy().repeat(2)
    rows["labels"] = rows["label"]
    each = table.loc[table.index.repeat(2)].reset_index(drop=True)
    features = {tap: vectors(each, apart, seed=i) for i, (tap, apart) in enumerate(TAPS.items())}
    key = StoreKey("f" * 64, tuple(TAPS), "mean", 32000, 5.0, "all", 0, "none", "float32")
    with FeatureStore.create(
        folder / "features.h5", key, {tap: x.shape[1:] for tap, x in features.items()}, {}
    ) as store:
        store.append(rows, features)
        store.finish()
    units = each.assign(clip=rows["clip"], file=rows["file"]) if unit == "window" else None
    if units is None:
        units = table.assign(clip=np.arange(n), file=rows["file"].iloc[::2].to_numpy())
        features = {tap: x.reshape(n, 2, -1).astype(float).mean(axis=1) for tap, x in features.items()}
    for tap, x in features.items():
        units[tap] = knn.predict(x.astype(np.float32), units["label"].to_numpy(), units["fold"].to_numpy())
    units.to_csv(folder / "predictions.csv", index=False)
    settings = {"k": 5, "metric": "euclidean", "unit": unit}
    (folder / "config.json").write_text(json.dumps({"settings": settings, "grouping": "column author"}))
    return folder
