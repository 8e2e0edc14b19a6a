"""The table of clips: four kinds of AUDIO, groups and folds, and a seeded choice. Nothing here decodes audio."""

import csv
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from birdprobe.features import InputError
from birdprobe.features.recordings import (
    Clip,
    Recordings,
    SoundscapeName,
    assign_folds,
    choose,
    drop_rare,
    read_recordings,
    sampling,
)
from birdprobe.features.recordings.taxonomy import read_classes

ESC10 = Path(__file__).parents[3] / "shared" / "data" / "esc10"


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"sound")
    return root


def table(path: Path, *rows: list[str]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def birdclef(root: Path, *rows: list[str]) -> Path:
    """rows: primary_label, secondary_labels, author, site, filename."""
    touch(root, *(f"train_audio/{row[-1]}" for row in rows))
    table(root / "train.csv", ["primary_label", "secondary_labels", "author", "site", "filename"], *rows)
    table(root / "taxonomy.csv", ["primary_label", "class_name"], *([row[0], "Aves"] for row in rows))
    return root


def of(counts: dict[str, int]) -> Recordings:
    clips = [
        Clip(Path(f"{label}/{i}.wav"), f"{label}/{i}.wav", (label,)) for label, n in counts.items() for i in range(n)
    ]
    return Recordings(Path(), tuple(clips))


# class folders


def test_class_folders(tmp_path):
    touch(tmp_path, "wren/R1-2.wav", "wren/deep/er/R2-1.FLAC", "robin/R1-1.ogg", "robin/R1-1.mp3")
    touch(tmp_path, "wren/.hidden.wav", "wren/notes.txt", ".cache/a.wav", "__MACOSX/wren/R1-2.wav", "LICENSE")
    found = read_recordings(tmp_path)
    assert [clip.name for clip in found.clips] == [
        "robin/R1-1.mp3", "robin/R1-1.ogg", "wren/R1-2.wav", "wren/deep/er/R2-1.FLAC",
    ]  # fmt: skip
    assert [clip.label for clip in found.clips] == ["robin", "robin", "wren", "wren"]
    assert all(clip.path.is_file() and clip.group is None and clip.fold is None for clip in found.clips)
    assert (found.root, found.labels, found.grouping) == (tmp_path, ("robin", "wren"), "none")
    assert found.warnings == (f"{tmp_path}: hidden folders that hold audio are left out: '.cache'.",)


def test_linked_class_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere", "wren/1.wav")
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "wren").symlink_to(tmp_path / "elsewhere" / "wren")
    assert [clip.name for clip in read_recordings(tmp_path / "audio").clips] == ["wren/1.wav"]


def test_linked_sub_folders_are_followed_and_circles_are_not(tmp_path):
    root = tmp_path / "clips"
    touch(root, "wren/rec1/a.wav", "robin/a.wav")
    touch(tmp_path, "card/b.wav", "card/deep/c.wav")
    (root / "wren" / "rec2").symlink_to(tmp_path / "card")
    (root / "wren" / "again").symlink_to(root / "wren" / "rec1")  # reached in two ways, counted once
    (root / "wren" / "up").symlink_to(root)
    (tmp_path / "card" / "circle").symlink_to(tmp_path / "card")
    names = [clip.name for clip in read_recordings(root).clips]
    assert names == ["robin/a.wav", "wren/rec1/a.wav", "wren/rec2/b.wav", "wren/rec2/deep/c.wav"]
    assert [clip.name for clip in read_recordings(root, labelled=False).clips] == names


def test_hidden_folders_that_hold_audio_are_told(tmp_path):
    touch(tmp_path, "wren/a.wav", "wren/.old/b.wav", ".robin/c.wav", "wren/.git/config", "__MACOSX/a.wav")
    found = read_recordings(tmp_path)
    assert [clip.name for clip in found.clips] == ["wren/a.wav"]
    assert len(found.warnings) == 1 and found.warnings[0].endswith("left out: '.robin', 'wren/.old'.")


def test_a_choice_sorts_every_class_once(monkeypatch):
    sorts = []
    monkeypatch.setattr(sampling, "sorted", lambda items: sorts.append(1) or sorted(items), raising=False)
    assert len(choose(of({"wren": 500, "robin": 300}), per_class=200).clips) == 400
    assert len(sorts) < 10


