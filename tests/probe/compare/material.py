"""What the sweeps that are compared have in common, and a copy of one that is changed."""

import shutil
from pathlib import Path

import pandas as pd

SETTINGS = {
    **{"sample_rate": 8000, "window_s": 1.0, "folds": 3, "group_regex": r"^(G\d+)-", "timing": False},
    **{"projection": "none", "draw": False, "progress": False},
}
BEST_LAST = (
    *("vs_best_last", "vs_best_last_lo", "vs_best_last_hi"),
    *("vs_best_last_p", "vs_best_last_p_adjusted"),
)


def copy_of(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to


def edit(run: Path, change) -> Path:
    """A run whose predictions.csv went through `change`."""
    table = pd.read_csv(run / "predictions.csv", dtype={"group": str})
    change(table).to_csv(run / "predictions.csv", index=False)
    return run
