"""The heads as a user meets them: extract, train, fuse, score, on a backbone and clips made for it."""

import json
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest

from birdprobe.features import audio
from tests.probe.test_cli import birdprobe, one_line
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

RATE = ("--sample-rate", "8000", "--window", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """tiny.onnx, its clips, and their store."""
    folder = tmp_path_factory.mktemp("heads")
    tiny_backbone(folder / "tiny.onnx")
    tiny_dataset(folder / "clips", clips=9)
    done = birdprobe(
        "extract", folder / "tiny.onnx", folder / "clips", "-o", folder / "f.h5", *RATE, "--group-regex", r"^(G\d+)-"
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(place):
    done = birdprobe(
        *("train", place / "f.h5", "-o", place / "run", "--taps", "auto:2", "--folds", "3", "--epochs", "12"),
        *("--head", "attention,linear:embedding", "--loss", "ce"),
    )
    assert done.returncode == 0, done.stderr
    return place / "run", done


def test_train_tells_scores_and_choice(trained):
    run, done = trained
    assert "| attention" in done.stdout and "| linear-embedding" in done.stdout
    assert list(pd.read_csv(run / "selection.csv")["step"]) == [1, 2]
    scores = pd.read_csv(run / "scores.csv")
    pooled = scores[(scores["fold"] == "pooled") & (scores["unit"] == "clip") & (scores["head"] == "attention")]
    assert pooled["accuracy"].item() > 0.6  # chance is a third; the tones are far apart
    oof = pd.read_csv(run / "oof" / "attention.csv")
    assert len(oof) == len(pd.read_csv(run / "oof" / "truth.csv")) and not oof["row_id"].duplicated().any()


def test_fused_file_classifies_raw_clips_as_the_pipeline_did(place, trained):
    run, _ = trained
    out = place / "fused.onnx"
    done = birdprobe("fuse", run, place / "tiny.onnx", "-o", out, "--head", "attention", "--timing")
    assert done.returncode == 0, done.stderr
    assert "ms a window" in done.stdout
    session = onnxruntime.InferenceSession(str(out))
    meta = session.get_modelmeta().custom_metadata_map
    labels = json.loads(meta["labels"])
    assert labels == [f"species {i}" for i in range(3)]
    right = []
    for path in sorted((place / "clips").rglob("*.wav")):
        wave = audio.read(path, SAMPLE_RATE)[:8000]
        (p,) = session.run(None, {session.get_inputs()[0].name: wave[None]})
        assert p.shape == (1, 3) and np.isclose(p.sum(), 1, atol=1e-5)
        right.append(labels[int(p.argmax())] == path.parent.name)
    assert np.mean(right) > 0.6
    assert "fused.onnx" in one_line(birdprobe("fuse", run, place / "tiny.onnx", "-o", out, "--head", "attention"))


def test_fusing_with_another_model_is_refused(place, trained, tmp_path):
    other = tiny_backbone(tmp_path / "other.onnx", seed=3)
    line = one_line(birdprobe("fuse", trained[0], other, "-o", tmp_path / "x.onnx", "--head", "attention"))
    assert "sha256" in line or "another model" in line.lower()
    assert not (tmp_path / "x.onnx").exists()


def test_pseudo_labels_are_soft_and_warned_of(place, trained, tmp_path):
    done = birdprobe(
        *("extract", place / "tiny.onnx", place / "clips", "-o", tmp_path / "u.h5", *RATE, "--unlabelled"),
    )
    assert done.returncode == 0, done.stderr
    student = birdprobe(
        *("train", place / "f.h5", place / "f.h5", tmp_path / "u.h5", "-o", tmp_path / "student", "--taps", "-1"),
        *("--head", "concat", "--folds", "3", "--epochs", "3", "--fold-by", "file"),
        *("--pseudo-from", trained[0], "--pseudo-head", "attention"),
    )
    assert student.returncode == 0, student.stderr
    assert "pseudo-labels come from heads" in student.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--taps", "block_77"), "block_77"),
        (("--taps", "auto:none"), "auto"),
        (("--folds", "40"), "40"),
        (("--head", "transformer"), "transformer"),
        (("--loss", "hinge"), "hinge"),
        (("--fractions", "a,b"), "a,b"),
    ],
)
def test_bad_options_are_one_line(place, tmp_path, options, words):
    assert words in one_line(birdprobe("train", place / "f.h5", "-o", tmp_path / "r", "--epochs", "1", *options))


def test_a_missing_extra_names_the_pip_line(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("heads.")]:
        monkeypatch.delitem(sys.modules, name)
    line = one_line(birdprobe("train", place / "f.h5", "-o", tmp_path / "r"))
    assert "torch" in line and "pip install 'birdprobe[train]'" in line


def test_score(tmp_path):
    rows = [f"BC2026_Test_0001_S01_20260512_050000_{5 * i}" for i in range(1, 13)]
    truth = pd.DataFrame({"row_id": rows, "a": [0, 1] * 6, "b": [1, 0] * 6, "never": [0] * 12})
    predicted = truth.assign(a=truth["a"] * 0.5 + 0.2, b=truth["b"] * 0.5 + 0.1, never=0.5)
    truth.to_csv(tmp_path / "truth.csv", index=False)
    predicted.to_csv(tmp_path / "predicted.csv", index=False)
    done = birdprobe("score", tmp_path / "predicted.csv", tmp_path / "truth.csv")
    assert "macro ROC-AUC: 1.0000" in done.stdout and "never" in done.stdout
    predicted.iloc[1:].to_csv(tmp_path / "short.csv", index=False)
    assert rows[0] in one_line(birdprobe("score", tmp_path / "short.csv", tmp_path / "truth.csv"))
