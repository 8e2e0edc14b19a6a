"""Tables as CSV that a spreadsheet does not run: the one writer of text that users chose, and its reader.

Excel and LibreOffice take a cell that begins with `=`, `+`, `-` or `@` for a formula, and a class folder or a file may
be called `=HYPERLINK(...)`. Such text gets an apostrophe in front, unless it is a number, and the reader takes it away
again: what was written comes back unchanged, apostrophes of the user's too.
"""

import csv
import re
from typing import Any

import pandas as pd

RUN = re.compile(r"'*[=+\-@\t\r]")  # apostrophes in front, so that escaping twice can be undone twice
# numbers to the last bit; what pandas does anyway from 3.1 on, where the option is deprecated
EXACT: dict[str, Any] = (
    {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
)


def fault_of(error: Exception) -> str:
    """What Python's reader says of a CSV, in words that help."""
    if "field larger than field limit" in str(error):
        return f"a cell longer than {csv.field_size_limit():,} characters. A quotation mark that is never closed?"
    return str(error)


def escape(value: Any) -> Any:
    """Text that a spreadsheet would run, with an apostrophe in front; anything else as it is."""
    if not isinstance(value, str) or not RUN.match(value) or _is_number(value):
        return value
    return f"'{value}"


def unescape(value: Any) -> Any:
    """The inverse of `escape`."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and RUN.match(value) else value


def write_csv(table: pd.DataFrame, path: Any = None, **options: Any) -> str | None:
    """`table.to_csv(path, **options)` with all text escaped, names of columns and of rows too."""
    return _mapped(table, escape).to_csv(path, **options)


def read_csv(path: Any, **options: Any) -> pd.DataFrame:
    """`pandas.read_csv(path, **options)`: numbers to the last bit, text as it was before `write_csv` escaped it."""
    return _mapped(pd.read_csv(path, **EXACT, **options), unescape)


def unescaped(table: pd.DataFrame) -> pd.DataFrame:
    """A table that was read by other means, with its text as it was before it was escaped."""
    return _mapped(table, unescape)


def _mapped(table: pd.DataFrame, change: Any) -> pd.DataFrame:
    kinds = pd.api.types
    text = [
        i
        for i, kind in enumerate(table.dtypes)
        if not (kinds.is_numeric_dtype(kind) or kinds.is_datetime64_dtype(kind))
    ]
    table = table.copy(deep=False)
    for i in text:
        column = table.iloc[:, i]
        changed = [change(value) for value in column]
        if any(new is not old for new, old in zip(changed, column)):
            table.isetitem(i, pd.Series(changed, dtype=column.dtype).array)
    if table.columns.nlevels == 1:
        table.columns = pd.Index([change(name) for name in table.columns], name=table.columns.name)
    if table.index.nlevels == 1 and not kinds.is_numeric_dtype(table.index.dtype):
        table.index = pd.Index([change(name) for name in table.index], name=table.index.name)
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
