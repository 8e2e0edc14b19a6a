"""Tables of predictions: one row a window, one column a class, values in 0..1. Read, validated, lined up with truth.

The form is that of a BirdCLEF submission: a CSV whose first column is `row_id` (recording's name, `_`, the window's end
in seconds), then one column a class in taxonomy order. Truth tables have the same form with 0 and 1. In memory: a
DataFrame of float64, indexed by row_id (str), the columns being the classes (str, also where they look numeric).

Reading fails only on what is no such table. What is wrong *in* a table is listed by `faults`, all of it at once.
`check_submission` does both for a file that is about to be handed in.
"""

import csv
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.csv_files import EXACT, fault_of, unescaped, write_csv
from ...features.files import check_file, write_text
from ...features.schema import checked
from .. import metrics
from .row_ids import files

ROW_ID = "row_id"
MOST_CLASSES = 50_000  # three times the widest public model; beyond, a table would be worked on for minutes
_MISSING = ("", "nan", "NaN", "NAN", "NA", "null", "None")
_METRICS = {"macro_auc": metrics.macro_auc, "cmap": metrics.cmap, "top1": metrics.top1}


def read(path: Path | str) -> pd.DataFrame:
    """The table in a CSV, rows and columns in the file's order; empty cells become nan.

    InputError: no such file, not UTF-8 text, an empty file, a first column other than row_id, no class or a doubled
    class, no row, a row with too many cells, a cell that is no number.
    """
    path = Path(path)
    check_file(path, "a CSV of predictions")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader(file), [])
        if not header or header[0] != ROW_ID:
            found = repr(header[0]) if header else "an empty file"
            raise InputError(f"{path}: {found} found as the first column, expected {ROW_ID}. Another kind of table?")
        classes = header[1:]
        if not classes:
            raise InputError(f"{path}: no class columns found beside {ROW_ID}. Is the separator a comma?")
        if len(classes) > MOST_CLASSES:
            raise InputError(f"{path}: {len(classes):,} class columns found, expected at most {MOST_CLASSES:,}.")
        if not all(name.strip() for name in classes):
            at = next(i for i, name in enumerate(header, 1) if not name.strip())
            raise InputError(
                f"{path}, header: column {at} without a name, expected a class. A comma at the line's end?"
            )
        doubled = sorted(name for name, n in Counter((*classes, ROW_ID)).items() if n > 1)
        if doubled:
            raise InputError(f"{path}, header: column {doubled[0]!r} found twice ({len(doubled)} such), expected once.")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells beyond the last column would be dropped
            table = pd.read_csv(
                path,
                encoding="utf-8-sig",
                index_col=False,
                dtype={ROW_ID: str},
                keep_default_na=False,  # a row may be called NA
                na_values={name: list(_MISSING) for name in classes},
                low_memory=False,
                **EXACT,  # values and their order as written
            )
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}, expected a CSV of predictions.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text, expected a CSV of predictions. A spreadsheet or an archive?"
        ) from error
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV: {fault_of(error)}") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: rows that do not fit the header of {len(header)} columns: {error}") from error
    if not len(table):
        raise InputError(f"{path}: no rows found below the header.")
    table = unescaped(table.set_index(ROW_ID))
    _numeric(path, table)
    return table.astype(np.float64)


def write(path: Path | str, row_ids: Sequence[str], values: np.ndarray, classes: Sequence[str]) -> None:
    """A table [rows, K] in the place of what is at `path`, for `read`; of equal row ids the first is kept."""
    index = pd.Index(row_ids, name=ROW_ID)
    table = pd.DataFrame(values, index=index, columns=list(classes))
    write_text(path, write_csv(table[~index.duplicated()], float_format="%.9g") or "")


def _numeric(path, table):
    """InputError for the first cell that is no number."""
    for name in table.columns[[not pd.api.types.is_any_real_numeric_dtype(kind) for kind in table.dtypes]]:
        column = table[name]
        if pd.api.types.is_bool_dtype(column):
            continue
        try:
            bad = column.notna() & pd.to_numeric(column, errors="coerce").isna()
        except OverflowError:  # an integer that no float holds, which "coerce" does not coerce
            bad = column.map(_beyond)
        if not bad.any():  # True and nothing, or integers beyond 64 bits
            continue
        row = column[bad].index[0]
        raise InputError(f"{path}, row {row}, column {name!r}: expected a number, got {column[bad].iloc[0]!r}.")


def _beyond(value: object) -> bool:
    """Whether no float is as large."""
    try:
        return not np.isfinite(float(str(value)))
    except ValueError:
        return True


