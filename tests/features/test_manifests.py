"""CSV manifests: columns, pieces, rows about one clip, missing files, and what is wrong with them."""

import pytest

from birdprobe.features import InputError
from birdprobe.features.recordings import Clip, read_recordings
from tests.clip_tables import NAME, WINDOWS, birdclef, table, touch


def test_manifest(tmp_path):
    touch(tmp_path, "sub/a.wav", "b.wav")
    path = table(
        tmp_path / "clips.csv",
        ["path", "label", "group", "fold", "start_s", "end_s"],
        ["sub/a.wav", "007;NA ; 47158son01", "g1", "1", "", "2.5"],
        ["sub/a.wav", "007", "g1", "1", "2.5", ""],
        [str(tmp_path / "b.wav"), "None", "g2", "2", "", ""],
    )
    found = read_recordings(path)
    assert found.clips[0] == Clip(
        tmp_path / "sub/a.wav", "sub/a.wav", ("007", "NA", "47158son01"), "g1", "1", None, 2.5
    )
    assert (found.clips[1].start_s, found.clips[1].end_s) == (2.5, None)
    assert found.clips[2].name == (tmp_path / "b.wav").as_posix() and found.clips[2].label == "None"
    assert (found.root, found.grouping, found.folding) == (tmp_path, "column group", "column fold")
    assert found.warnings == ()


