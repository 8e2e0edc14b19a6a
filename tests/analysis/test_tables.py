"""Tables: golden texts, escaping, round trips."""

import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.analysis.tables import Column, Table
from birdprobe.features import InputError
from birdprobe.features.csv_files import read_csv

FRAME = pd.DataFrame(
    {
        "knn": [0.905, 0.8125],
        "lo": [0.872, 0.78],
        "hi": [0.93, np.nan],
        "p": [0.0002, 1.0],
        "cost": [0.834, 1.0],
        "index": [11, None],
    },
    index=pd.Index(["block_11", "embedding"], name="tap"),
).astype({"index": "Int64"})

COLUMNS = [
    Column("tap", "{tap}", "left"),
    Column("kNN-5", "{knn:.3f} [{lo:.2f}, {hi:.2f}]"),
    Column("p", "{p:p}"),
    Column("cost", "{cost:%}", "center"),
    Column("block", "{index}"),
]


def test_markdown_is_aligned():
    table = Table.from_frame(FRAME, COLUMNS, caption="Ranking of 2 taps", bold=[0])
    assert table.to_markdown() == (
        "*Ranking of 2 taps*\n"
        "\n"
        "| tap          |                  kNN-5 |           p |   cost   |  block |\n"
        "| :----------- | ---------------------: | ----------: | :------: | -----: |\n"
        "| **block_11** | **0.905 [0.87, 0.93]** | **< 0.001** | **83 %** | **11** |\n"
        "| embedding    |                      – |       1.000 |  100 %   |      – |\n"
    )


def test_latex_is_booktabs_and_escaped():
    table = Table.from_frame(FRAME, COLUMNS, caption="50 % & more_", bold=[0])
    assert table.to_latex(label="tab:ranking") == "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            r"\caption{50 \% \& more\_}",
            r"\label{tab:ranking}",
            r"\begin{tabular}{lrrcr}",
            r"\toprule",
            r"tap & kNN-5 & p & cost & block \\",
            r"\midrule",
            r"\textbf{block\_11} & \textbf{0.905 [0.87, 0.93]} & \textbf{\textless{} 0.001} & \textbf{83 \%} "
            r"& \textbf{11} \\",
            r"embedding & -- & 1.000 & 100 \% & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def test_csv_keeps_raw_values_exactly():
    text = Table.from_frame(FRAME, COLUMNS).to_csv()
    assert (
        text
        == "tap,knn,lo,hi,p,cost,index\nblock_11,0.905,0.872,0.93,0.0002,0.834,11\nembedding,0.8125,0.78,,1.0,1.0,\n"
    )
    back = pd.read_csv(io.StringIO(text), index_col="tap").astype({"index": "Int64"})
    pd.testing.assert_frame_equal(back, FRAME)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8)), min_size=1, max_size=5)
)
def test_csv_round_trip(rows):
    table = Table.from_frame(pd.DataFrame(rows, columns=["value", "text"]))
    lines = table.to_csv()
    back = read_csv(io.StringIO(lines), keep_default_na=False, dtype={"text": str}, float_precision="round_trip")
    assert list(back["value"]) == [value for value, _ in rows]
    assert list(back["text"]) == [text.replace("\r\n", "\n").replace("\r", "\n") for _, text in rows]
    assert table.to_csv() == lines


def test_defaults_align_text_left_and_numbers_right():
    frame = pd.DataFrame({"name": ["a", "b"], "n": [1, 20], "share": [0.5, -0.00001], "flag": [True, False]})
    table = Table.from_frame(frame)
    assert [column.align for column in table.columns] == ["left", "right", "right", "left"]
    assert table.cells() == [["a", "1", "0.500", "True"], ["b", "20", "0.000", "False"]]  # never "-0.000"
    assert Table.from_frame(frame, [Column("d", "{share:+.1f}")]).cells() == [["+0.5"], ["+0.0"]]


def test_markdown_cells_cannot_break_the_table():
    table = Table.from_frame(pd.DataFrame({"a.b": ["x|y\nz"]}))
    assert table.to_markdown() == "| a.b    |\n| :----- |\n| x\\|y z |\n"


def test_an_empty_frame_is_a_header():
    table = Table.from_frame(pd.DataFrame({"a": []}))
    assert table.to_markdown() == "| a   |\n| :-- |\n" and table.to_csv() == "a\n"


def test_lines_of_a_template_are_stacked_in_latex_and_run_on_in_markdown():
    frame = pd.DataFrame({"m": ["a\nb", "c"], "v": [0.5, np.nan], "lo": [0.25, 0.0]})
    table = Table.from_frame(frame, [Column("m", "{m}", "left"), Column("v", "{v:.2f}\n[{lo:.2f}]")], bold=[0])
    assert table.cells() == [["a b", "0.50\n[0.25]"], ["c", "–"]]  # a line end inside a value stacks nothing
    assert "| **a b** | **0.50 [0.25]** |" in table.to_markdown()
    assert r"\textbf{a b} & \shortstack[r]{\textbf{0.50} \\ \textbf{{[}0.25]}} \\" in table.to_latex()


def test_a_latex_line_never_begins_with_an_option_of_the_line_end_above():
    text = Table.from_frame(pd.DataFrame({"a": ["x", "[5pt]", "*", "a [b] *"]})).to_latex()
    assert "\n{[}5pt] \\\\\n{*} \\\\\na [b] * \\\\\n" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_compiles(tmp_path):
    frame = pd.DataFrame(
        {"odd": [r"\ & % $ # _ { } ~ ^ < > | – − × ± σ α → ≥ ≤ …", "[1pt]", "*"], "x": [1.0, 2.0, 3.0]}
    )
    columns = [Column("odd", "{odd}", "left"), Column("x", "{x:.1f}\n[{x:.2f}]")]
    text = Table.from_frame(frame, columns, caption=r"Odd: \%~^", bold=[1]).to_latex()
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + text + "\\end{document}\n"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_bad_input_is_one_line():
    with pytest.raises(InputError, match=r"column 'A': .*got field 'nope'"):
        Table.from_frame(FRAME, [Column("A", "{nope}")])
    with pytest.raises(InputError, match="got align 'middle'"):
        Column("A", "{tap}", "middle")
    with pytest.raises(InputError, match=r"got \[2\]"):
        Table.from_frame(FRAME, COLUMNS, bold=[2])
