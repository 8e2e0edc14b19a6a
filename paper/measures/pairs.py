"""Two tables of predictions against the same truth."""

from collections.abc import Callable
from pathlib import Path

from ...analysis import metrics, predictions
from ...analysis.predictions.row_ids import files
from .measure import SEED


def paired(metric: Callable, truth: Path, one: Path, other: Path) -> tuple[float, float, float]:
    """metric of a table of predictions less that of another on the truth's rows, drawn by recordings."""
    y = predictions.read(truth)
    ours, theirs = (predictions.aligned(predictions.read(path), y, str(path)).to_numpy() for path in (one, other))
    return metrics.paired(metric, y.to_numpy(dtype=bool), ours, theirs, files(y.index), seed=SEED)
