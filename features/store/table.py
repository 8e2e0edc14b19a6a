"""The row table of a store: one row per window, saying which piece of which file it is and what is known about it.

On disk a table is text, one JSON array per line. HDF5's own strings of any length are not crash-safe: they lie in a
heap that is written later than what points to it, and after a kill the file refuses to overwrite them.
"""

import json

import numpy as np
import pandas as pd

ROW_COLUMNS = (
    "clip",  # int64, index of the recording in its table
    "file",  # path below the AUDIO root, posix
    "start_s",  # seconds from the start of the file
    "end_s",
    "label",  # the primary one
    "labels",  # all of them, joined by ;
    "group",  # clips that must not be split apart; None when unknown
    "fold",  # given fold; None when none was given
    "size",  # int64, bytes of the audio file
    "sha256",  # of the audio file
)
SKIP_COLUMNS = ("clip", "file", "reason")

NUMBERS = {"clip": int, "start_s": float, "end_s": float, "size": int}


def to_records(table: pd.DataFrame) -> list[list]:
    """A table with ROW_COLUMNS as plain Python values; a missing text (None, or NaN, as pandas likes) is None."""
    columns = []
    for name in ROW_COLUMNS:
        if name in NUMBERS:
            columns.append([NUMBERS[name](value) for value in table[name]])
        else:
            columns.append([value if isinstance(value, str) else None for value in table[name]])
    return [list(record) for record in zip(*columns)]


def to_table(records: list[list], names=ROW_COLUMNS) -> pd.DataFrame:
    """The inverse. Text columns have dtype object, so that a missing group is None whatever the pandas."""
    if any(not isinstance(record, list) or len(record) != len(names) for record in records):
        raise ValueError(f"a record of another shape than {', '.join(names)}")
    columns = list(zip(*records)) if records else [()] * len(names)
    for name, column in zip(names, columns):
        if odd := {type(value) for value in column} - ({int, float} if name in NUMBERS else {str, type(None)}):
            raise ValueError(f"{name} holds {odd.pop().__name__}")
    types: dict[type | None, type] = {int: np.int64, float: np.float64, None: object}
    return pd.DataFrame({name: pd.Series(v, dtype=types[NUMBERS.get(name)]) for name, v in zip(names, columns)})


def encode(records: list[list]) -> np.ndarray:
    """Records as text, uint8 [bytes]. ASCII: file names that are not UTF-8 become escaped surrogates."""
    return np.frombuffer("".join(json.dumps(record) + "\n" for record in records).encode("ascii"), np.uint8)


def decode(text: np.ndarray) -> list[list]:
    """The inverse; ValueError for damaged text."""
    return json.loads("[" + ",".join(text.tobytes().decode("ascii").splitlines()) + "]")
