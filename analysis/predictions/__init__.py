"""Tables of predictions: read, validated, lined up with the truth, scored, submitted, compared."""

from .table import aligned, check_submission, faults, read, read_predictions, read_truth, require, score

__all__ = ["aligned", "check_submission", "faults", "read", "read_predictions", "read_truth", "require", "score"]
