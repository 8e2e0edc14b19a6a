"""BirdCLEF's folders, taxonomies, labelled soundscapes and their names."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.features.recordings import SoundscapeName, read_recordings
from birdprobe.features.recordings.taxonomy import read_classes
from tests.clip_tables import NAME, OTHER, WINDOWS, birdclef, table, touch


@pytest.mark.parametrize("there, missing", [("train_audio/wren/1.ogg", r"train\.csv"), ("train.csv", "train_audio")])
def test_half_a_birdclef_folder(tmp_path, there, missing):
    with pytest.raises(InputError, match=f"expected both in a BirdCLEF folder, got .* without {missing}"):
        read_recordings(touch(tmp_path, there))


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
        ([NAME, "00:00:00", "00:00:05", ""], "none of its 1 row has a label"),
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
        NAME.replace("20260512", "20260532"),
        NAME.replace("_S09", ""),
        f"x{NAME}",
        "XC123.ogg",
    ],
)
def test_what_is_no_soundscape_name(name):
    assert SoundscapeName.parse(name) is None


def test_a_soundscape_name_in_parts():
    name = SoundscapeName.parse(Path("anywhere") / NAME)
    assert (name.edition, name.split, name.number, name.site) == ("BC2026", "Train", 1, "S09")
    assert name.begun == datetime(2026, 5, 12, 5) and f"{name}.ogg" == NAME


def test_a_recording_over_midnight_ends_the_day_after():
    name = SoundscapeName.parse("BC2026_Test_0009_S22_20261231_235930.ogg")
    assert name.begun + timedelta(seconds=60) == datetime(2027, 1, 1, 0, 0, 30)
