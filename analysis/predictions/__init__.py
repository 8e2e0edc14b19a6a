"""Tables of predictions: read, validated, lined up with the truth, scored, submitted, compared."""

from .row_ids import files
from .table import ROW_ID, aligned, check_submission, faults, read, read_predictions, read_truth, require, score, write

__all__ = [
    "ROW_ID",
    "aligned",
    "check_submission",
    "faults",
    "files",
    "read",
    "read_predictions",
    "read_truth",
    "require",
    "score",
    "write",
]
