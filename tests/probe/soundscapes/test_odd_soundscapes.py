"""Soundscapes as recorders and disks leave them: every second that is there gets its row, and no two rows one id."""

import os
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from birdprobe.analysis import predictions
from birdprobe.features import InputError, audio
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.probe.soundscapes import predict
from birdprobe.probe.soundscapes.predictor import read_labels
from birdprobe.probe.soundscapes.rows import duration, find
from tests.tiny import SAMPLE_RATE, tiny_backbone


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_backbone(folder / "model.onnx")
    (folder / "labels.txt").write_text("\n".join("abcdefg") + "\n")
    return open_predictor(folder / "model.onnx", labels=folder / "labels.txt", sample_rate=SAMPLE_RATE)


def write(path: Path, seconds: float = 6.0, seed: int = 0, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE))
    soundfile.write(os.fsencode(path), noise, SAMPLE_RATE, **({"format": "WAV"} if path.suffix == ".wav" else options))
    return path


def predicted(predictor, sounds, out, **options):
    said = []
    done = predict(predictor, sounds, out, progress=False, say=said.append, **options)
    return done, predictions.read_predictions(out), said


def test_one_name_in_two_folders(predictor, tmp_path):
    """The first file of every AudioMoth is called alike."""
    for i, moth in enumerate(("MOTH01", "MOTH02")):
        write(tmp_path / "sounds" / moth / "20260512_050000.wav", 2, seed=i)
    _, table, _ = predicted(predictor, tmp_path / "sounds", tmp_path / "o.csv")
    assert list(table.index) == [f"{moth}/20260512_050000_{end}" for moth in ("MOTH01", "MOTH02") for end in (1, 2)]
    assert list(predictions.files(table.index)[::2]) == ["MOTH01/20260512_050000", "MOTH02/20260512_050000"]
    _, one, _ = predicted(predictor, tmp_path / "sounds" / "MOTH02", tmp_path / "p.csv")
    assert list(one.index) == ["20260512_050000_1", "20260512_050000_2"]
    np.testing.assert_array_equal(table.to_numpy()[2:], one.to_numpy())
    listed = [tmp_path / "sounds" / moth / "20260512_050000.wav" for moth in ("MOTH01", "MOTH02")]
    assert [file.stem for file in find(listed)] == ["MOTH01/20260512_050000", "MOTH02/20260512_050000"]


def test_hidden_folders_are_told(predictor, tmp_path):
    write(tmp_path / "sounds" / "a.wav", 1)
    write(tmp_path / "sounds" / ".trash" / "b.wav", 1)
    done, _, said = predicted(predictor, tmp_path / "sounds", tmp_path / "o.csv")
    assert done.files == 1 and any(".trash: a hidden folder" in line for line in said)


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_of_another_form_in_the_sample_submission(predictor, tmp_path, forms):
    there, told = (unicodedata.normalize(form, "Brühl") for form in forms)
    write(tmp_path / "sounds" / f"{there}.wav", 2)
    (tmp_path / "sample.csv").write_text(f"row_id,a,b\n{told}_1,0,0\n{told}_2,0,0\n", encoding="utf-8")
    done, table, _ = predicted(
        predictor, tmp_path / "sounds", tmp_path / "o.csv", sample_submission=tmp_path / "sample.csv"
    )
    assert list(table.index) == [f"{told}_1", f"{told}_2"] and not done.fallback_rows


def test_names_that_are_not_utf8(predictor, tmp_path):
    write(tmp_path / "sounds" / os.fsdecode(b"gar\xe7on.wav"), 1)
    done, table, _ = predicted(predictor, tmp_path / "sounds", tmp_path / "o.csv")
    assert list(table.index) == [r"gar\xe7on_1"] and not done.fallback_rows


TRUNCATED = {"ogg": {}, "flac": {}, "wav": {}, "mp3": {}}


@pytest.mark.parametrize("suffix", TRUNCATED)
def test_a_truncated_last_second_costs_its_own_row_alone(predictor, tmp_path, suffix):
    """A soundscape cannot be recorded again, and each of its rows is owed: what decodes is predicted, and told. (Where
    features are kept, such a file is skipped: it can be fetched again, and half of it would count as a whole clip.)"""
    whole = write(tmp_path / "whole" / f"a.{suffix}", 12)
    short = tmp_path / "short" / whole.name
    short.parent.mkdir()
    short.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.9)])
    with pytest.raises(InputError, match="truncated"):
        audio.read(short, SAMPLE_RATE)
    done, table, said = predicted(predictor, short, tmp_path / "o.csv")
    _, wanted, _ = predicted(predictor, whole, tmp_path / "p.csv")
    assert not done.skipped and any("truncated" in line and "What decodes is used" in line for line in said)
    assert len(done.fallback_rows) <= 4
    np.testing.assert_allclose(table.to_numpy()[:8], wanted.to_numpy()[:8], atol=1e-5)


def test_an_ogg_without_its_end_mark(predictor, tmp_path):
    """A recorder that lost power leaves whole pages and no mark. It may as well be half a download: nothing in it says
    which. Predictions take what is there; a sweep skips it, because fetching it again is cheap and half a clip is not
    the clip that was labelled."""
    path = write(tmp_path / "a.ogg", 6)
    data = bytearray(path.read_bytes())
    data[data.rfind(b"OggS") + 5] &= ~4 & 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="not marked as the end"):
        audio.read(path, SAMPLE_RATE)
    done, table, said = predicted(predictor, path, tmp_path / "o.csv")
    assert len(table) == 6 and not done.fallback_rows and any("not marked as the end" in line for line in said)


def test_a_file_that_promises_too_much(tmp_path):
    """A damaged header asks for no millions of fallback rows."""
    path = write(tmp_path / "a.flac", 1)
    data = bytearray(path.read_bytes())
    packed = int.from_bytes(data[18:26], "big") & ~((1 << 36) - 1) | ((1 << 36) - 1)  # STREAMINFO, total samples
    data[18:26] = struct.pack(">Q", packed)
    path.write_bytes(data)
    assert duration(path) is None


@pytest.mark.parametrize("minutes", [float("nan"), -1.0])
def test_a_budget_that_is_none(predictor, tmp_path, minutes):
    with pytest.raises(InputError, match="`--budget-minutes` must be 0 or more, got"):
        predicted(predictor, write(tmp_path / "a.wav", 1), tmp_path / "o.csv", budget_minutes=minutes)
    assert not (tmp_path / "o.csv").exists()


def test_labels_that_come_twice(tmp_path):
    """Columns are lined up by name - with truths, submissions, priors, other members - so two of one name could not be
    told apart, and no rule (mean, maximum, the first) is right for every model: the user has to say which is which."""
    (tmp_path / "labels.txt").write_text("a\nb\na\n")
    with pytest.raises(InputError, match=r"'a' on lines 1 and 3 found, one label a line wanted, each once"):
        read_labels(tmp_path / "labels.txt")