def faults(
    table: pd.DataFrame,
    row_ids: Collection[str] | None = None,
    classes: Collection[str] | None = None,
    rows_per_file: int | None = None,
    order: bool = True,
) -> tuple[str, ...]:
    """Everything that is wrong with a table, one line each; empty if nothing is.

    Always: blank and doubled row ids, doubled columns, values that are missing, infinite or outside 0..1. With
    row_ids or classes: missing and unknown rows or columns and, where `order` matters, another order. With
    rows_per_file: recordings with any other number of rows (12 for a minute in 5-s windows).
    """
    found = []
    ids = pd.Index(table.index)
    blank = int((ids.astype(str).str.strip() == "").sum())
    if blank:
        found.append(f"rows: {blank} without a {ROW_ID}")
    twice = ids[ids.duplicated()].unique()
    if len(twice):
        found.append(f"rows: {_some(twice)} doubled")
    columns_twice = table.columns[table.columns.duplicated()].unique()
    if len(columns_twice):
        found.append(f"columns: {_some(columns_twice)} doubled")
    if row_ids is not None:
        found += _compared("rows", ids.unique(), pd.Index(row_ids), order and not len(twice))
    if classes is not None:
        found += _compared("columns", table.columns.unique(), pd.Index(classes), order and not len(columns_twice))
    if rows_per_file is not None:
        counts = pd.Series(files(ids)).value_counts(sort=False)
        wrong = counts[counts != rows_per_file]
        if len(wrong):
            found.append(
                f"rows: {len(wrong)} recordings without {rows_per_file} rows, the first {wrong.index[0]!r} with "
                f"{wrong.iloc[0]}"
            )
    values = table.to_numpy(dtype=np.float64)
    for what, bad in (
        ("missing (NaN)", np.isnan(values)),
        ("infinite", np.isinf(values)),
        ("outside 0..1", np.isfinite(values) & ((values < 0) | (values > 1))),
    ):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            found.append(
                f"values: {int(bad.sum())} {what}, the first in row {ids[row]!r}, column {table.columns[column]!r}: "
                f"{values[row, column]:.6g}"
            )
    return tuple(found)


def _compared(what, found: pd.Index, wanted: pd.Index, order) -> list[str]:
    missing, unknown = wanted[~wanted.isin(found)], found[~found.isin(wanted)]
    faults = [
        f"{what}: {_some(names)} {how}" for names, how in ((missing, "missing"), (unknown, "unknown")) if len(names)
    ]
    common = found[found.isin(wanted)]
    expected = wanted[wanted.isin(found)]
    if order and len(common) == len(expected) and not common.equals(expected):
        at = int(np.flatnonzero(common != expected)[0])
        faults.append(f"{what}: in another order, the first {common[at]!r}, expected {expected[at]!r}")
    return faults


def _some(names) -> str:
    """`1 ('a')` or `3 (the first 'a')`."""
    return f"{len(names)} ({'the first ' if len(names) > 1 else ''}{names[0]!r})"


def require(table: pd.DataFrame, place: str, **wanted) -> None:
    """InputError that names the place and up to three faults, when `faults(table, **wanted)` finds any."""
    found = faults(table, **wanted)
    if found:
        more = f"; and {len(found) - 3} more faults" if len(found) > 3 else ""
        raise InputError(f"{place}: {'; '.join(found[:3])}{more}.")


def check_submission(
    path: Path | str, row_ids: Collection[str], classes: Collection[str], rows_per_file: int | None = None
) -> pd.DataFrame:
    """The table in a CSV, which has exactly these rows and columns in this order, finite and in 0..1.

    InputError: whatever `read` refuses; else up to three of its `faults`, and how many more there are.
    """
    table = read(path)
    require(table, str(path), row_ids=row_ids, classes=classes, rows_per_file=rows_per_file)
    return table


@checked
def read_predictions(path: Path | str) -> pd.DataFrame:
    """`read`, and InputError for any fault that the table has by itself."""
    table = read(path)
    require(table, str(path))
    return table


def read_truth(path: Path | str) -> pd.DataFrame:
    """`read_predictions` of a table that holds nothing but 0 and 1; bool."""
    table = read_predictions(path)
    between = (table.to_numpy() > 0) & (table.to_numpy() < 1)
    if between.any():
        row, column = np.argwhere(between)[0]
        raise InputError(
            f"{path}, row {table.index[row]}, column {table.columns[column]!r}: expected 0 or 1, "
            f"got {table.to_numpy()[row, column]:g}. Are predictions and truth swapped?"
        )
    return table.astype(bool)


def aligned(predictions: pd.DataFrame, truth: pd.DataFrame, place: str = "predictions") -> pd.DataFrame:
    """The predictions with rows and columns in the order of the truth.

    InputError, naming the place: rows or columns that are missing, doubled or unknown, bad values.
    """
    require(predictions, place, row_ids=truth.index, classes=truth.columns, order=False)
    return predictions.loc[truth.index, truth.columns]


@checked
def score(predictions: Path | str, truth: Path | str, n_boot: int = 1000, seed: int = 0) -> dict:
    """`metrics.evaluate` of one CSV against another, and n_files.

    With two recordings or more also macro_auc_lo, macro_auc_hi and so on for cmap and top1: 95 % intervals from a
    bootstrap over recordings. InputError: whatever `read_predictions`, `read_truth` and `aligned` refuse.
    """
    wanted = read_truth(truth)
    found = aligned(read_predictions(predictions), wanted, str(predictions))
    y_true, scores, recordings = wanted.to_numpy(), found.to_numpy(), files(wanted.index)
    result = metrics.evaluate(y_true, scores, list(wanted.columns))
    result["n_files"] = len(np.unique(recordings))
    if result["n_files"] > 1:
        for name, metric in _METRICS.items():
            _, result[f"{name}_lo"], result[f"{name}_hi"] = metrics.bootstrap(
                metric, y_true, scores, recordings, n_boot, seed
            )
    return result