def test_any_column_of_a_manifest_can_be_the_group(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    rows = ["path", "label", "group", "site"], ["a.wav", "x", "g1", "s1"], ["b.wav", "y", "g2", "s1"]
    found = read_recordings(table(tmp_path / "c.csv", *rows), groups_column="site")
    assert [clip.group for clip in found.clips] == ["s1", "s1"] and found.grouping == "column site"
    wanted = r"c\.csv: got --groups sitee, expected one of its columns path, label, group, site\. Meant site\?"
    with pytest.raises(InputError, match=wanted):
        read_recordings(tmp_path / "c.csv", groups_column="sitee")
    with pytest.raises(InputError, match=r"expected one of its columns path, label, group, site\.$"):
        read_recordings(tmp_path / "c.csv", groups_column="night")
    with pytest.raises(InputError, match=r"expected one source of groups.*got both"):
        read_recordings(tmp_path / "c.csv", groups_column="site", group_regex="(.)")
    with pytest.raises(InputError, match="is no table with columns"):
        read_recordings(touch(tmp_path / "folder", "wren/1.wav"), groups_column="site")


def test_pieces_of_one_file_are_a_group_when_nothing_else_is_known(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    path = table(
        tmp_path / "c.csv",
        ["path", "label", "start_s", "end_s"],
        ["a.wav", "x", "0", "5"], ["a.wav", "y", "5", "9"], ["b.wav", "x", "0", "5"],
    )  # fmt: skip
    found = read_recordings(path)
    assert [clip.group for clip in found.clips] == ["a.wav", "a.wav", "b.wav"] and found.grouping == "file"


def test_doubles_and_torn_files_are_named(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    rows = ["a.wav", "x", "1", "5"], ["a.wav", "x", "2", ""], ["a.wav", "x", "3", ""], ["b.wav", "y", "3", ""]
    path = table(tmp_path / "c.csv", ["path", "label", "group", "end_s"], *rows)
    again, elsewhere, torn = read_recordings(path).warnings
    assert again == f"{path}: 1 of 4 rows lists a clip again; 3 clips are used."
    assert elsewhere == f"{path}: clips listed again in another group stay in the first: 'a.wav'."
    assert torn == "pieces of one file lie in different groups (column group): 'a.wav'."


@pytest.mark.parametrize("times", [["", ""], ["0", "5"]])
def test_rows_about_one_clip_are_one_clip_with_all_their_labels(tmp_path, times):
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = [["a.wav", "Hund"], ["b.wav", "Hund"], ["./a.wav", "Rain;Hund"], ["b.wav", "Hund"], ["c.wav", "Rain"]]
    path = table(tmp_path / "c.csv", ["path", "label", "start_s", "end_s"], *([*row, *times] for row in rows))
    found = read_recordings(path)
    assert [(clip.name, clip.labels) for clip in found.clips] == [
        ("a.wav", ("Hund", "Rain")),
        ("b.wav", ("Hund",)),
        ("c.wav", ("Rain",)),
    ]
    assert found.warnings == (
        f"{path}: 2 of 5 rows list a clip again; 3 clips are used.",
        f"{path}: clips listed again with other labels have them all: 'a.wav'.",
    )
    assert found.grouping == "none"  # the same file twice tells nothing of groups


def test_a_class_called_nan_is_told(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    found = read_recordings(table(tmp_path / "c.csv", ["path", "label"], ["a.wav", "x"], ["b.wav", "NaN"]))
    assert found.warnings == ("label 'NaN' (1 clip) is a class here. Rows without a label?",)


def test_a_clip_in_two_given_folds_is_a_contradiction(tmp_path):
    touch(tmp_path, "a.wav")
    path = table(tmp_path / "c.csv", ["path", "label", "fold"], ["a.wav", "x", "1"], ["a.wav", "x", "2"])
    with pytest.raises(InputError, match=r"c\.csv: 'a\.wav' in the folds '1' and '2', expected one"):
        read_recordings(path)


def test_a_few_missing_files_are_skipped_with_one_warning(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    rows = [["a.wav", "x"], ["gone.wav", "x"], ["b.wav", "y"], ["lost.wav", "y"]]
    path = table(tmp_path / "c.csv", ["path", "label"], *rows)
    found = read_recordings(path)
    assert [clip.name for clip in found.clips] == ["a.wav", "b.wav"]
    assert found.warnings == (
        f"{path}: 2 of 4 files are not there and left out: 'gone.wav', 'lost.wav'. "
        "Paths are taken from the folder that c.csv is in.",
    )
    table(path, ["path", "label"], *rows, ["too.wav", "x"])
    with pytest.raises(
        InputError, match=r"3 of 5 files are not there: .*folder that c\.csv is in\. Was the audio moved"
    ):
        read_recordings(path)


def test_a_missing_file_counts_once_however_many_pieces_it_has(tmp_path):
    touch(tmp_path, "a.wav")
    pieces = [["gone.wav", "x", str(i)] for i in range(9)]
    found = read_recordings(table(tmp_path / "c.csv", ["path", "label", "start_s"], *pieces, ["a.wav", "y", ""]))
    assert [clip.name for clip in found.clips] == ["a.wav"]
    assert "c.csv: 1 of 2 files is not there and left out: 'gone.wav'." in found.warnings[0]


def test_an_empty_table_is_said_to_be_empty(tmp_path):
    for content in ("", "\n\n", "sep=;\n"):
        (tmp_path / "c.csv").write_text(content)
        with pytest.raises(InputError) as caught:
            read_recordings(tmp_path / "c.csv")
        assert str(caught.value) == f"{tmp_path / 'c.csv'}: the file is empty, expected a header and rows."


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            [["file", "lable"], ["a.wav", "x"]],
            r"expected path, label and, if known, group, fold,.*got columns file, lable",
        ),
        ([["path:label"], ["a.wav:x"]], r"got columns path:label"),
        ([["path", "label", "Group"], ["a.wav", "x", "1"]], "expected 'group', got column 'Group'. Mistyped"),
        ([["path", "label", "start"], ["a.wav", "x", "1"]], "expected 'start_s'.*got column 'start'"),
        ([["path", "label", "end"], ["a.wav", "x", "1"]], "expected 'end_s'.*got column 'end'"),
        ([["path", "label", "label"], ["a.wav", "x", "y"]], "expected every name once"),
        ([["path", "label"]], "no rows below the header"),
        ([["path", "label"], ["a.wav", "x", "y"]], "line 2: 3 fields, expected 2. An unquoted comma"),
        ([["path", "label"], ["a.wav", ""], ["a.wav", " "]], "none of its 2 rows has a label"),
        ([["path", "label"], ["a.wav", "x;"]], "expected both filled"),
        ([["path", "label"], ["", "x"]], "expected both filled"),
        ([["path", "label"], ["gone/b.wav", "x"]], "1 of 1 file is not there: 'gone/b.wav'"),
        ([["path", "label", "start_s"], ["a.wav", "x", "soon"]], "line 2: start_s 'soon', expected seconds from 0"),
        ([["path", "label", "end_s"], ["a.wav", "x", "-1"]], "end_s '-1', expected seconds from 0"),
        ([["path", "label", "end_s"], ["a.wav", "x", "inf"]], "end_s 'inf', expected seconds from 0"),
        (
            [["path", "label", "start_s", "end_s"], ["a.wav", "x", "3", "2"]],
            "start_s 3, end_s 2, expected start_s < end_s",
        ),
        (
            [["path", "label", "fold", "start_s"], ["a.wav", "x", "1", ""], ["a.wav", "y", "", "3"]],
            "no fold for 'a.wav', expected one for every",
        ),
    ],
)
def test_manifests_that_are_wrong(tmp_path, rows, message):
    touch(tmp_path, "a.wav")
    with pytest.raises(InputError, match=message) as caught:
        read_recordings(table(tmp_path / "c.csv", *rows))
    assert "c.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_manifests_in_other_encodings(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "bom.csv").write_text("path,label\na.wav,Mönchsgrasmücke\n", encoding="utf-8-sig")
    assert read_recordings(tmp_path / "bom.csv").labels == ("Mönchsgrasmücke",)
    (tmp_path / "latin.csv").write_text("path,label\na.wav,Mönchsgrasmücke\n", encoding="latin-1")
    found = read_recordings(tmp_path / "latin.csv")
    assert found.labels == ("Mönchsgrasmücke",) and "read as Windows-1252" in found.warnings[0]
    (tmp_path / "broken.csv").write_bytes(b"path,label\na.wav,\x81\xff\n")
    with pytest.raises(InputError, match=r"broken\.csv: neither UTF-8 nor Windows-1252"):
        read_recordings(tmp_path / "broken.csv")


def test_rows_without_a_label_are_left_out_and_counted(tmp_path):
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    path = table(tmp_path / "c.csv", ["path", "label"], ["a.wav", "x"], ["b.wav", ""], ["c.wav", " "])
    found = read_recordings(path)
    assert [clip.name for clip in found.clips] == ["a.wav"]
    assert found.warnings == (f"{path}: 2 of 3 rows have no label; left out.",)
    root = birdclef(tmp_path / "comp", ["x", "[]", "Ann", "s", "x/1.ogg"], ["", "[]", "Bo", "s", "y/1.ogg"])
    table(root / "taxonomy.csv", ["primary_label"], ["x"])
    assert f"{root / 'train.csv'}: 1 of 2 rows has no label; left out." in read_recordings(root).warnings
    touch(root, f"train_soundscapes/{NAME}")
    times = ("00:00:00", "00:00:05"), ("00:00:05", "00:00:10")
    windows = table(root / "w.csv", WINDOWS, *([NAME, *time, label] for time, label in zip(times, ("x", ""))))
    assert f"{windows}: 1 of 2 rows has no label; left out." in read_recordings(windows).warnings


def test_a_name_that_several_files_have_is_told(tmp_path):
    touch(tmp_path, "x/a.wav", "y/a.wav", "b.wav", "c.wav")
    path = table(tmp_path / "c.csv", ["path", "label"], ["a.wav", "x"], ["b.wav", "y"], ["c.wav", "y"])
    said = "'a.wav' may be 'x/a.wav', 'y/a.wav': write its folder too."
    assert read_recordings(path).warnings == (
        f"{path}: 1 of 3 files is there more than once and left out: 'a.wav'. {said}",
    )
    table(path, ["Begin File", "Species", "Begin Time (s)", "End Time (s)"], ["a.wav", "x", "0", "1"])
    with pytest.raises(InputError, match=r"1 of 1 file is there more than once: 'a\.wav'\. 'a\.wav' may be 'x/a\.wav'"):
        read_recordings(path)
