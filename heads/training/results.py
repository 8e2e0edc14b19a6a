"""The folder of a training run: accepted or refused before anything is computed, written when everything is.

config.json        everything resolved; written last, so its presence says that the run is whole
heads/HEAD-foldK   .safetensors + .json, one checkpoint a head and fold
oof.npz            out-of-fold probabilities: array `HEAD` [rows, K] per head, `labels` [K], `row_COLUMN` [rows]
oof/HEAD.csv       the same of the scored source in the form of a submission, so that heads can be blended and compared;
                   oof/truth.csv: what they are compared with
scores.csv         per head, source, unit, and fold or pooled; differences.csv: paired, against the linear head
tap_weights.csv    head, fold, tap, weight; table.md: the pooled scores for people
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...analysis import predictions
from ...analysis.predictions.row_ids import window_ids
from ...features.csv_files import write_csv
from ...features.files import write_json
from ...features.output_folder import Kind, OutputFolder
from ...finetune.data.targets import multi_hot
from ..dataset import label_set
from .scores import table

KIND = Kind(
    "train",
    "a finished run",
    (
        *("oof.npz", "scores.csv", "differences.csv", "tap_weights.csv", "table.md"),
        *("selection.csv", "agreement.csv", "tap_scores.csv", "agreement.md"),  # written by those who go on from here
        *("figures/agreement.png", "figures/agreement.pdf", "oof/truth.csv"),
        *("oof/*.csv", "heads/*-fold*.json", "heads/*-fold*.safetensors"),
    ),
    ("stores", "scored"),
)
ROW_COLUMNS = ("source", "file", "start_s", "end_s", "label", "labels", "group", "fold")


def check(run: Path, overwrite: bool, heads: Sequence[str] = (), folds: int = 0) -> None:
    """Accept or refuse the folder, see `OutputFolder.check`. heads: their names. Nothing is changed."""
    checkpoints = [
        f"heads/{name}-fold{i}.{end}" for name in heads for i in range(folds) for end in ("json", "safetensors")
    ]
    OutputFolder(run, KIND).check(overwrite, [*checkpoints, *(f"oof/{name}.csv" for name in heads)])


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
    write_tables(run / "oof", rows, probabilities, labels, config["scored"]["source"])
    for name, frame in (("scores", scores), ("differences", differences), ("tap_weights", tap_weights)):
        write_csv(frame, run / f"{name}.csv", index=False, float_format="%.6g")
    scored = config["scored"]
    (run / "table.md").write_text(table(scores, scored["unit"], scored["source"]).to_markdown() + "\n")
    write_json(run / "config.json", config)


def write_tables(
    folder: Path, rows: pd.DataFrame, probabilities: dict[str, np.ndarray], labels: Sequence[str], source: str
) -> None:
    """FOLDER/HEAD.csv of every head and FOLDER/truth.csv, for the rows of one source."""
    scored = (rows["source"] == source).to_numpy()
    held = rows[scored]
    index = window_ids(held["file"], held["end_s"])
    truth = multi_hot([label_set(text) for text in held["labels"]], labels).astype(int)
    for name, values in {**{name: x[scored] for name, x in probabilities.items()}, "truth": truth}.items():
        predictions.write(folder / f"{name}.csv", index, values, labels)


def _plain(column: pd.Series) -> np.ndarray:
    """Numbers as they are, text as fixed-width unicode ("" where it is missing), so that nothing is pickled."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy()
    return np.array(["" if value is None or value != value else str(value) for value in column], dtype=str)
