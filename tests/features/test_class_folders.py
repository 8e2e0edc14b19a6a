"""AUDIO as class folders, or unlabelled; groups and folds by patterns. Nothing here decodes audio."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from birdprobe.features import InputError
from birdprobe.features.recordings import assign_folds, read_recordings
from tests.clip_tables import touch

ESC10 = Path(__file__).parents[3] / "shared" / "data" / "esc10"


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


@pytest.mark.parametrize("other", ["Wren", "WREN", "w r e n", "ｗren"])
def test_labels_that_look_alike_stay_apart_and_are_named(tmp_path, other):
    name = "w  r e n" if " " in other else "wren"
    found = read_recordings(touch(tmp_path, f"{name}/1.wav", f"{other}/2.wav", f"{other}/3.wav", "robin/4.wav"))
    assert set(found.labels) == {name, other, "robin"}
    (warning,) = found.warnings
    assert f"'{name}' (1 clip)" in warning and f"'{other}' (2 clips)" in warning and "case or spaces" in warning


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
