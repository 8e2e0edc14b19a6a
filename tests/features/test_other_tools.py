"""What opensoundscape and crowsetta write today, where they are installed.

Files that they wrote once are in label_tables/ and tested everywhere (test_label_tables).
"""

import numpy as np
import pandas as pd
import pytest

from birdprobe.features.recordings import read_recordings


def found(path):
    return [(clip.name, clip.labels, clip.start_s, clip.end_s) for clip in read_recordings(path).clips]


@pytest.fixture
def boxes(tmp_path):
    try:
        from opensoundscape import annotations
    except (ImportError, OSError) as error:  # a torchaudio that does not fit torch is an OSError
        pytest.skip(f"no opensoundscape: {error}")
    (tmp_path / "dawn.wav").write_bytes(b"sound")
    table = pd.DataFrame({"annotation": ["NOCA", "BLJA", "NOCA"], "start_time": [0.5, 1.0, 4.0]})
    table = table.assign(end_time=[1.5, 2.0, 5.5], low_f=1000.0, high_f=5000.0, audio_file="dawn.wav")
    return annotations.BoxedAnnotations(table, audio_files=["dawn.wav"])


EVENTS = [("dawn.wav", ("NOCA",), 0.5, 1.5), ("dawn.wav", ("BLJA",), 1.0, 2.0), ("dawn.wav", ("NOCA",), 4.0, 5.5)]


def test_opensoundscapes_boxes(boxes, tmp_path):
    boxes.to_csv(tmp_path / "boxes.csv")
    assert found(tmp_path / "boxes.csv") == EVENTS


def test_opensoundscapes_raven_files(boxes, tmp_path):
    boxes.to_raven_files(tmp_path)
    (table,) = tmp_path.glob("*.txt")
    assert found(table) == EVENTS


def test_opensoundscapes_one_hot_clips(boxes, tmp_path):
    labels = boxes.clip_labels(
        full_duration=6, clip_duration=2, clip_overlap=0, min_label_overlap=0.25, class_subset=["NOCA", "BLJA"]
    )
    getattr(labels, "df", labels).to_csv(tmp_path / "clips.csv")
    rows = {(name, frozenset(labels), start, end) for name, labels, start, end in found(tmp_path / "clips.csv")}
    assert rows == {("dawn.wav", frozenset({"NOCA", "BLJA"}), 0.0, 2.0), ("dawn.wav", frozenset({"NOCA"}), 4.0, 6.0)}


def test_crowsettas_files(tmp_path):
    crowsetta = pytest.importorskip("crowsetta")
    (tmp_path / "dawn.wav").write_bytes(b"sound")
    times = {"onsets_s": np.array([0.1, 1.0]), "offsets_s": np.array([0.5, 1.7])}
    sequence = crowsetta.Sequence.from_keyword(labels=np.array(["a", "b"]), **times)
    wanted = [("dawn.wav", ("a",), 0.1, 0.5), ("dawn.wav", ("b",), 1.0, 1.7)]
    annotation = crowsetta.Annotation(seq=sequence, annot_path="dawn.txt", notated_path="dawn.wav")
    crowsetta.formats.seq.GenericSeq(annots=[annotation]).to_file(tmp_path / "seq.csv")
    assert found(tmp_path / "seq.csv") == wanted
    crowsetta.formats.seq.AudSeq(
        start_times=times["onsets_s"],
        end_times=times["offsets_s"],
        labels=np.array(["a", "b"]),
        annot_path=tmp_path / "dawn.txt",
    ).to_file(tmp_path / "dawn.txt")
    assert found(tmp_path / "dawn.txt") == wanted
