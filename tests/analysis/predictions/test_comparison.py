"""Members x steps: every cell against the metrics themselves, one set of draws, both tables and their files."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import metrics, predictions
from birdprobe.analysis.predictions import comparison
from birdprobe.features import InputError

ROWS = [f"BC2026_Test_{i:04d}_S01_20260512_050000_{end}" for i in range(10) for end in range(5, 65, 5)]
CLASSES = ["47158son01", "1161364", "ashgre1", "silent"]  # the last one never sings
TRUTH = pd.DataFrame(np.random.default_rng(7).random((120, 4)) < [0.2, 0.3, 0.1, 0.0], ROWS, CLASSES)


def member(seed, help=0.2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(np.clip(help * TRUTH + 0.8 * rng.random(TRUTH.shape), 0, 1), ROWS, CLASSES)


class Scaled:
    """A monotone step: it moves no rank."""

    def __str__(self):
        return "half"

    def __call__(self, table):
        return table / 2


class Smoothed:
    """Mean over the recording: it moves ranks."""

    def __str__(self):
        return "file mean .5"

    def __call__(self, table):
        return (table + table.groupby(predictions.files(table.index)).transform("mean")) / 2


MEMBERS = {
    "attention": comparison.stages(member(1), [Scaled(), Smoothed()]),
    "blend .6/.4": comparison.stages(0.6 * member(1) + 0.4 * member(2, 0.5), [Smoothed()]),
}


@pytest.fixture(scope="module")
def frame():
    return comparison.compare(TRUTH, MEMBERS, n_boot=300, seed=5)


def cell(frame, member, step):
    return frame[(frame["member"] == member) & (frame["step"] == step)].iloc[0]


def test_every_cell_is_what_the_metrics_say(frame):
    files, y = predictions.files(ROWS), TRUTH.to_numpy()
    raw = MEMBERS["attention"][0][1].to_numpy()
    assert tuple(frame.columns) == comparison.COLUMNS and len(frame) == 5
    for member, steps in MEMBERS.items():
        for step, table in steps:
            row, scores = cell(frame, member, step), table.to_numpy()
            wanted = metrics.bootstrap(metrics.macro_auc, y, scores, files, n_boot=300, seed=5)
            np.testing.assert_allclose(row[["macro_auc", "lo", "hi"]].astype(float), wanted, atol=1e-12)
            for name, other in (("vs_raw", steps[0][1].to_numpy()), ("vs_baseline", raw)):
                found = row[[name, f"{name}_lo", f"{name}_hi"]].astype(float)
                if (member, step) == (member if name == "vs_raw" else "attention", "raw"):  # the cell itself
                    assert found.isna().all()
                    continue
                paired = metrics.paired(metrics.macro_auc, y, scores, other, files, n_boot=300, seed=5)
                np.testing.assert_allclose(found, paired, atol=1e-12)
            assert row["cmap"] == metrics.cmap(y, scores) and row["top1"] == metrics.top1(y, scores)


def test_what_was_counted_is_in_every_row(frame):
    counts = frame[["n_rows", "n_files", "n_classes", "n_scored", "left_out", "n_boot"]].drop_duplicates()
    assert counts.iloc[0].tolist() == [120, 10, 4, 3, "silent", 300] and len(counts) == 1
    assert frame["baseline"].tolist() == [True, False, False, False, False]


def test_a_monotone_step_gains_exactly_nothing(frame):
    assert cell(frame, "attention", "+ half")[["vs_raw", "vs_raw_lo", "vs_raw_hi"]].tolist() == [0, 0, 0]


def test_paired_differences_are_tighter_than_the_cells(frame):
    row = cell(frame, "attention", "+ file mean .5")
    assert row["vs_raw_hi"] - row["vs_raw_lo"] < 0.8 * (row["hi"] - row["lo"])


def test_any_member_is_the_baseline(frame):
    found = comparison.compare(TRUTH, MEMBERS, "blend .6/.4", n_boot=300, seed=5)
    at = found[found["baseline"]].iloc[0]
    assert (at["member"], at["step"]) == ("blend .6/.4", "raw")
    np.testing.assert_allclose(found["vs_baseline"].fillna(0), found["macro_auc"] - at["macro_auc"], atol=1e-12)
    same = [name for name in comparison.COLUMNS if not name.startswith("vs_baseline") and name != "baseline"]
    pd.testing.assert_frame_equal(found[same], frame[same])  # nothing else depends on it


def test_rows_and_columns_in_any_order(frame):
    turned = {name: [(step, table.iloc[::-1, ::-1]) for step, table in steps] for name, steps in MEMBERS.items()}
    pd.testing.assert_frame_equal(comparison.compare(TRUTH, turned, n_boot=300, seed=5), frame)


def test_columns_that_are_no_classes_are_ignored_only_when_named(frame):
    members = {
        name: [(s, t.assign(nocall=0.5) if s == "raw" else t) for s, t in steps] for name, steps in MEMBERS.items()
    }
    with pytest.raises(InputError, match=r"attention, raw: columns: 1 \('nocall'\) unknown"):
        comparison.compare(TRUTH, members)
    found = comparison.compare(TRUTH, members, n_boot=300, seed=5, ignore=["nocall"])
    pd.testing.assert_frame_equal(found, frame)


def test_stages_cumulate_and_are_named():
    names = [name for name, _ in comparison.stages(member(1), [Scaled(), Scaled(), Smoothed()])]
    assert names == ["raw", "+ half", "+ half (2)", "+ file mean .5"]
    quarter = comparison.stages(member(1), [Scaled(), Scaled()])[2][1]
    pd.testing.assert_frame_equal(quarter, member(1) / 4)


def test_wide_is_members_by_steps():
    frame = comparison.compare(TRUTH, MEMBERS, n_boot=300, seed=5)
    table = comparison.wide(frame)
    assert [column.title for column in table.columns] == ["member", "raw", "+ half", "+ file mean .5"]
    attention, blend = table.cells()
    row = cell(frame, "attention", "raw")
    assert attention[:2] == ["attention", f"{row['macro_auc']:.3f}\n[{row['lo']:.3f}, {row['hi']:.3f}]"]
    assert blend[0] == "blend .6/.4" and blend[2] == "–"  # a step that this member does not have
    assert table.bold == frozenset([int(frame.loc[frame["macro_auc"].idxmax(), "member"] == "blend .6/.4")])
    assert table.caption == (
        "Macro ROC-AUC over 3 of 4 classes (left out, without a positive or without a negative row: silent), 120 rows "
        "of 10 recordings; brackets: 95 % intervals from 300 bootstrap draws of recordings, the same for every cell. "
        "With 10 recordings they are a rough guide."
    )


def test_attempts_are_one_line_a_cell(frame):
    table = comparison.attempts(frame)
    titles = ["member", "step", "macro AUC", "vs raw", "vs baseline", "cmAP", "top-1"]
    assert [column.title for column in table.columns] == titles and len(table.cells()) == 5
    row = cell(frame, "blend .6/.4", "raw")
    wanted = f"{row['vs_baseline']:+.3f}\n[{row['vs_baseline_lo']:+.3f}, {row['vs_baseline_hi']:+.3f}]"
    assert table.cells()[3][3:5] == ["–", wanted]
    assert "baseline (attention, raw)" in table.caption and table.bold == frozenset([frame["macro_auc"].argmax()])


def test_files_come_back_as_they_were_written(tmp_path, frame):
    csv, markdown, latex = comparison.write(frame, tmp_path / "v1.2")  # the dot is no suffix
    assert [path.name for path in (csv, markdown, latex)] == ["v1.2.csv", "v1.2.md", "v1.2.tex"]
    pd.testing.assert_frame_equal(comparison.read(csv), frame, check_exact=True)
    assert markdown.read_text().count("| attention ") == 1 + 3 and "\n\n| member" in markdown.read_text()
    text = latex.read_text()
    assert text.count(r"\toprule") == 2 and r"\label{tab:v1.2}" in text and r"\shortstack[r]{" in text
    before = [path.read_bytes() for path in (csv, markdown, latex)]
    assert [path.read_bytes() for path in comparison.write(comparison.read(csv), tmp_path / "v1.2")] == before


def test_names_that_look_like_nothing_survive_the_file(tmp_path):
    members = {"NA": [("raw", member(1)), ("null", member(2))], "007": [("{x}", member(3))]}
    frame = comparison.compare(TRUTH.drop(columns="silent"), _without_silent(members), n_boot=10)
    csv, *_ = comparison.write(frame, tmp_path / "c")
    pd.testing.assert_frame_equal(comparison.read(csv), frame, check_exact=True)
    assert comparison.read(csv)["left_out"].tolist() == [""] * 3
    assert [column.title for column in comparison.wide(frame).columns] == ["member", "raw", "null", "{x}"]


def _without_silent(members):
    return {name: [(s, table.drop(columns="silent")) for s, table in steps] for name, steps in members.items()}


def test_one_recording_has_no_intervals(tmp_path):
    members = {name: [(step, table[:12]) for step, table in steps] for name, steps in MEMBERS.items()}
    frame = comparison.compare(TRUTH[:12], members)
    assert frame[["lo", "hi", "vs_raw_lo", "vs_baseline_hi"]].isna().all(axis=None) and (frame["n_boot"] == 0).all()
    assert frame["vs_raw"].notna().sum() == 3
    assert "one recording gives no intervals" in comparison.wide(frame).caption
    assert comparison.wide(frame).cells()[0][1] == f"{frame['macro_auc'][0]:.3f}"
    pd.testing.assert_frame_equal(comparison.read(comparison.write(frame, tmp_path / "c")[0]), frame)


def test_one_cell_has_nothing_to_differ_from():
    frame = comparison.compare(TRUTH, {"a": [("raw", member(1))]}, n_boot=20)
    assert [column.title for column in comparison.attempts(frame).columns] == [
        *("member", "step", "macro AUC", "cmAP", "top-1")
    ]
    assert comparison.wide(frame).bold == comparison.attempts(frame).bold == frozenset()


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"a": [("raw", member(1)), ("+ x", member(1)[1:])]}, r"a, \+ x: rows: 1 \('BC2026_.*_5'\) missing"),
        ({"a": [("raw", member(1) + 1)]}, "a, raw: values: 480 outside 0..1"),
    ],
)
def test_what_cannot_be_compared_is_named(members, match):
    with pytest.raises(InputError, match=match) as caught:
        comparison.compare(TRUTH, members)
    assert "\n" not in str(caught.value)


def test_a_truth_without_positives_is_refused():
    with pytest.raises(InputError, match="none of 4 classes has both a positive and a negative row"):
        comparison.compare(TRUTH & False, MEMBERS)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "no such file or folder"),
        ("", "No columns to parse"),
        ("row_id,a\nx,1\n", "no column member, step, .*Another table"),
        (",".join(comparison.COLUMNS) + "\n", "0 rows without exactly one baseline"),
        ("a,b\n1,2\n1,2,3\n", "Error tokenizing data"),
    ],
)
def test_other_files_are_no_comparison(tmp_path, text, match):
    path = tmp_path / "c.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=match) as caught:
        comparison.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