def test_what_a_folder_leaves_out_is_said(tmp_path):
    touch(tmp_path, "wren/1.wav", "robin/readme.txt", "loose.wav")
    assert read_recordings(tmp_path).warnings == (
        f"{tmp_path}: no audio files in 'robin'; left out.",
        f"{tmp_path}: 1 audio file lies outside the class folders; left out.",
    )


@pytest.mark.parametrize(
    "names, found",
    [
        ([], "no audio files"),
        (["a.wav", "b.wav"], "2 audio files beside each other"),
    ],
)
def test_an_empty_folder(tmp_path, names, found):
    touch(tmp_path, *names)
    (tmp_path / "wren").mkdir()
    with pytest.raises(InputError, match=f"expected a sub-folder of audio files for every class.*got {found}"):
        read_recordings(tmp_path)


def test_what_is_no_audio_table(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such file or folder, expected class folders, a CSV"):
        read_recordings(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"a\.wav: a file that is no \.csv"):
        read_recordings(touch(tmp_path, "a.wav") / "a.wav")


@pytest.mark.parametrize("there, missing", [("train_audio/wren/1.ogg", r"train\.csv"), ("train.csv", "train_audio")])
def test_half_a_birdclef_folder(tmp_path, there, missing):
    with pytest.raises(InputError, match=f"expected both in a BirdCLEF folder, got .* without {missing}"):
        read_recordings(touch(tmp_path, there))


@pytest.mark.parametrize("other", ["Wren", "WREN", "w r e n", "ｗren"])
def test_labels_that_look_alike_stay_apart_and_are_named(tmp_path, other):
    name = "w  r e n" if " " in other else "wren"
    found = read_recordings(touch(tmp_path, f"{name}/1.wav", f"{other}/2.wav", f"{other}/3.wav", "robin/4.wav"))
    assert set(found.labels) == {name, other, "robin"}
    (warning,) = found.warnings
    assert f"'{name}' (1 clip)" in warning and f"'{other}' (2 clips)" in warning and "case or spaces" in warning


# patterns


def test_patterns_are_searched_in_the_file_name(tmp_path):
    touch(tmp_path, "1-77-x/1-501-A.wav", "1-77-x/2-502-A.wav", "b/1-501-B.wav")
    found = read_recordings(tmp_path, group_regex=r"^\d-(\d+)-", fold_regex=r"^(\d)-")
    assert [(clip.group, clip.fold) for clip in found.clips] == [("501", "1"), ("502", "2"), ("501", "1")]
    assert found.grouping == r"file-name pattern '^\d-(\d+)-'" and found.folding == r"file-name pattern '^(\d)-'"


@pytest.mark.parametrize("option", ["group_regex", "fold_regex"])
@pytest.mark.parametrize(
    "pattern, message",
    [("(", "no regular expression"), (r"\d", "got none"), ("(x+)", r"matches no file name.*1-a\.wav")],
)
def test_patterns_that_cannot_work(tmp_path, option, pattern, message):
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')} .*{message}"):
        read_recordings(touch(tmp_path, "wren/1-a.wav"), **{option: pattern})


def test_clips_that_the_group_pattern_misses_are_groups_of_their_own(tmp_path):
    touch(tmp_path, "wren/R1-a.wav", "wren/R1-b.wav", "wren/x.wav", "robin/x.wav")
    found = read_recordings(tmp_path, group_regex=r"^(R\d+)-")
    assert [clip.group for clip in found.clips] == ["robin/x.wav", "R1", "R1", "wren/x.wav"]
    (warning,) = found.warnings
    assert warning.startswith("2 of 4 clips have no group") and "'wren/x.wav'" in warning


def test_every_clip_needs_a_fold(tmp_path):
    with pytest.raises(InputError, match=r"--fold-regex '\^\(\\d\)-': no fold in 'wren/x\.wav', expected one in every"):
        read_recordings(touch(tmp_path, "wren/1-a.wav", "wren/x.wav"), fold_regex=r"^(\d)-")


# CSV manifests


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


def test_a_missing_file_of_a_birdclef_folder_or_a_soundscape_is_skipped(tmp_path):
    root = birdclef(tmp_path, *([f"x{i}", "[]", "Ann", "s", f"x/{i}.ogg"] for i in range(3)))
    (root / "train_audio/x/1.ogg").unlink()
    found = read_recordings(root)
    assert [clip.path.name for clip in found.clips] == ["0.ogg", "2.ogg"]
    assert "1 of 3 files is not there and left out: 'train_audio/x/1.ogg'" in found.warnings[0]
    touch(root, f"train_soundscapes/{NAME}")
    rows = [NAME, "00:00:00", "00:00:05", "x1"], [OTHER, "00:00:00", "00:00:05", "x1"]
    found = read_recordings(table(root / "w.csv", WINDOWS, *rows))
    assert [clip.path.name for clip in found.clips] == [NAME] and f"train_soundscapes/{OTHER}" in found.warnings[0]


def test_a_clip_of_a_train_table_that_is_listed_again_counts_once(tmp_path):
    root = birdclef(tmp_path, ["x", "['y']", "Ann", "s", "x/1.ogg"], ["y", "[]", "Bo", "s", "y/1.ogg"])
    text = (root / "train.csv").read_text()
    (root / "train.csv").write_text(text + text.splitlines()[1] + "\n")
    found = read_recordings(root)
    assert [clip.labels for clip in found.clips] == [("x", "y"), ("y",)]
    assert found.warnings[0].endswith("train.csv: 1 of 3 rows lists a clip again; 2 clips are used.")


def test_an_empty_table_is_said_to_be_empty(tmp_path):
    for content in ("", "\n\n", "sep=;\n"):
        (tmp_path / "c.csv").write_text(content)
        with pytest.raises(InputError) as caught:
            read_recordings(tmp_path / "c.csv")
        assert str(caught.value) == f"{tmp_path / 'c.csv'}: the file is empty, expected a header and rows."


def test_too_many_folds_are_said_with_what_would_do():
    with pytest.raises(InputError) as caught:
        drop_rare(of({"Hund": 10, "Rain": 12, "Wind": 3}), 50, "clips.csv")
    assert str(caught.value) == (
        "clips.csv: got 0 of 3 classes with 50 clips or more, as --folds or --min-per-class asks, expected at least "
        "two. Try `--folds 10`?"
    )
    recordings = of({"Hund": 10, "Rain": 12})
    coarse = replace(recordings, clips=tuple(replace(clip, group="night") for clip in recordings.clips))
    with pytest.raises(InputError, match=r"0 of 2 classes with clips in two groups and folds or more.*too coarse"):
        drop_rare(coarse, 5, "clips.csv")


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
        ([["path", "label"], ["a.wav", ""]], "line 2: path 'a.wav' and label '', expected both filled"),
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


# BirdCLEF folders


def test_birdclef(tmp_path):
    root = birdclef(
        tmp_path,
        ["1595929", "[]", "Ann", "s1", "1595929/XC1.ogg"],
        ["47158son01", "['1595929', ' tattin1', '']", "Bob", "s1", "47158son01/iNat2.ogg"],
        ["tattin1", "", "Ann", "s2", "tattin1/XC3.ogg"],
    )
    found = read_recordings(root)
    assert [clip.labels for clip in found.clips] == [("1595929",), ("47158son01", "1595929", "tattin1"), ("tattin1",)]
    assert [clip.group for clip in found.clips] == ["Ann", "Bob", "Ann"] and found.grouping == "column author"
    assert found.clips[0].name == "train_audio/1595929/XC1.ogg" and found.clips[0].path.is_file()
    assert found.warnings == () and found.folding == "none"
    assert [clip.group for clip in read_recordings(root, groups_column="site").clips] == ["s1", "s1", "s2"]
    by_name = read_recordings(root, group_regex=r"^(XC|iNat)")
    assert [clip.group for clip in by_name.clips] == ["XC", "iNat", "XC"]


def test_birdclef_tables_that_are_wrong(tmp_path):
    with pytest.raises(InputError, match=r"train\.csv, line 2: secondary_labels tattin1, expected a list such as"):
        read_recordings(birdclef(tmp_path / "a", ["x", "tattin1", "Ann", "s", "x/1.ogg"]))
    with pytest.raises(InputError, match="expected a list"):  # nothing is evaluated, only literals are read
        read_recordings(birdclef(tmp_path / "b", ["x", "[__import__('os')]", "Ann", "s", "x/1.ogg"]))
    root = birdclef(tmp_path / "c", ["x", "[]", "Ann", "s", "x/1.ogg"])
    table(root / "train.csv", ["label", "filename"], ["x", "x/1.ogg"])
    with pytest.raises(InputError, match=r"train\.csv: expected primary_label, filename.*got columns label, filename"):
        read_recordings(root)
    table(root / "train.csv", ["primary_label", "filename"], ["x", "x/2.ogg"])
    with pytest.raises(InputError, match=r"1 of 1 file is not there: 'train_audio/x/2\.ogg'"):
        read_recordings(root)


def test_birdclef_labels_outside_the_taxonomy_and_clips_without_author(tmp_path):
    root = birdclef(tmp_path, ["x", "['y']", "", "s", "x/1.ogg"], ["z", "[]", "Ann", "s", "z/1.ogg"])
    strange, alone = read_recordings(root).warnings
    assert strange.endswith("labels that taxonomy.csv does not have: 'y'.")
    assert alone.startswith("1 of 2 clips has no group (column author)")


def test_spaces_around_a_taxonomy_label_make_no_stranger(tmp_path):
    root = birdclef(tmp_path, ["x", "['y']", "Ann", "s", "x/1.ogg"])
    table(root / "taxonomy.csv", ["primary_label"], [" x"], ["y "])
    assert read_recordings(root).warnings == () and read_classes(root / "taxonomy.csv") == ("x", "y")


def test_the_fifteen_columns_of_a_train_table_are_read_as_text(tmp_path):
    columns = (
        "primary_label,secondary_labels,type,latitude,longitude,scientific_name,common_name,class_name,inat_taxon_id,"
        "author,license,rating,url,filename,collection"
    )
    rows = [
        "0022930,\"['tattin1', ' 1e5']\",\"['call', ' song']\",-16.5,,Hyla nana,\"Frog, Dwarf\",Amphibia,22930,"
        '"Ann, née Bo",cc-by,0.0,,0022930/iNat1.ogg,iNat',
        "NA,[],[],,,,,Insecta,,,,,,NA/XC2.ogg,XC",
    ]
    touch(tmp_path, "train_audio/0022930/iNat1.ogg", "train_audio/NA/XC2.ogg")
    (tmp_path / "train.csv").write_text("\r\n".join([columns, *rows]) + "\r\n", encoding="utf-8")
    first, second = read_recordings(tmp_path).clips
    assert first.labels == ("0022930", "tattin1", "1e5") and first.group == "Ann, née Bo"
    assert second.labels == ("NA",) and second.group == second.name  # no author: a group of its own


# taxonomy


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(
        st.from_regex(r"[0-9]{1,7}|47158son[0-9]{2}|[a-z]{6}[0-9]|NA|nan|1e5|007", fullmatch=True),
        min_size=1,
        max_size=20,
        unique=True,
    )
)
def test_classes_are_text_in_the_order_of_the_taxonomy(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("taxonomy") / "taxonomy.csv"
    table(path, ["inat_taxon_id", "primary_label"], *(["1", label] for label in labels))
    assert read_classes(path) == tuple(labels)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([["primary_label"], ["x"], ["y"], ["x "]], "label x twice, expected each once"),
        ([["primary_label", "class_name"], ["", "Aves"]], "an empty label, expected each once"),
        ([["label"], ["x"]], r"expected primary_label, got columns label"),
        ([["primary_label"]], "no rows below the header"),
    ],
)
def test_a_taxonomy_that_names_no_classes(tmp_path, rows, match):
    with pytest.raises(InputError, match=match) as caught:
        read_classes(table(tmp_path / "taxonomy.csv", *rows))
    assert "taxonomy.csv" in str(caught.value) and "\n" not in str(caught.value)


