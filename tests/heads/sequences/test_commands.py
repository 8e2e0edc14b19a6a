"""Heads over time as a user meets them: extract, train, predict."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.heads.api import train
from birdprobe.heads.ensemble import load_members
from birdprobe.heads.soundscapes import open_predictor, predict
from birdprobe.probe.api import extract
from tests.probe.test_cli import birdprobe
from tests.tiny import SAMPLE_RATE, tiny_backbone


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """tiny.onnx, soundscapes of four seconds in folders of their species, their store."""
    folder = tmp_path_factory.mktemp("over-time")
    tiny_backbone(folder / "tiny.onnx")
    rng = np.random.default_rng(0)
    t = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for i in range(12):
        c = i % 3
        path = folder / "clips" / f"species {c}" / f"BC2026_Train_{i:04d}_S{i % 2 + 1:02d}_20260512_{i:02d}0000.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * 400 * (c + 1) * t) + 0.1 * rng.standard_normal(len(t))
        soundfile.write(path, wave.astype(np.float32), SAMPLE_RATE)
    extract(folder / "tiny.onnx", folder / "clips", folder / "f.h5", sample_rate=8000, window_s=1.0, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(place):
    done = birdprobe(
        *(
            "train",
            place / "f.h5",
            "-o",
            place / "run",
            "--head",
            "protossm,sequence,attention",
            "--taps",
            "2,embedding",
        ),
        *("--folds", "2", "--epochs", "2", "--batch-size", "4", "--sequence-length", "3"),
    )
    assert done.returncode == 0, done.stderr
    assert all(f"| {head} " in done.stdout for head in ("protossm", "sequence-gru", "sequence-attention", "attention"))
    return place / "run"


def two_steps(place, run, head, stem):
    """Probabilities of a recording's windows from the store and the heads."""
    members = load_members(run, head)
    with FeatureStore.open(place / "f.h5") as store:
        rows = store.rows()
        at = np.flatnonzero([stem in file for file in rows["file"]])
        xs = [torch.from_numpy(store.read(tap)[at]).float() for tap in members.description.tokens]
    return members.predict(members.description.tokens, xs, rows.iloc[at].assign(source=""), None).numpy()


def test_predicts_what_the_store_and_the_heads_give(place, run, tmp_path):
    done = birdprobe("predict", run, place / "clips", "-o", tmp_path / "p.csv", "--head", "protossm")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "p.csv").set_index("row_id")
    assert len(table) == 12 * 4
    for number in (0, 7):
        rows = table[table.index.str.contains(f"Train_{number:04d}_")]
        np.testing.assert_allclose(rows, two_steps(place, run, "protossm", f"Train_{number:04d}_"), atol=1e-5)
    json.loads((tmp_path / "p.json").read_text())


def test_site_and_hour_are_those_of_the_name(place, run):
    predictor = open_predictor(run, head="protossm")
    windows = np.random.default_rng(1).normal(0, 0.1, (5, SAMPLE_RATE)).astype(np.float32)
    here, there, later, nowhere = (
        predictor.predict_recording(windows, stem)
        for stem in (
            *("BC2026_Test_0001_S01_20260512_050000", "BC2026_Test_0001_S02_20260512_050000"),
            *("BC2026_Test_0001_S01_20260512_170000", "BC2026_Test_0001_S77_20260512_050000"),
        )
    )
    assert here.shape == (5, 3) and not np.allclose(here, there) and not np.allclose(here, later)
    assert not np.allclose(here, nowhere)
    moved = windows.copy()
    moved[0] *= 3
    changed = np.abs(predictor.predict_recording(moved, "x") - predictor(windows)).max(axis=1)
    assert (changed[:3] > 0).all() and np.allclose(changed[3:], 0, atol=1e-6)  # sequences of three


def test_shifts_and_workers_change_nothing_else(place, run, tmp_path):
    predictor = open_predictor(run, head="sequence-attention")
    sounds = sorted((place / "clips").rglob("*.wav"))[:3]
    predict(predictor, sounds, tmp_path / "a.csv", workers=1, tta_shifts=(0.0, 0.25), progress=False)
    predict(predictor, sounds, tmp_path / "b.csv", workers=3, tta_shifts=(0.0, 0.25), progress=False)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    predict(predictor, sounds, tmp_path / "c.csv", progress=False)
    predict(predictor, sounds, tmp_path / "d.csv", tta_shifts=(0.25,), progress=False)
    a, c, d = (pd.read_csv(tmp_path / f"{name}.csv").set_index("row_id") for name in "acd")
    np.testing.assert_allclose(a, (c + d) / 2, atol=1e-6)


def test_first_passes_of_a_table_and_of_the_backbone(place, run, tmp_path):
    first = tmp_path / "first.csv"
    predict(run, place / "clips", first, head="attention", progress=False)
    quick = {"folds": 2, "epochs": 2, "batch_size": 4, "head": "residual-ssm", "taps": "embedding", "progress": False}
    train([place / "f.h5"], tmp_path / "corrected", first_pass=str(first), **quick)
    with pytest.raises(InputError, match=r"was trained with .*first\.csv as its first pass. Give"):
        open_predictor(tmp_path / "corrected")
    predict(tmp_path / "corrected", place / "clips", tmp_path / "p.csv", first_pass=first, progress=False)
    found, before = (pd.read_csv(path).set_index("row_id") for path in (tmp_path / "p.csv", first))
    assert 0 < np.abs(found - before).to_numpy().max() < 0.5
    with pytest.raises(InputError, match=r"reads no first pass\. Leave it out"):
        open_predictor(run, head="protossm", first_pass=first)
    short = pd.read_csv(first).iloc[1:]
    short.to_csv(tmp_path / "short.csv", index=False)
    predictor = open_predictor(tmp_path / "corrected", first_pass=tmp_path / "short.csv")
    stem = short["row_id"].iloc[0].rsplit("_", 1)[0]
    with pytest.raises(InputError, match=f"3 rows of {stem}, expected 4"):
        predictor.predict_recording(np.zeros((4, SAMPLE_RATE), np.float32), stem)


def test_the_first_pass_of_the_backbones_own_logits(place, tmp_path):
    (place / "labels.txt").write_text("".join(f"species {i}\n" for i in range(7)))
    quick = {"folds": 2, "epochs": 1, "lr": 1e-9, "head": "residual-ssm", "taps": "embedding", "progress": False}
    train([place / "f.h5"], tmp_path / "run", first_pass="logits", **quick)
    predictor = open_predictor(tmp_path / "run")
    windows = np.random.default_rng(1).normal(0, 0.1, (4, SAMPLE_RATE)).astype(np.float32)
    logits = predictor.backbone(windows)["logits"][:, :3]
    np.testing.assert_allclose(predictor(windows), 1 / (1 + np.exp(-logits)), atol=1e-4)
