"""A small finished sweep; and made-up clips, pairs of a recording, with vectors that know as much as is wanted."""

from pathlib import Path

import numpy as np
import pandas as pd

from birdprobe.probe.sweep.sweep import sweep
from tests.tiny import tiny_backbone, tiny_dataset

GROUP_REGEX = r"^(G\d+)-"


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
    """A finished sweep of the tiny backbone on 36 clips of two windows each, two clips a recording."""
    model, audio = tiny_backbone(folder.parent / "tiny.onnx"), tiny_dataset(folder.parent / "audio", clips=12)
    how = {"sample_rate": 8000, "window_s": 1.0, "folds": 3, "group_regex": GROUP_REGEX, "unit": unit, "readout": "knn"}
    return sweep(model, audio, folder, timing=False, projection="none", draw=False, progress=False, **how).path