# labelled soundscapes

WINDOWS = ["filename", "start", "end", "primary_label"]
NAME = "BC2026_Train_0001_S09_20260512_050000.ogg"
OTHER = "BC2026_Train_0002_S22_20260513_183000.ogg"


def test_labelled_soundscapes_are_windows_grouped_by_site(tmp_path):
    touch(tmp_path, f"train_soundscapes/{NAME}", f"train_soundscapes/{OTHER}", "train_soundscapes/unlabelled.ogg")
    rows = [
        [NAME, "00:00:00", "00:00:05", "1595929;47158son01"],
        [OTHER, "00:00:55", "00:01:00", "tattin1"],
        [NAME, "01:02:03", "01:02:08", "tattin1; 1595929"],
    ]
    path = table(tmp_path / "train_soundscapes_labels.csv", WINDOWS, *rows, *rows)
    found = read_recordings(path)
    assert [clip.labels for clip in found.clips] == [("1595929", "47158son01"), ("tattin1",), ("tattin1", "1595929")]
    assert [(clip.start_s, clip.end_s) for clip in found.clips] == [(0, 5), (55, 60), (3723, 3728)]
    assert [clip.group for clip in found.clips] == ["S09", "S22", "S09"]
    assert found.clips[0].name == f"train_soundscapes/{NAME}" and found.clips[0].path.is_file()
    assert (found.root, found.grouping, found.folding) == (tmp_path, "site in the file name", "none")
    assert found.warnings == (f"{path}: 3 of 6 rows list a window again; 3 windows are used.",)
    by_file = read_recordings(path, groups_column="filename")
    assert [clip.group for clip in by_file.clips] == [NAME, OTHER, NAME] and by_file.grouping == "column filename"
    by_day = read_recordings(path, group_regex=r"_(\d{8})_")
    assert [clip.group for clip in by_day.clips] == ["20260512", "20260513", "20260512"]


