"""Tables of studies, read back from their CSV."""

from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from ...features import InputError
from ...features.csv_files import read_csv


def read_table(path: Path | str, columns: Sequence[str], text: Collection[str], what: str) -> pd.DataFrame:
    """The table that a study wrote. text: columns of text; the others are numbers and may have gaps.

    InputError: no such file, or another table than `what`.
    """
    gaps = {name: [""] for name in columns if name not in text}
    try:
        frame = read_csv(path, dtype=dict.fromkeys(text, str), keep_default_na=False, na_values=gaps)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}, expected the CSV of {what}.") from None
    if missing := [name for name in columns if name not in frame]:
        raise InputError(f"{path}: no column {', '.join(missing)}, expected {what}. Another table?")
    return frame
