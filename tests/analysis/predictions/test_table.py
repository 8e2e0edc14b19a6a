"""Prediction tables: round trips, every fault with its reason, and the score of a file against its truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.analysis import metrics, predictions
from birdprobe.features import InputError

CLASSES = ("47158son01", "1161364", "ashgre1")  # one looks numeric
FILES = tuple(f"BC2026_Test_{i:04d}_S01_20260512_050000" for i in (1, 2))
ROWS = tuple(f"{file}_{end}" for file in FILES for end in range(5, 65, 5))


def table(seed=0):
    values = np.random.default_rng(seed).random((len(ROWS), len(CLASSES)))
    return pd.DataFrame(values, index=pd.Index(ROWS, name="row_id"), columns=list(CLASSES))


def faults(changed):
    return predictions.faults(changed, row_ids=ROWS, classes=CLASSES, rows_per_file=12)


def test_a_good_table_has_no_faults_and_survives_the_file(tmp_path):
    path = tmp_path / "submission.csv"
    table().to_csv(path)
    read = predictions.read_predictions(path)
    pd.testing.assert_frame_equal(read, table(), check_exact=True)
    assert list(read.columns) == list(CLASSES) and faults(read) == ()


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(names, min_size=1, max_size=6, unique=True),
    classes=st.lists(names.filter(lambda name: name != "row_id"), min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_names_survive_the_file(tmp_path_factory, rows, classes, seed):
    path = tmp_path_factory.mktemp("any") / "p.csv"
    values = np.random.default_rng(seed).random((len(rows), len(classes)))
    wanted = pd.DataFrame(values, index=pd.Index(rows, name="row_id"), columns=classes)
    wanted.to_csv(path)
    read = predictions.read_predictions(path)
    assert list(read.index) == rows and list(read.columns) == classes
    np.testing.assert_array_equal(read.to_numpy(), values)


def with_value(value, row=3, column=1):
    changed = table()
    changed.iat[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (table().drop(index=ROWS[3]), ["rows: 1 ('BC2026_Test_0001_S01_20260512_050000_20') missing", "with 11"]),
        (pd.concat([table(), table().iloc[[3]]]), [f"rows: 1 ({ROWS[3]!r}) doubled", "with 13"]),
        (
            table()[["1161364", "47158son01", "ashgre1"]],
            ["columns: in another order, the first '1161364', expected '47158son01'"],
        ),
        (with_value(np.nan), [f"values: 1 missing (NaN), the first in row {ROWS[3]!r}, column '1161364'"]),
        (with_value(1.2), ["values: 1 outside 0..1", "1.2"]),
        (with_value(-1e-9), ["values: 1 outside 0..1", "-1e-09"]),
        (with_value(np.inf), ["values: 1 infinite"]),
        (table().assign(nocall=0.1), ["columns: 1 ('nocall') unknown"]),
        (table().rename(columns={"1161364": " 1161364"}), ["('1161364') missing", "(' 1161364') unknown"]),
        (table().drop(columns=list(CLASSES[:2])), ["columns: 2 (the first '47158son01') missing"]),
        (table().iloc[::-1], ["rows: in another order"]),
        (table().rename(index={ROWS[0]: ""}), ["rows: 1 without a row_id", "missing", "('') unknown"]),
        (pd.concat([table(), table()[["ashgre1"]]], axis=1), ["columns: 1 ('ashgre1') doubled"]),
    ],
    ids=lambda value: None if isinstance(value, list) else "",
)
def test_each_fault_has_its_reason(changed, wanted):
    found = faults(changed)
    for text in wanted:
        assert any(text in fault for fault in found), found
    assert all("\n" not in fault for fault in found)
    with pytest.raises(InputError, match=r"sub\.csv: (rows|columns|values): "):
        predictions.require(changed, "sub.csv", row_ids=ROWS, classes=CLASSES, rows_per_file=12)


def test_one_fault_is_one_fault():
    # a missing column is not also "another order"; a NaN is not also "outside 0..1"
    assert len(faults(table().drop(columns="1161364"))) == 1
    assert len(faults(with_value(np.nan))) == len(faults(with_value(np.inf))) == 1
    assert len(faults(table().iloc[::-1])) == 1
    assert len(predictions.faults(pd.concat([table(), table().iloc[[3]]]), row_ids=ROWS, classes=CLASSES)) == 1
    assert len(faults(table()[[*CLASSES, CLASSES[0]]])) == 1


def test_many_faults_are_told_briefly():
    bad = with_value(np.nan).drop(index=ROWS[0]).assign(x=3.0, y=-np.inf)
    assert len(faults(bad)) == 6
    with pytest.raises(InputError, match="and 3 more faults"):
        predictions.require(bad, "p", row_ids=ROWS, classes=CLASSES, rows_per_file=12)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "an empty file found as the first column, expected row_id"),
        ("id,a\nx,1\n", "'id' found as the first column"),
        ("row_id;a;b\nx;1;2\n", "'row_id;a;b' found as the first column"),
        ("row_id\nx\n", "no class columns"),
        ("row_id,a,b,a\nx,1,1,1\n", "column 'a' found twice"),
        ("row_id,row_id\nx,1\n", "column 'row_id' found twice"),
        ("row_id,a,\nx,1,0\n", r"header: column 3 without a name, expected a class. A comma at the line's end\?"),
        ("row_id,,a\nx,1,0\n", "header: column 2 without a name"),
        ("row_id,a\nx,True\ny,\n", r"values: 1 missing \(NaN\), the first in row 'y'"),
        ("row_id,a\nx,99999999999999999999999\n", r"values: 1 outside 0\.\.1, .*: 1e\+23"),  # beyond 64 bits
        ("row_id,a\n", "no rows found"),
        ("row_id,a\nx,1\ny,1,2\n", "rows that do not fit the header of 2 columns"),
        ("row_id,a\nx,1,2\n", "rows that do not fit the header of 2 columns"),
        ("row_id,a,b\nx,1,0.5\ny,1,high\n", "row y, column 'b': expected a number.*got 'high'"),
        ("row_id,a\nx,\n", r"values: 1 missing \(NaN\)"),
        ("row_id,a,b\nx,1\n", r"values: 1 missing \(NaN\), the first in row 'x', column 'b'"),
        ("row_id,a\nx,0.1\nx,0.2\n", r"rows: 1 \('x'\) doubled"),
        ("row_id,a\nx,7\n", "values: 1 outside 0..1"),
    ],
)
def test_files_that_are_no_predictions(tmp_path, text, match):
    path = tmp_path / "p.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=match) as caught:
        predictions.read_predictions(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


# the validator from a file: every single fault that a submission may have, anywhere in it


def lines():
    """A submission as text, header first: the cells of each line."""
    return [
        ["row_id", *CLASSES],
        *([row, *map(repr, values)] for row, values in zip(ROWS, table().to_numpy().tolist())),
    ]


def missing_row(cells, row, column):
    del cells[row]
    return rf"rows: 1 \('{ROWS[row - 1]}'\) missing"


def doubled_row(cells, row, column):
    cells.append(cells[row])
    return rf"rows: 1 \('{ROWS[row - 1]}'\) doubled"


def reordered_column(cells, row, column):
    other = column % len(CLASSES) + 1
    for line in cells:  # values and names together: the scores of each class are right, their place is not
        line[column], line[other] = line[other], line[column]
    low, high = sorted((column, other))
    return f"columns: in another order, the first '{CLASSES[high - 1]}', expected '{CLASSES[low - 1]}'"


def reordered_row(cells, row, column):
    other = row % len(ROWS) + 1
    cells[row], cells[other] = cells[other], cells[row]
    return "rows: in another order"


def value(text, reason):
    def change(cells, row, column):
        cells[row][column] = text
        return rf"{reason}, the first in row '{ROWS[row - 1]}', column '{CLASSES[column - 1]}'"

    return change


def unknown_column(cells, row, column):
    for at, line in enumerate(cells):
        line.insert(column, "0.5" if at else "nocall")
    return r"columns: 1 \('nocall'\) unknown"


def missing_column(cells, row, column):
    for line in cells:
        del line[column]
    return rf"columns: 1 \('{CLASSES[column - 1]}'\) missing"


def start_instead_of_end(cells, row, column):
    stem, end = cells[row][0].rsplit("_", 1)
    cells[row][0] = f"{stem}_{int(end) - 5}"
    return rf"rows: 1 \('{ROWS[row - 1]}'\) missing"


FAULTS = {
    "a missing row": missing_row,
    "a doubled row": doubled_row,
    "a reordered column": reordered_column,
    "a reordered row": reordered_row,
    "a NaN": value("nan", r"values: 1 missing \(NaN\)"),
    "an empty cell": value("", r"values: 1 missing \(NaN\)"),
    "a value of 1.2": value("1.2", r"values: 1 outside 0\.\.1"),
    "a negative value": value("-0.001", r"values: 1 outside 0\.\.1"),
    "an infinite value": value("inf", "values: 1 infinite"),
    "an unknown column": unknown_column,
    "a missing column": missing_column,
    "a window's start in the row id": start_instead_of_end,
}


@pytest.mark.parametrize("fault", FAULTS)
@settings(max_examples=15, deadline=None)
@given(row=st.integers(1, len(ROWS)), column=st.integers(1, len(CLASSES)))
def test_the_validator_rejects_with_the_reason(tmp_path_factory, fault, row, column):
    path = tmp_path_factory.mktemp("faults") / "submission.csv"
    cells = lines()
    path.write_text("".join(",".join(line) + "\n" for line in cells))
    good = predictions.check_submission(path, ROWS, CLASSES, rows_per_file=12)
    pd.testing.assert_frame_equal(good, table(), check_exact=True)
    reason = FAULTS[fault](cells, row, column)
    path.write_text("".join(",".join(line) + "\n" for line in cells))
    with pytest.raises(InputError, match=reason) as caught:
        predictions.check_submission(path, ROWS, CLASSES, rows_per_file=12)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        predictions.read(tmp_path / "none.csv")
    with pytest.raises(InputError, match="got a folder"):
        predictions.read(tmp_path)
    (tmp_path / "p.csv").write_bytes(b"\x89PNG\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not UTF-8"):
        predictions.read(tmp_path / "p.csv")


def test_a_byte_order_mark_and_rows_called_na_are_fine(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbfrow_id,a\r\nNA,0.5\r\n")
    read = predictions.read_predictions(tmp_path / "p.csv")
    assert list(read.index) == ["NA"] and read.loc["NA", "a"] == 0.5


def test_truth_is_zero_or_one(tmp_path):
    (tmp_path / "t.csv").write_text("row_id,a,b\nx,1,0\ny,0,0.0\n")
    assert predictions.read_truth(tmp_path / "t.csv").dtypes.eq(bool).all()
    (tmp_path / "b.csv").write_text("row_id,a,b\nx,True,0\ny,False,1\n")
    assert predictions.read_truth(tmp_path / "b.csv")["a"].tolist() == [True, False]
    (tmp_path / "p.csv").write_text("row_id,a,b\nx,1,0\ny,0,0.3\n")
    with pytest.raises(InputError, match=r"row y, column 'b': expected 0 or 1, got 0\.3.*swapped"):
        predictions.read_truth(tmp_path / "p.csv")


def test_the_score_of_a_file_does_not_depend_on_its_order(tmp_path):
    truth = (table(1) < 0.3).astype(int)
    truth["1161364"] = 0
    truth.to_csv(tmp_path / "t.csv")
    found = table(2)
    found.iloc[::-1, ::-1].to_csv(tmp_path / "p.csv")
    result = predictions.score(tmp_path / "p.csv", tmp_path / "t.csv", n_boot=200)
    assert result["macro_auc"] == pytest.approx(metrics.macro_auc(truth.to_numpy(), found.to_numpy()))
    assert result["left_out"] == ["1161364"] and (result["n"], result["n_files"], result["n_scored"]) == (24, 2, 2)
    for name in ("macro_auc", "cmap", "top1"):
        assert result[f"{name}_lo"] <= result[name] <= result[f"{name}_hi"]


def test_a_score_refuses_other_rows_and_columns(tmp_path):
    (table(1) < 0.3).astype(int).to_csv(tmp_path / "t.csv")
    for changed, match in (
        (table().iloc[1:], r"p\.csv: rows: 1 .* missing"),
        (table().rename(index={ROWS[0]: "other_5"}), r"rows: 1 \('other_5'\) unknown"),
        (table().assign(extra=0.5), r"columns: 1 \('extra'\) unknown"),
    ):
        changed.to_csv(tmp_path / "p.csv")
        with pytest.raises(InputError, match=match):
            predictions.score(tmp_path / "p.csv", tmp_path / "t.csv")