def test_soundscapes_of_other_names_are_grouped_by_file(tmp_path):
    touch(tmp_path, NAME, "dawn.ogg")  # beside the table, where there is no train_soundscapes/
    found = read_recordings(
        table(
            tmp_path / "w.csv", WINDOWS, [NAME, "00:00:00", "00:00:05", "x"], ["dawn.ogg", "00:00:00", "00:00:05", "x"]
        )
    )
    assert [clip.group for clip in found.clips] == [NAME, "dawn.ogg"] and found.grouping == "file"
    assert found.warnings == ()


def test_a_window_listed_with_two_opinions_has_all_their_labels(tmp_path):
    touch(tmp_path, NAME)
    rows = [[NAME, "00:00:00", "00:00:05", "a;b"], [NAME, "00:00:00", "00:00:05", "b;a"]]
    path = table(tmp_path / "w.csv", WINDOWS, *rows)
    (same,) = read_recordings(path).warnings  # another order is no other opinion
    assert "1 of 2 rows lists a window again" in same
    path = table(tmp_path / "w.csv", WINDOWS, *rows, [NAME, "00:00:00", "00:00:05", "c"])
    found = read_recordings(path)
    assert [clip.labels for clip in found.clips] == [("a", "b", "c")]
    assert found.warnings[1] == f"{path}: windows listed twice with different labels have them all: '{NAME}'."


