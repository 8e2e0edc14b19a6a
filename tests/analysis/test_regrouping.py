"""A second labelling: the manifest says of the same clips what the mapping says, and a sweep can read it."""

import numpy as np
import pytest
import soundfile

from birdprobe.analysis.regrouping import write
from birdprobe.features import InputError
from birdprobe.features.recordings import read_recordings

CLASSES = {"dog": "alive", "rooster": "alive", "rain": "not alive"}


@pytest.fixture
def audio(tmp_path):
    for name in CLASSES:
        (tmp_path / "audio" / name).mkdir(parents=True)
        for i in range(4):
            tone = np.sin(np.arange(800) * 0.1 * (i + 1))
            soundfile.write(tmp_path / "audio" / name / f"{i % 2 + 1}-{name}{i // 2}-{i}.wav", tone, 8000)
    return tmp_path / "audio"


def test_the_manifest_reads_as_the_same_clips_with_new_labels(audio, tmp_path):
    options = {"group_regex": r"^\d-(\w+)-", "fold_regex": r"^(\d)-"}
    out = write(audio, CLASSES, tmp_path / "deep" / "alive.csv", **options)
    old, new = read_recordings(audio, **options), read_recordings(out)
    assert new.labels == ("alive", "not alive")
    assert [clip.path.resolve() for clip in new.clips] == [clip.path.resolve() for clip in old.clips]
    assert [clip.label for clip in new.clips] == [CLASSES[clip.label] for clip in old.clips]
    assert [(clip.group, clip.fold) for clip in new.clips] == [(clip.group, clip.fold) for clip in old.clips]
    assert {clip.group for clip in new.clips} == {f"{name}{i}" for name in CLASSES for i in (0, 1)}


def test_a_class_can_be_left_out(audio, tmp_path):
    out = write(audio, CLASSES | {"rooster": ""}, tmp_path / "two.csv")
    assert len(read_recordings(out).clips) == 8


def test_labels_that_become_one_stand_once(audio, tmp_path):
    table = tmp_path / "table.csv"
    lines = ["dog/1-dog0-0.wav,dog;rooster", "rain/1-rain0-0.wav,rain;dog"]
    table.write_text("\n".join(["path,label", *(f"audio/{line}" for line in lines)]))
    clips = read_recordings(write(table, CLASSES, tmp_path / "out.csv")).clips
    assert [clip.labels for clip in clips] == [("alive",), ("not alive", "alive")]


def test_input_errors(audio, tmp_path):
    out = tmp_path / "out.csv"
    with pytest.raises(InputError, match=r"no new label for 'rain'"):
        write(audio, {"dog": "a", "rooster": "b"}, out)
    with pytest.raises(InputError, match=r"'cat' found, which .* does not have"):
        write(audio, CLASSES | {"cat": "alive"}, out)
    with pytest.raises(InputError, match="at least two new labels wanted"):
        write(audio, dict.fromkeys(CLASSES, "sound"), out)
    with pytest.raises(InputError, match="may not stand in one"):
        write(audio, CLASSES | {"rain": "wet;cold"}, out)
    write(audio, CLASSES, out)
    with pytest.raises(InputError, match="a file found, a new name wanted"):
        write(audio, CLASSES, out)
