"""Text in CSV: nothing that a spreadsheet runs, and the same text again when it is read."""

import csv
import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdprobe.analysis import predictions
from birdprobe.analysis.scored_items import read_run
from birdprobe.analysis.tables import Table
from birdprobe.features.csv_files import escape, read_csv, unescape, write_csv
from birdprobe.features.store import FeatureStore
from birdprobe.probe.sweep.sweep import sweep
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

FORMULAS = ("=1+1", "+a", "-cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1")
AS_THEY_ARE = ("-5", "+1.5e3", "-inf", "'quoted'", "a=b", "", "Turdus merula", " =1")


def runs(cell: str) -> bool:
    """Whether a spreadsheet takes the cell for a formula."""
    try:
        float(cell)
    except ValueError:
        return cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return False


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_escaped(text):
    assert escape(text) == f"'{text}" and unescape(escape(text)) == text


@pytest.mark.parametrize("text", AS_THEY_ARE)
def test_numbers_and_other_text_stay(text):
    assert escape(text) == text == unescape(text)


@given(st.text(st.sampled_from("'=+-@\t\r a5."), max_size=8))
def test_any_text_comes_back(text):
    assert not runs(escape(text))
    assert unescape(escape(text)) == text


def test_a_table_comes_back(tmp_path):
    labels = [*FORMULAS[:4], "'=1+1", "-5", None]
    table = pd.DataFrame({"label": labels, "=x": np.linspace(-1, 1, 7), "n": range(7)}, index=pd.Index(list("-b=cdef")))
    table.index.name = "row"
    write_csv(table, tmp_path / "t.csv")
    cells = [cell for row in csv.reader(io.StringIO((tmp_path / "t.csv").read_text())) for cell in row]
    assert not any(map(runs, cells)) and "-1.0" in cells
    found = read_csv(tmp_path / "t.csv", dtype={"label": str}, keep_default_na=False, na_values={"=x": [""]})
    assert found["label"].tolist() == [*labels[:-1], ""]
    np.testing.assert_array_equal(found["=x"], table["=x"])
    assert found["row"].tolist() == list("-b=cdef")


def test_tables_for_people_are_escaped_too():
    text = Table.from_frame(pd.DataFrame({"label": ["=1+1", "-3"], "x": [-0.5, 1.0]})).to_csv()
    assert text.splitlines() == ["label,x", "'=1+1,-0.5", "-3,1.0"]


def test_a_submission_comes_back(tmp_path):
    table = pd.DataFrame(np.full((2, 2), 0.25), ["=f_5", "=f_10"], ["@x", "-y"])
    table.index.name = "row_id"
    write_csv(table, tmp_path / "s.csv")
    assert not any(map(runs, (tmp_path / "s.csv").read_text().replace("\n", ",").split(",")))
    pd.testing.assert_frame_equal(predictions.read(tmp_path / "s.csv"), table, check_index_type=False)


def test_a_sweep_on_classes_that_look_like_formulas(tmp_path):
    tiny_backbone(tmp_path / "m.onnx")
    tiny_dataset(tmp_path / "clips")
    for i, name in enumerate(("=2+3", "@x", "-cmd")):
        (tmp_path / "clips" / f"species {i}").rename(tmp_path / "clips" / name)
    sweep(tmp_path / "m.onnx", tmp_path / "clips", tmp_path / "run", sample_rate=SAMPLE_RATE, projection="pca")
    for path in (tmp_path / "run").glob("*.csv"):
        with path.open(newline="") as file:
            assert not [cell for row in csv.reader(file) for cell in row if runs(cell)], path
    assert set(read_run(tmp_path / "run").labels) == {"=2+3", "@x", "-cmd"}
    with FeatureStore.open(tmp_path / "run" / "features.h5") as store:
        store.export(tmp_path / "rows.csv", ("embedding",))
        assert read_csv(tmp_path / "rows.csv")["label"].tolist() == store.rows()["label"].tolist()
    assert not any(map(runs, pd.read_csv(tmp_path / "rows.csv")["label"]))