@pytest.mark.parametrize(
    "row, message",
    [
        ([NAME, "0:00", "00:00:05", "x"], r"line 2: start '0:00', expected HH:MM:SS. Saved by a spreadsheet\?"),
        ([NAME, "00:00:00", "5", "x"], "line 2: end '5', expected HH:MM:SS"),
        ([NAME, "00:00:00", "00:00:60", "x"], "line 2: end '00:00:60', expected HH:MM:SS"),
        ([NAME, "00:00:05", "00:00:05", "x"], "start 00:00:05, end 00:00:05, expected start before end"),
        ([NAME, "00:00:00", "00:00:05", ""], "primary_label '', expected both filled"),
        ([NAME, "00:00:00", "00:00:05", "x;"], "primary_label 'x;', expected both filled"),
        (["gone.ogg", "00:00:00", "00:00:05", "x"], "1 of 1 file is not there: 'train_soundscapes/gone.ogg'"),
    ],
)
def test_labelled_soundscapes_that_are_wrong(tmp_path, row, message):
    touch(tmp_path, f"train_soundscapes/{NAME}")
    with pytest.raises(InputError, match=message) as caught:
        read_recordings(table(tmp_path / "windows.csv", WINDOWS, row))
    assert "windows.csv" in str(caught.value)
    with pytest.raises(InputError, match=r"expected filename, start, end, primary_label, got .*\. No column end"):
        read_recordings(table(tmp_path / "windows.csv", ["filename", "start", "primary_label"], row[:2] + row[3:]))


def test_labels_of_soundscapes_outside_the_taxonomy_are_named(tmp_path):
    touch(tmp_path, NAME)
    table(tmp_path / "taxonomy.csv", ["primary_label"], ["22930"], ["x"])
    path = table(tmp_path / "w.csv", WINDOWS, [NAME, "00:00:00", "00:00:05", "x;22930.0"])  # after a spreadsheet
    assert read_recordings(path).warnings == (f"{path}: labels that taxonomy.csv does not have: '22930.0'.",)
    path = table(tmp_path / "w.csv", WINDOWS, [NAME, "00:00:00", "00:00:05", "x; 22930"])
    assert read_recordings(path).warnings == ()


