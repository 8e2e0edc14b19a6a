"""Delimited text as it comes: commas, semicolons or tabs; UTF-8, UTF-16 or Windows-1252. Every field stays a string."""

import csv
import difflib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ... import InputError
from ...csv_files import fault_of
from ...files import check_regular

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
MOST_COLUMNS = 1000  # of a table without a column a class
MOST_CLASSES = 20_000  # of a table with one column a class
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl")


@dataclass(frozen=True)
class TextTable:
    """columns: as they are spelled. rows: (line of the file, column -> text). delimiter: None in a Parquet file."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    delimiter: str | None
    warnings: tuple[str, ...] = ()


def read_text(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file and a warning where it is no UTF-8: then it is read as Windows-1252, as Excel writes it.

    InputError: it cannot be read, or is text in neither.
    """
    check_regular(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig"), ()
    except UnicodeDecodeError as error:
        if wide or b"\0" in content:
            raise InputError(f"{path}: not a readable UTF-8 CSV ({error}).") from error
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: neither UTF-8 nor Windows-1252 ({error}). Save it as UTF-8.") from error
    odd = next(word for word in re.findall(r"[^\s,;\"]+", text) if not word.isascii())
    return text, (f"{path}: not UTF-8, read as Windows-1252 (such as '{odd}'). Save it as UTF-8 if that is wrong.",)


def read_table(path: Path) -> TextTable:
    """A table with a header, delimited by what parts its header into most columns; or a Parquet file.

    Rows of commas alone, and columns without a name or a value, are what a spreadsheet leaves behind: passed over.
    InputError: it cannot be read, names a column twice, or a row has another number of fields.
    """
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    text, warnings = read_text(path)
    lines = text.splitlines(keepends=True)
    skipped = 1 if lines and re.fullmatch(r"sep=.\s*", lines[0]) else 0  # Excel's first line
    header = lines[skipped] if len(lines) > skipped else ""
    if not "".join(lines[skipped:]).strip():
        raise InputError(f"{path}: the file is empty, expected a header and rows.")
    delimiter = max(DELIMITERS, key=lambda one: _width(header, one))
    try:
        # Raven and Audacity quote nothing: a lone quotation mark in a note is text
        rules: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if delimiter == "\t" else {}
        text = "".join(lines[skipped:])
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter, **rules)
        columns = next(reader, [])
        if len(columns) > MOST_CLASSES:
            raise InputError(f"{path}: {len(columns):,} columns, expected at most {MOST_CLASSES:,}. Predictions?")
        rows = [(reader.line_num + skipped, fields) for fields in reader if any(field.strip() for field in fields)]
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV: {fault_of(error)}") from error
    while columns and not columns[-1].strip() and not any("".join(fields[len(columns) - 1 :]) for _, fields in rows):
        columns = columns[:-1]
        rows = [(line, fields[: len(columns)]) for line, fields in rows]
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}: expected every name once, got columns {', '.join(columns)}.")
    for line, fields in rows:
        if len(fields) != len(columns):
            cause = "An unquoted comma?" if delimiter == "," else f"Fields are parted by {DELIMITERS[delimiter]}."
            raise InputError(f"{path}, line {line}: {len(fields)} fields, expected {len(columns)}. {cause}")
    named = tuple((line, dict(zip(columns, fields))) for line, fields in rows)
    return TextTable(path, tuple(columns), named, delimiter, warnings)


def _width(header: str, delimiter: str) -> int:
    """Into how many columns a delimiter parts a header."""
    try:
        return len(next(csv.reader([header], delimiter=delimiter), []))
    except csv.Error:  # one field, longer than any name
        return 1


def read_csv(
    path: Path, wanted: Sequence[str], optional: Sequence[str] = (), groups_column: str | None = None
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """(columns, [(line, row)]), every field a string: a table reader's guesses turn labels into numbers and NaN."""
    table = read_table(path)
    require_columns(table, wanted, optional, groups_column)
    return list(table.columns), list(table.rows)


def require_columns(
    table: TextTable, wanted: Sequence[str], optional: Sequence[str] = (), groups_column: str | None = None
) -> None:
    """InputError where a column is missing or looks mistyped, or where no row follows the header."""
    path, columns = table.path, table.columns
    if len(columns) > MOST_COLUMNS:
        raise InputError(f"{path}: {len(columns):,} columns, expected at most {MOST_COLUMNS:,}. Predictions?")
    for name in columns:
        close = difflib.get_close_matches(name.strip().lower(), optional, n=1, cutoff=0.75)
        if close and name not in (
            *wanted,
            *optional,
            groups_column,
        ):  # a typo here would drop the groups without a word
            raise InputError(f"{path}: expected '{close[0]}', got column '{name}'. Mistyped?")
    if missing := [name for name in wanted if name not in columns]:
        raise InputError(
            f"{path}: expected {', '.join(wanted)}{' and, if known, ' * bool(optional)}{', '.join(optional)}, "
            f"got columns {', '.join(columns) or '(none)'}. "
            f"No column {', '.join(missing)}: {'not separated by commas' if len(columns) < 2 else 'mistyped'}?"
        )
    if groups_column is not None and groups_column not in columns:
        raise no_group(path, columns, groups_column)
    if not table.rows:
        raise InputError(f"{path}: no rows below the header.")


def no_group(path: Path, columns: Sequence[str], groups_column: str) -> InputError:
    """What to say of a `--groups` that the table does not have."""
    folded = {name.strip().casefold(): name for name in columns}
    close = difflib.get_close_matches(groups_column.strip().casefold(), folded, n=1)
    meant = f" Meant {folded[close[0]]}?" if close else ""
    return InputError(f"{path}: got --groups {groups_column}, expected one of its columns {', '.join(columns)}.{meant}")


def _read_parquet(path: Path) -> TextTable:
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise InputError(f"{path}: Parquet needs pyarrow: pip install 'birdprobe[parquet]'") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}).") from error
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=None if frame.index.names != [None] else "filepath")
    texts = {str(name): [_as_text(value) for value in column] for name, column in frame.items()}
    rows = tuple((i + 1, dict(zip(texts, values))) for i, values in enumerate(zip(*texts.values())))
    return TextTable(path, tuple(texts), rows, None)


def _as_text(value: object) -> str:
    """Lists joined by `;`, whole numbers without a point, nothing where a value is missing."""
    if isinstance(value, np.ndarray | list | tuple):
        return ";".join(_as_text(one) for one in value)
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return ""
    return str(value)
