"""Names as recorders, macOS and spreadsheets leave them: found, told apart, or refused in one line before all else."""

import os
import unicodedata

import numpy as np
import pytest
import soundfile

from birdprobe.features import InputError
from birdprobe.features.audio import info, read
from birdprobe.features.recordings import reading
from birdprobe.features.recordings.reading import read_recordings
from birdprobe.features.spelling import counted, on_disk, printable, share, spanned

NFC, NFD = (unicodedata.normalize(form, "Großer Würger é") for form in ("NFC", "NFD"))


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(os.fsencode(path), np.random.default_rng(0).uniform(-0.5, 0.5, 8000), 8000, format="WAV")


@pytest.fixture(params=["NFC on disk", "NFD on disk"])
def spelled(request, tmp_path):
    """(folder, the spelling on disk, the spelling in tables)"""
    there, told = (NFC, NFD) if request.param.startswith("NFC") else (NFD, NFC)
    return tmp_path, there, told


def test_a_manifest_in_another_form_of_unicode(spelled):
    folder, there, told = spelled
    for i in range(2):
        write(folder / there / f"{there} {i}.wav")
    rows = [f"{told}/{told} 0.wav,{told}", f"{folder}/{there}/{told} 1.wav,{there}"]
    (folder / "m.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
    found = read_recordings(folder / "m.csv")
    assert [clip.path.read_bytes()[:4] for clip in found.clips] == [b"RIFF"] * 2
    assert found.labels == (NFC,)  # one class, however it is written


def test_a_birdclef_folder_in_another_form_of_unicode(spelled):
    folder, there, told = spelled
    write(folder / "train_audio" / there / f"{there}.wav")
    (folder / "train.csv").write_text(f"primary_label,filename\n{told},{told}/{told}.wav\n", encoding="utf-8")
    assert read_recordings(folder).clips[0].path.is_file()


def test_soundscapes_in_another_form_of_unicode(spelled):
    folder, there, told = spelled
    write(folder / "train_soundscapes" / f"{there}.wav")
    text = f"filename,start,end,primary_label\n{told}.wav,00:00:00,00:00:05,a\n"
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    assert read_recordings(folder / "labels.csv").clips[0].path.is_file()


def test_a_file_that_is_not_there_stays_so(tmp_path):
    assert on_disk(tmp_path, "é/nothing.wav") == tmp_path / "é/nothing.wav"
    with pytest.raises(InputError, match="1 of 1 file is not there"):
        (tmp_path / "m.csv").write_text(f"path,label\n{'x' * 300}.wav,a\n")
        read_recordings(tmp_path / "m.csv")


def test_file_names_that_are_not_utf8(tmp_path):
    for i, name in enumerate((b"gar\xe7on-1.wav", b"b-1.wav")):
        write(tmp_path / "ab"[i] / os.fsdecode(name))
    found = read_recordings(tmp_path, group_regex=r"^(.+)-\d")
    assert [(clip.name, clip.group) for clip in found.clips] == [
        (r"a/gar\xe7on-1.wav", r"gar\xe7on"),
        ("b/b-1.wav", "b"),
    ]
    assert all(len(read(clip.path, 8000)) == 8000 and info(clip.path).frames == 8000 for clip in found.clips)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"gar\xe7on", r"class folder .*gar\\xe7on: its name is not UTF-8"),
        (b"Turdus; merula", "expected one class, got `;`"),
        (b" Turdus", "with spaces around it"),
        (b"Turdus ", "with spaces around it"),
    ],
)
def test_class_folders_that_are_no_class(tmp_path, name, said):
    write(tmp_path / "Turdus" / "a.wav")
    write(tmp_path / os.fsdecode(name) / "b.wav")
    with pytest.raises(InputError, match=said) as raised:
        read_recordings(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_a_label_that_would_become_two(tmp_path):
    write(tmp_path / "train_audio" / "a.wav")
    (tmp_path / "train.csv").write_text("primary_label,filename\na;b,a.wav\n")
    with pytest.raises(InputError, match=r"line 2: label 'a;b', expected no `;`"):
        read_recordings(tmp_path)


@pytest.mark.parametrize("pattern", ["(a+)+$", "((a|aa)+)+$"])
def test_a_pattern_that_backtracks_for_ever(tmp_path, monkeypatch, pattern):
    monkeypatch.setattr(reading, "PATIENCE_S", 1)
    write(tmp_path / "a" / f"{'a' * 60}!.wav")
    with pytest.raises(InputError, match=r"--group-regex .*no answer for 1 file names.*Repeats inside repeats"):
        read_recordings(tmp_path, group_regex=pattern)


def test_a_pattern_of_two_repeats_is_searched_as_ever(tmp_path):
    for name in ("S01_2024-x.wav", "S02_2025-y.wav", "other.wav"):
        write(tmp_path / "a" / name)
    found = read_recordings(tmp_path, group_regex=r"^(S\d+)_\d+-")
    assert [clip.group for clip in found.clips] == ["S01", "S02", "a/other.wav"]


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("['a' 'b']", ("x", "a", "b")),  # NumPy
        ("['a'\n 'b'\n 'c']", ("x", "a", "b", "c")),
        ("['a', 'b']", ("x", "a", "b")),
        ('["it\'s", "b"]', ("x", "it's", "b")),
        ("[]", ("x",)),
        ("", ("x",)),
    ],
)
def test_secondary_labels(tmp_path, written, labels):
    write(tmp_path / "train_audio" / "a.wav")
    quoted = written.replace('"', '""')
    (tmp_path / "train.csv").write_text(f'primary_label,filename,secondary_labels\nx,a.wav,"{quoted}"\n')
    assert read_recordings(tmp_path).clips[0].labels == labels


@pytest.mark.parametrize("written", ["['a' ... 'b']", "['a'", "['a''b']", "['a', 1]", "array(['a'])", "a"])
def test_secondary_labels_that_are_no_list(tmp_path, written):
    write(tmp_path / "train_audio" / "a.wav")
    (tmp_path / "train.csv").write_text(f'primary_label,filename,secondary_labels\nx,a.wav,"{written}"\n')
    with pytest.raises(InputError, match=r"line 2: secondary_labels"):
        read_recordings(tmp_path)


def test_what_a_spreadsheet_leaves_behind(tmp_path):
    write(tmp_path / "a.wav")
    (tmp_path / "m.csv").write_text("path,label,,\na.wav,x,,\n,,,\n,,,\n")
    assert [clip.labels for clip in read_recordings(tmp_path / "m.csv").clips] == [("x",)]
    (tmp_path / "m.csv").write_text("path,label,,\na.wav,x,,y\n")
    with pytest.raises(InputError, match="expected every name once"):
        read_recordings(tmp_path / "m.csv")


def test_printable_names_are_text():
    assert printable(os.fsdecode(b"\xe7a\xc3\xa7")) == r"\xe7aç"
    assert printable("ça") == "ça"


def test_counts_agree_with_their_nouns():
    assert [counted(n, "class") for n in (0, 1, 2, 1200)] == ["0 classes", "1 class", "2 classes", "1,200 classes"]
    assert share(1, 62, "file", "is", "are") == "1 of 62 files is" and share(2, 2, "clip", "is", "are").endswith("are")
    assert spanned(["stem", "block_00", "logits"]) == "3 taps stem..logits" and spanned(["logits"]) == "1 tap logits"
