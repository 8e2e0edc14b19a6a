"""Small stores for tests of heads: made-up features in which the class can be found, some taps better than others."""

from pathlib import Path

import numpy as np
import pandas as pd

from birdprobe.features.store import FeatureStore, StoreKey

WIDTHS = {"block_00": (4, 2), "block_01": (6,), "block_02": (6,), "embedding": (8,)}
SIGNAL = {"block_00": 0.3, "block_01": 2.0, "block_02": 1.0, "embedding": 1.5}
KEY = StoreKey("a" * 64, tuple(WIDTHS), "mean", 32000, 5.0, "all", 0, "none")


def make_rows(classes: int = 3, clips: int = 10, windows: int = 2, prefix: str = "c") -> pd.DataFrame:
    """`clips` clips of each class, two clips a group; every third clip has the next class as its secondary label."""
    rows = []
    for clip in range(classes * clips):
        k = clip % classes
        label, second = f"s{k}", f"s{(k + 1) % classes}"
        for window in range(windows):
            rows.append(
                {
                    "clip": clip,
                    "file": f"{prefix}{clip:03d}.ogg",
                    "start_s": 5.0 * window,
                    "end_s": 5.0 * (window + 1),
                    "label": label,
                    "labels": f"{label};{second}" if clip // classes % 3 == 2 else label,
                    "group": f"g{clip // classes // 2}{prefix}{k}",
                    "fold": None,
                    "size": 1000 + clip,
                    "sha256": f"{clip:064d}",
                }
            )
    return pd.DataFrame(rows)


def make_store(path: Path, rows: pd.DataFrame | None = None, key: StoreKey = KEY, seed: int = 0, finish=True) -> Path:
    """A store whose features point, per tap, in a direction of each label."""
    rows = make_rows() if rows is None else rows
    rng = np.random.default_rng(seed)
    names = sorted({name for text in rows["labels"] for name in text.split(";") if name})
    truth = np.array([[name in text.split(";") for name in names] for text in rows["labels"]], dtype=float)
    features = {}
    for i, (tap, dims) in enumerate(WIDTHS.items()):
        directions = np.random.default_rng([1, i]).normal(size=(len(names), int(np.prod(dims))))
        values = 5 + SIGNAL[tap] * truth @ directions + rng.normal(size=(len(rows), int(np.prod(dims))))
        features[tap] = values.reshape(len(rows), *dims).astype(np.float32)
    with FeatureStore.create(path, key, WIDTHS, {"made": "up"}) as store:
        store.append(rows, features)
        if finish:
            store.finish()
    return path
