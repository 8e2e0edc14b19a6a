"""Labels as targets: one column a class, 1 for every label of a row."""

from collections.abc import Collection, Sequence

import numpy as np

from ...features import InputError


def multi_hot(
    rows: Sequence[Sequence[str]],
    labels: Sequence[str],
    names: Sequence[str] | None = None,
    no_class: Collection[str] = (),
) -> np.ndarray:
    """Targets of rows with any number of labels, float32 [n, K] of 0 and 1. labels: names of the K columns.

    names: of the rows, for messages; "row 0", "row 1", ... without them. no_class: labels that need no column, and
    count where they have one. InputError: a label without a column.
    """
    at = {label: column for column, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.float32)
    for i, found in enumerate(rows):
        for label in found:
            if label in at:
                targets[i, at[label]] = 1.0
            elif label not in no_class:
                place = f"row {i}" if names is None else names[i]
                raise InputError(
                    f"{place}: expected one of the {len(labels)} classes, got label {label!r}. Another taxonomy?"
                )
    return targets
