"""Tables of studies, read back from their CSV."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from ...features import InputError
from ...features.csv_files import read_csv


def read_table(path: Path | str, columns: Sequence[str], text: Collection[str], what: str) -> pd.DataFrame:
    """The table that a study wrote.

    Args:
        path: the CSV.
        columns: those that it must have. text: which of them are text; numbers may have gaps.
        what: the table in words, for messages.

    Raises:
        InputError: no such file, or another table.
    """
    gaps = {name: [""] for name in columns if name not in text}
    try:
        frame = read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}, expected the CSV of {what}.") from None
    if missing := [name for name in columns if name not in frame]:
        raise InputError(f"{path}: no column {', '.join(missing)}, expected {what}. Another table?")
    return frame
