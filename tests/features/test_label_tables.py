"""Tables of labels of other tools, written by the tools themselves (label_tables/) or to their description."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.features.recordings import read_recordings

WRITTEN = Path(__file__).parent / "label_tables"


def place(tmp_path: Path, table: str | None, *audio: str) -> Path:
    """A copy of a written table beside (empty) recordings, which the reader of tables never opens."""
    for name in audio:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"sound")
    if table is None:
        return tmp_path
    return Path(shutil.copy(WRITTEN / table, tmp_path))


def found(path: Path, **options) -> list[tuple]:
    return [(c.name, c.labels, c.start_s, c.end_s) for c in read_recordings(path, **options).clips]


def text(path: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


# written by the tools themselves


def test_raven_by_crowsetta_is_about_the_recording_that_it_is_named_like(tmp_path):
    path = place(tmp_path, "crowsetta/dawn.Table.1.selections.txt", "dawn.wav", "dawn2.wav")
    assert found(path) == [("dawn.wav", ("NOCA",), 0.5, 1.5), ("dawn.wav", ("BLJA",), 1.0, 2.0)]
    assert read_recordings(path).kind == "Raven selection table, labels in column Species"
    assert read_recordings(path).grouping == "file"


def test_raven_by_opensoundscape(tmp_path):
    path = place(tmp_path, "opensoundscape/dawn.selections.txt", "audio/dawn.wav")
    assert [row[1:] for row in found(path)] == [
        (("NOCA",), 0.5, 1.5), (("BLJA",), 1.0, 2.0), (("NOCA",), 4.0, 5.5),
    ]  # fmt: skip
    assert found(path)[0][0] == "audio/dawn.wav"


def test_audacity_by_crowsetta(tmp_path):
    path = place(tmp_path, "crowsetta/dusk.txt", "dusk.flac")
    assert found(path) == [("dusk.flac", ("robin",), 0.1, 0.5), ("dusk.flac", ("wren",), 1.0, 1.7)]


def test_a_folder_of_label_files(tmp_path):
    place(tmp_path, "crowsetta/dusk.txt", "dusk.wav", "dawn.wav")
    place(tmp_path, "crowsetta/dawn.Table.1.selections.txt")
    text(tmp_path / "LICENSE.txt", "no table")
    recordings = read_recordings(tmp_path)
    assert [clip.name for clip in recordings.clips] == ["dawn.wav", "dawn.wav", "dusk.wav", "dusk.wav"]
    assert recordings.kind == "Raven selection table, labels in column Species, Audacity labels"


def test_generic_seq_by_crowsetta(tmp_path):
    path = place(tmp_path, "crowsetta/generic_seq.csv", "dawn.wav")
    assert found(path) == [("dawn.wav", ("a",), 0.1, 0.5), ("dawn.wav", ("b",), 1.0, 1.7)]


@pytest.mark.parametrize(
    ("table", "kind", "cardinal"),
    [
        ("selection.table.txt", "Raven selection table, labels in column Species Code", "norcar"),
        ("results.txt", "Audacity labels", "Cardinalis cardinalis, Northern Cardinal"),
        ("results.kaleidoscope.csv", "Kaleidoscope table, labels in column common_name", "Northern Cardinal"),
        ("results.csv", "BirdNET-Analyzer results, labels in column Common name", "Northern Cardinal"),
    ],
)
def test_results_by_birdnet_analyzer(tmp_path, table, kind, cardinal):
    audio = "site1/dawn.wav" if "kaleidoscope" in table else "dawn.wav"
    path = place(tmp_path, f"birdnet_analyzer/dawn.BirdNET.{table}", audio)
    first, second = found(path)
    assert first == (audio, (cardinal,), 0.0, 3.0)
    assert second[0] == audio and len(second[1]) == 2 and cardinal in second[1] and second[2:] == (3.0, 6.0)
    assert read_recordings(path).kind == kind


def test_opensoundscape_boxes(tmp_path):
    path = place(tmp_path, "opensoundscape/boxes.csv", "dawn.wav")
    assert found(path)[1] == ("dawn.wav", ("BLJA",), 1.0, 2.0) and len(found(path)) == 3


def test_opensoundscape_one_hot_clips(tmp_path):
    path = place(tmp_path, "opensoundscape/clips.csv", "dawn.wav")
    assert found(path) == [("dawn.wav", ("NOCA", "BLJA"), 0.0, 2.0), ("dawn.wav", ("NOCA",), 4.0, 6.0)]
    assert read_recordings(path).warnings == (f"{path}: 1 of 3 rows has no label; left out.",)


def test_one_hot_by_pandas_with_a_multiindex(tmp_path):
    place(tmp_path, None, "a.wav")
    index = pd.MultiIndex.from_tuples(
        [("a.wav", 0.0, 5.0), ("a.wav", 5.0, 10.0)], names=["file", "start_time", "end_time"]
    )
    pd.DataFrame({"x": [1, 0], "y": [1.0, 1.0]}, index=index).to_csv(tmp_path / "t.csv")
    assert found(tmp_path / "t.csv") == [("a.wav", ("x", "y"), 0.0, 5.0), ("a.wav", ("y",), 5.0, 10.0)]


def test_scores_are_no_one_hot_labels(tmp_path):
    place(tmp_path, None, "a.wav")
    with pytest.raises(InputError, match=r"expected path, label.*got columns file, start_time, end_time, x"):
        read_recordings(text(tmp_path / "t.csv", "file,start_time,end_time,x", "a.wav,0,5,0.37"))


# made to their published description


def test_raven_of_several_recordings_counts_in_each_file(tmp_path):
    place(tmp_path, None, "a.wav", "b.wav")
    path = text(
        tmp_path / "all.txt",
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tBegin Path\tFile Offset (s)\tAnnotation",
        f"1\tWaveform 1\t1\t2.0\t3.0\t{tmp_path}/a.wav\t2.0\twren",
        f"1\tSpectrogram 1\t1\t2.0\t3.0\t{tmp_path}/a.wav\t2.0\twren",
        "2\tSpectrogram 1\t1\t61.0\t62.5\tC:\\Users\\Ada\\audio\\b.wav\t1.0\trobin",
    )
    assert found(path) == [("a.wav", ("wren",), 2.0, 3.0), ("b.wav", ("robin",), 1.0, 2.5)]
    assert "1 recording is not where it says, and was found by name" in read_recordings(path).warnings[0]


def test_raven_without_an_annotation_column_lists_what_is_there(tmp_path):
    path = text(tmp_path / "a.txt", "Selection\tBegin Time (s)\tEnd Time (s)\tQuality", "1\t0\t1\tgood")
    place(tmp_path, None, "a.wav")
    with pytest.raises(InputError, match=r"say which column it is by `--column label=NAME`.*Quality\.$"):
        read_recordings(path)
    assert found(path, column="label=Quality") == [("a.wav", ("good",), 0.0, 1.0)]


def test_audacity_points_and_frequencies(tmp_path):
    place(tmp_path, None, "a.wav")
    path = text(tmp_path / "a.txt", "0.5\t1.5\twren", "\\\t1000\t4000", "2.0\t2.0\tpoint", "3\t4\t")
    recordings = read_recordings(path)
    assert [clip.labels for clip in recordings.clips] == [("wren",)]
    assert len(recordings.warnings) == 2
    with pytest.raises(InputError, match="names no recording, and none beside it is called lost"):
        read_recordings(text(tmp_path / "lost.txt", "0.5\t1.5\twren"))


@pytest.mark.parametrize("manual, label", [("robin", "robin"), ("", "cluster 3")])
def test_kaleidoscope(tmp_path, manual, label):
    place(tmp_path, None, "site1/rec1.wav")
    path = text(
        tmp_path / "cluster.csv",
        "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,TOP1MATCH*,MANUAL ID",
        f"D:\\audio,site1,rec1.wav,0,12.5,3.25,cluster 3,{manual}",
    )
    assert found(path) == [("site1/rec1.wav", (label,), 12.5, 15.75)]


def test_beans_paths_count_from_its_root(tmp_path):
    place(tmp_path, None, "data/watkins/wav/1.wav", "data/rfcx/wav/2.wav")
    index = pd.DataFrame({"path": ["data/watkins/wav/1.wav"], "label": ["Orca"]}, index=[7])
    index.to_csv(tmp_path / "data/watkins/annotations.train.csv")
    assert found(tmp_path / "data/watkins/annotations.train.csv") == [("wav/1.wav", ("Orca",), None, None)]
    record = {"path": "data/rfcx/wav/2.wav", "length": 60.0, "annotations": [{"st": 1.5, "ed": 3.0, "label": 14}]}
    path = text(tmp_path / "data/rfcx/train.jsonl", json.dumps(record))
    assert found(path) == [("wav/2.wav", ("14",), 1.5, 3.0)]
    with pytest.raises(InputError, match=r"bad\.jsonl, line 1: no BEANS record"):
        read_recordings(text(tmp_path / "bad.jsonl", "{}"))


def test_birdset_metadata(tmp_path):
    place(tmp_path, None, "HSN/XC1.ogg", "HSN/HSN_1.ogg")
    frame = pd.DataFrame(
        {
            "filepath": ["XC1.ogg", "HSN_1.ogg", "HSN_1.ogg"],
            "ebird_code": ["whcspa", None, None],
            "ebird_code_multilabel": [["whcspa"], ["foxspa", "amepip"], []],
            "start_time": [None, 0.0, 5.0],
            "end_time": [None, 5.0, 10.0],
        }
    )
    wanted = [("HSN/XC1.ogg", ("whcspa",), None, None), ("HSN/HSN_1.ogg", ("foxspa", "amepip"), 0.0, 5.0)]
    flat = frame.assign(ebird_code_multilabel=[";".join(codes) for codes in frame["ebird_code_multilabel"]])
    flat.to_csv(tmp_path / "test.csv", index=False)
    assert found(tmp_path / "test.csv") == wanted
    pytest.importorskip("pyarrow")
    frame.to_parquet(tmp_path / "test.parquet")
    assert found(tmp_path / "test.parquet") == wanted


def test_parquet_needs_pyarrow(tmp_path):
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (tmp_path / "a.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match=r"Parquet needs pyarrow: pip install 'birdprobe\[parquet\]'"):
            read_recordings(tmp_path / "a.parquet")
        return
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        read_recordings(tmp_path / "a.parquet")


# any table, and what spreadsheets make of one


def test_columns_of_any_table(tmp_path):
    place(tmp_path, None, "a.wav")
    path = text(
        tmp_path / "t.csv", "filename,species,onset,len,night", "a.wav,wren,1.5,2,n1", "a.wav,robin,0:01:05,2,n2"
    )
    column = "label=species,path=filename,start=onset,duration=len,group=night"
    assert found(path, column=column) == [("a.wav", ("wren",), 1.5, 3.5), ("a.wav", ("robin",), 65.0, 67.0)]
    assert read_recordings(path, column=column).grouping == "column night"
    with pytest.raises(
        InputError, match=r"got columns filename, species, onset, len, night\. Understood are a manifest"
    ):
        read_recordings(path)


@pytest.mark.parametrize(
    "column, message",
    [
        ("label=species,paths=filename", r"`--column` must be FIELD=COLUMN.*got 'paths=filename'"),
        ("label", "got 'label'"),
        ("", "at least one FIELD=COLUMN"),
        ("label=kind", "`--column label=kind`, but its columns are filename, species"),
    ],
)
def test_columns_that_cannot_work(tmp_path, column, message):
    path = text(tmp_path / "t.csv", "filename,species", "a.wav,wren")
    with pytest.raises(InputError, match=message):
        read_recordings(path, column=column)


def test_excel_semicolons_decimal_commas_and_its_first_line(tmp_path):
    place(tmp_path, None, "ton/a.wav")
    path = text(tmp_path / "t.csv", "sep=;", "path;label;start_s;end_s", "ton\\a.wav;Mönch;0,5;1,75", encoding="cp1252")
    assert found(path) == [("ton/a.wav", ("Mönch",), 0.5, 1.75)]
    assert "not UTF-8, read as Windows-1252 (such as 'Mönch')" in read_recordings(path).warnings[0]
    path.write_text("path\tlabel\nton/a.wav\tMönch\n", encoding="utf-16")  # Excel's "Unicode text"
    assert found(path) == [("ton/a.wav", ("Mönch",), None, None)]


def test_a_recording_that_is_nowhere_is_named(tmp_path):
    path = place(tmp_path, "opensoundscape/boxes.csv", "dusk.wav")
    with pytest.raises(InputError, match=r"1 of 1 file is not there: 'dawn\.wav'"):
        read_recordings(path)


def test_a_few_recordings_that_are_nowhere_are_skipped(tmp_path):
    place(tmp_path, None, "a.wav")
    path = text(tmp_path / "t.csv", "filename,species", "a.wav,wren", "gone.wav,wren", "a.wav,robin")
    recordings = read_recordings(path, column="label=species,path=filename")
    assert [(clip.name, clip.labels) for clip in recordings.clips] == [("a.wav", ("wren", "robin"))]
    looked = f"Looked beside, above and below {tmp_path}."
    assert recordings.warnings == (f"{path}: 1 of 2 files is not there and left out: 'gone.wav'. {looked}",)


def test_missing_recordings_of_a_folder_of_label_files_are_counted_together(tmp_path):
    place(tmp_path, None, "a.wav", "b.wav")
    for name in ("a", "b", "gone"):
        header = "Selection\tBegin Time (s)\tEnd Time (s)\tBegin File\tSpecies"
        text(tmp_path / f"{name}.selections.txt", header, f"1\t0\t1\t{name}.wav\twren")
    recordings = read_recordings(tmp_path)
    assert [clip.name for clip in recordings.clips] == ["a.wav", "b.wav"]
    (warning,) = recordings.warnings
    assert warning.startswith(f"{tmp_path}: 1 of 3 files is not there and left out: 'gone.wav'.")


def test_two_recordings_of_one_name_are_not_guessed_between(tmp_path):
    path = place(tmp_path, "opensoundscape/boxes.csv", "x/dawn.wav", "y/dawn.wav")
    with pytest.raises(InputError, match=r"is there more than once: .* may be 'x/dawn\.wav', 'y/dawn\.wav'"):
        read_recordings(path)


def test_one_label_file_that_cannot_be_used_is_left_out_of_its_folder(tmp_path):
    place(tmp_path, None, "a.wav", "b.wav")
    for name in ("a", "b", "lonely"):
        text(tmp_path / f"{name}.txt", "0\t1\twren")
    recordings = read_recordings(tmp_path)
    assert [clip.name for clip in recordings.clips] == ["a.wav", "b.wav"]
    (warning,) = recordings.warnings
    lonely = tmp_path / "lonely.txt"
    assert warning.startswith(f"{tmp_path}: 1 of 3 label files is left out. The first: {lonely}: an Audacity label")
    text(tmp_path / "b.txt", "0\t1")
    with pytest.raises(InputError, match=r"b\.txt: Audacity labels, but none of its 1 rows"):
        read_recordings(tmp_path)  # two of three: not the label files but the folder is wrong