windows = st.dictionaries(
    st.tuples(st.sampled_from([NAME, OTHER]), st.integers(0, 11)),
    st.lists(st.sampled_from(["22930", "47158son01", "ashgre1"]), min_size=1, max_size=3, unique=True),
    min_size=1,
    max_size=24,
)


@settings(max_examples=60, deadline=None)
@given(windows=windows, seed=st.integers(0, 2**32 - 1))
def test_every_row_twice_is_every_window_once(tmp_path_factory, windows, seed):
    folder = touch(tmp_path_factory.mktemp("comp"), f"train_soundscapes/{NAME}", f"train_soundscapes/{OTHER}")
    rng = np.random.default_rng(seed)
    rows = [
        [
            name,
            f"00:00:{5 * i:02d}",
            f"00:{5 * (i + 1) // 60:02d}:{5 * (i + 1) % 60:02d}",
            sep.join(rng.permutation(names)),
        ]
        for sep in (";", "; ")  # the second time in another order, with spaces
        for (name, i), names in windows.items()
    ]
    found = read_recordings(table(folder / "labels.csv", WINDOWS, *rng.permutation(rows).tolist()))
    assert {(clip.path.name, clip.start_s / 5): set(clip.labels) for clip in found.clips} == {
        window: set(names) for window, names in windows.items()
    }
    assert len(found.clips) == len(windows) and all(clip.end_s == clip.start_s + 5 for clip in found.clips)
    n = len(windows)
    said = (
        "rows lists a window again; 1 window is used" if n == 1 else f"rows list a window again; {n} windows are used"
    )
    assert found.warnings == (f"{folder / 'labels.csv'}: {n} of {2 * n} {said}.",)


@settings(max_examples=60, deadline=None)
@given(
    split=st.sampled_from(["Train", "Test"]),
    number=st.integers(0, 99999),
    site=st.integers(0, 99),
    begun=st.datetimes(datetime(1000, 1, 1), datetime(2999, 12, 31)),
    suffix=st.sampled_from(["", ".ogg", ".flac"]),
)
def test_any_soundscape_name_round_trips(split, number, site, begun, suffix):
    begun = begun.replace(microsecond=0)
    wanted = SoundscapeName("BC2026", split, number, f"S{site:02d}", begun)
    assert SoundscapeName.parse(f"{wanted}{suffix}") == wanted
    assert SoundscapeName.parse(f"{wanted}_5{suffix}") is None  # a row id is no recording


@pytest.mark.parametrize(
    "name",
    [
        NAME.replace("_0001_", "_1_"),  # four digits, or the stem would not be that of the file
        NAME.replace("_0001_", "_00001_"),
        NAME.replace("_0001_", "_٠٠٠١_"),
        NAME.replace("20260512", "20250229"),
        NAME.replace("050000", "240000"),
        NAME.replace("050000", "050060"),
        NAME.replace("Train", "train"),
        NAME.replace("BC2026", "BC26"),
        NAME.replace(".ogg", "Z.ogg"),
    ],
)
def test_what_is_no_soundscape_name(name):
    assert SoundscapeName.parse(name) is None


def test_a_recording_over_midnight_ends_the_day_after():
    name = SoundscapeName.parse("BC2026_Test_0009_S22_20261231_235930.ogg")
    assert name.begun + timedelta(seconds=60) == datetime(2027, 1, 1, 0, 0, 30)


def test_soundscape_names_round_trip():
    name = SoundscapeName.parse(Path("anywhere") / NAME)
    assert (name.edition, name.split, name.number, name.site) == ("BC2026", "Train", 1, "S09")
    assert name.begun == datetime(2026, 5, 12, 5)
    assert f"{name}.ogg" == NAME
    for other in ("XC123.ogg", NAME.replace("20260512", "20260532"), NAME.replace("_S09", ""), "x" + NAME):
        assert SoundscapeName.parse(other) is None


# choose


def test_choose_takes_what_was_asked_for():
    chosen = choose(of({f"c{i}": 5 + i for i in range(40)}), 30, 20, seed=3)
    counts = Counter(clip.label for clip in chosen.clips)
    assert (
        len(chosen.clips) == 25 * 20 + sum(range(15, 20)) and len(counts) == 30
    )  # 25 classes have 20, the rest fill up
    assert set(counts) == {f"c{i}" for i in range(10, 40)}
    (warning,) = chosen.warnings
    assert warning.startswith("585 of 980 clips, 30 of 40 classes, 5 of them with fewer than 20 clips ('c10'")
    assert warning.endswith("), are used; `--classes` and `--per-class` take at most 30 x 20.")


