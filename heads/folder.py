"""The folder of a training run: accepted or refused before anything is computed, written when everything is.

config.json        everything resolved; written last, so its presence says that the run is whole
heads/HEAD-foldK   .safetensors + .json, one checkpoint a head and fold
oof.npz            out-of-fold probabilities: array `HEAD` [rows, K] per head, `labels` [K], `row_COLUMN` [rows]
oof.csv            the same of the first head, as text: file, start_s, end_s, label, fold, one column a class
scores.csv         per head, source, unit, and fold or pooled; differences.csv: paired, against the linear head
tap_weights.csv    head, fold, tap, weight; table.md: the pooled scores for people
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from features import InputError
from heads.scores import table

OURS = (
    *("config.json", "oof.npz", "oof.csv", "scores.csv", "differences.csv", "tap_weights.csv", "table.md"),
    *("selection.csv", "agreement.csv", "tap_scores.csv", "agreement.md"),  # written by those who go on from here
    *("figures/agreement.png", "figures/agreement.pdf"),
)
ROW_COLUMNS = ("source", "file", "start_s", "end_s", "label", "labels", "group", "fold")


def check(run: Path, overwrite: bool) -> None:
    """Refuse what is no folder for a new run. Nothing is changed."""
    if run.exists() and not run.is_dir():
        raise InputError(f"{run}: a file found, a folder wanted for the run.")
    if (run / "ranking.csv").exists():
        raise InputError(f"{run}: a sweep's run found, another folder wanted for the heads.")
    if (ours := _ours(run)) and not overwrite:
        raise InputError(
            f"{run}: files of a run ({', '.join(sorted(path.name for path in ours)[:3])}) found, a new folder wanted. "
            "Use --overwrite to replace them."
        )


def clear(run: Path) -> None:
    """Make the folder; of an old run only the files of a training are removed. Call it once nothing can be refused."""
    for path in _ours(run):
        path.unlink()
    run.mkdir(parents=True, exist_ok=True)


def _ours(run: Path) -> list[Path]:
    checkpoints = [path for path in (run / "heads").glob("*-fold*.*") if path.suffix in (".json", ".safetensors")]
    return [run / name for name in OURS if (run / name).exists()] + checkpoints


def write(
    run: Path,
    config: dict,
    rows: pd.DataFrame,
    probabilities: dict[str, np.ndarray],
    labels: Sequence[str],
    scores: pd.DataFrame,
    differences: pd.DataFrame,
    tap_weights: pd.DataFrame,
) -> None:
    """The run's files besides the checkpoints. rows [n] and probabilities [n, K] of every row that was held out."""
    columns = {f"row_{name}": rows[name] for name in ROW_COLUMNS}
    np.savez(
        run / "oof.npz",
        allow_pickle=False,
        labels=np.array(labels, dtype=str),
        **probabilities,
        **{name: _plain(column) for name, column in columns.items()},
    )
    first = pd.DataFrame(next(iter(probabilities.values())), columns=list(labels), index=rows.index)
    pd.concat([rows[["file", "start_s", "end_s", "label", "fold"]], first], axis=1).to_csv(
        run / "oof.csv", index=False, float_format="%.6g"
    )
    for name, frame in (("scores", scores), ("differences", differences), ("tap_weights", tap_weights)):
        frame.to_csv(run / f"{name}.csv", index=False, float_format="%.6g")
    scored = config["scored"]
    (run / "table.md").write_text(table(scores, scored["unit"], scored["source"]).to_markdown() + "\n")
    (run / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def _plain(column: pd.Series) -> np.ndarray:
    """Numbers as they are, text as fixed-width unicode ("" where it is missing), so that nothing is pickled."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return np.array(["" if value is None or value != value else str(value) for value in column], dtype=str)