def test_choose_warns_where_clips_are_left_out_and_not_otherwise():
    chosen = choose(of({"a": 30, "b": 30}), 30, 20)
    assert chosen.warnings == (
        "40 of 60 clips, 2 of 2 classes, are used; `--classes` and `--per-class` take at most 30 x 20.",
    )
    assert choose(of({"a": 30, "b": 30}), 30, 30).warnings == ()


def test_choose_none_takes_all():
    recordings = of({"a": 3, "b": 50})
    assert choose(recordings) == recordings


@pytest.mark.parametrize("classes, per_class, option", [(0, 5, "--classes"), (5, 0, "--per-class")])
def test_choose_nothing(classes, per_class, option):
    with pytest.raises(InputError, match=f"{option}: expected at least 1.*got 0"):
        choose(of({"a": 3}), classes, per_class)


@settings(deadline=None)
@given(
    counts=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 9), min_size=1),
    classes=st.integers(1, 8), per_class=st.integers(1, 9), seed=st.integers(0, 99), shuffled=st.randoms(),
)  # fmt: skip
def test_choose_depends_on_no_order(counts, classes, per_class, seed, shuffled):
    recordings = of(counts)
    chosen = choose(recordings, classes, per_class, seed)
    assert Counter(clip.label for clip in chosen.clips) == {
        label: min(counts[label], per_class) for label in chosen.labels
    } and len(chosen.labels) == min(classes, len(counts))
    left = sorted(min(counts[label], per_class) for label in set(counts) - set(chosen.labels))
    assert not left or left[-1] <= min(
        min(counts[label], per_class) for label in chosen.labels
    )  # the largest are taken
    mixed = list(recordings.clips)
    shuffled.shuffle(mixed)
    again = choose(replace(recordings, clips=tuple(mixed)), classes, per_class, seed)
    assert set(again.clips) == set(chosen.clips)


def test_choose_draws_differently_by_seed_and_equally_for_a_class_whatever_the_others():
    draws = [choose(of({"a": 30}), 1, 5, seed).clips for seed in range(10)]
    assert len(set(draws)) == 10
    beside = choose(of({"a": 30, "b": 30}), None, 5, 0)
    assert tuple(clip for clip in beside.clips if clip.label == "a") == draws[0]


# folds

counts_and_groups = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=30, max_size=80)


@settings(deadline=None, max_examples=60)
@given(rows=counts_and_groups, n_folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_folds_never_split_a_group_and_leave_every_class_something_to_learn(rows, n_folds, seed):
    labels, groups = [row[0] for row in rows], [str(row[1]) for row in rows]
    try:
        folds, words, _ = assign_folds(labels, groups, None, n_folds, seed, grouping="column site")
    except InputError as error:  # only for the reasons that it is meant for
        homes = defaultdict(set)
        for label, group in rows:
            homes[label].add(group)
        scarce = min(len(found) for found in homes.values()) < 2 or len(set(groups)) < n_folds
        assert scarce or min(Counter(labels).values()) < n_folds or len(homes) < 2, str(error)
        return
    assert folds.dtype == np.int64 and set(folds.tolist()) == set(range(n_folds)) and len(folds) == len(labels)
    homes = defaultdict(set)
    for group, fold in zip(groups, folds):
        homes[group].add(fold)
    assert all(len(found) == 1 for found in homes.values())
    for fold in range(n_folds):
        assert {label for label, home in zip(labels, folds) if home != fold} == set(labels)
    assert words == (
        f"{n_folds} stratified folds, shuffled with seed {seed}, {len(set(groups))} groups kept whole, column site"
    )
    np.testing.assert_array_equal(folds, assign_folds(labels, groups, None, n_folds, seed)[0])


def test_folds_without_groups_are_scikit_learns_and_warn():
    labels = ["a"] * 13 + ["b"] * 9
    folds, words, (warning,) = assign_folds(labels, [None] * 22, [""] * 22, 4, seed=5)
    for fold, (_, test) in enumerate(StratifiedKFold(4, shuffle=True, random_state=5).split(labels, labels)):
        np.testing.assert_array_equal(np.flatnonzero(folds == fold), test)
    assert words == "4 stratified folds, shuffled with seed 5, groups unknown"
    assert "no groups are known" in warning and "--group-regex" in warning


def test_given_folds_are_used_as_they_are():
    labels, given_folds = list("abab" * 3), ["10", "10", "2", "2", "1", "1"] * 2
    folds, words, warnings = assign_folds(labels, None, given_folds, 5, 0, folding="column fold")
    assert folds.tolist() == [2, 2, 1, 1, 0, 0] * 2  # in numeric order
    assert (words, warnings) == ("3 given folds (column fold)", ())


def test_a_group_in_two_given_folds_leaks():
    with pytest.raises(
        InputError, match=r"group 'R1': in the given folds 'x', 'y', expected one \(1 group of 2 split\)"
    ):
        assign_folds(list("abab"), ["R1", "R2", "R1", "R2"], ["x", "y", "y", "y"], 5)


@pytest.mark.parametrize(
    "labels, given_folds, message",
    [
        ("abab", ["1"] * 4, "expected at least 2.*got only '1'"),
        ("abab", ["1", "2", None, "2"], "1 clip without one"),
        ("aabbb", ["1", "1", "2", "2", "1"], "class 'a': all 2 clips in the given fold '1', so none is left"),
    ],
)
def test_given_folds_that_cannot_work(labels, given_folds, message):
    with pytest.raises(InputError, match=message):
        assign_folds(list(labels), None, given_folds, 5)


@pytest.mark.parametrize(
    "labels, groups, message",
    [
        (["wren"] * 3 + ["robin"] * 9, None, "class 'wren': 3 clips, fewer than the 5 folds; try --folds 3"),
        (["wren"] + ["robin"] * 9, None, "class 'wren': 1 clip, fewer than the 5 folds; leave it out"),
        (["wren"] * 3 + ["robin"] * 9, list("abcdefghijkl"), "class 'wren': 3 clips, fewer than the 5 folds"),
        (["wren"] * 6 + ["robin"] * 6, list("aabbccaabbcc"), "groups: found 3, fewer than the 5 folds; try --folds 3"),
        (["wren"] * 6 + ["robin"] * 6, list("aaaaaabcdefg"), "class 'wren': all 6 clips in one group"),
        (["wren"] * 9, None, "expected at least two classes, got only 'wren'"),
    ],
)
def test_folds_that_cannot_work(labels, groups, message):
    with pytest.raises(InputError, match=message):
        assign_folds(labels, groups, None, 5)


def test_one_fold_is_no_cross_validation():
    with pytest.raises(InputError, match=r"--folds: expected at least 2.*got 1"):
        assign_folds(list("abab"), None, None, 1)


def test_a_class_with_fewer_groups_than_folds_is_a_warning():
    labels = ["wren"] * 10 + ["robin"] * 20
    folds, _, (warning,) = assign_folds(
        labels, [f"w{i % 2}" for i in range(10)] + [f"r{i}" for i in range(20)], None, 5
    )
    assert warning == "1 class with fewer groups than the 5 folds: 'wren'."
    assert len(set(folds[:10].tolist())) == 2 and set(folds.tolist()) == set(range(5))


# the real thing


@pytest.mark.real
@pytest.mark.skipif(not ESC10.is_dir(), reason="no ESC-10")
def test_esc10_has_ten_classes_of_forty_in_five_folds_that_keep_sources_together():
    found = read_recordings(ESC10, group_regex=r"^\d-(\d+)-", fold_regex=r"^(\d)-")
    assert Counter(clip.label for clip in found.clips) == dict.fromkeys(found.labels, 40) and len(found.labels) == 10
    assert found.warnings == ()
    labels, groups, folds = zip(*((clip.label, clip.group, clip.fold) for clip in found.clips))
    numbers, words, warnings = assign_folds(labels, groups, folds, 5, folding=found.folding)
    assert np.bincount(numbers).tolist() == [80] * 5 and warnings == ()
    assert words == r"5 given folds (file-name pattern '^(\d)-')"


def test_unlabelled_takes_every_recording_below_a_folder(tmp_path):
    for name in ("BC2026_Train_0001_S01_20260512_050000.ogg", "BC2026_Train_0002_S02_20260512_050000.ogg", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = read_recordings(tmp_path, labelled=False)
    assert [clip.labels for clip in found.clips] == [("",), ("",)]
    assert [clip.group for clip in found.clips] == ["S01", "S02"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="without audio files"):
        read_recordings(tmp_path / "empty", labelled=False)
