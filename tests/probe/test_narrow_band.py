"""Recordings that fill half of the model's band or less: every command that reads them says so once."""

import json

import numpy as np
import pytest
import soundfile

from tests.probe.test_cli import GROUPS, OPTIONS, birdprobe
from tests.tiny import tiny_backbone, tiny_dataset

SAID = "6 of 18 recordings hold nothing above 2 kHz; the model reads up to 4 kHz: it hears silence there."
MODEL = ("--sample-rate", "8000", "--window", "1")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    tiny_backbone(folder / "m.onnx")
    for path in sorted(tiny_dataset(folder / "clips").rglob("*.wav"))[:6]:
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples[::2], rate // 2)
    return folder


def test_a_store_keeps_the_warning(place):
    store = place / "s.h5"
    for _ in range(2):  # the second time the store is there
        said = birdprobe("extract", place / "m.onnx", place / "clips", "-o", store, *MODEL)
        assert said.stderr.count(SAID) == 1, said.stderr
    assert birdprobe("store", "info", store).stdout.count(f"warning: {SAID}") == 1
    assert SAID in json.loads(birdprobe("store", "info", store, "--json").stdout)["warnings"][0]


def test_a_sweep_and_its_report(place):
    how = (*OPTIONS, *GROUPS, "--readout", "knn", "--no-timing", "--taps", "-1")
    said = birdprobe("sweep", place / "m.onnx", place / "clips", "-o", place / "run", *how)
    assert said.stderr.count(SAID) == 1, said.stderr
    assert SAID in (place / "run" / "report.html").read_text()


def test_a_check(place):
    said = birdprobe("check", place / "m.onnx", place / "clips", *MODEL)
    assert said.stdout.count(f"note    recordings    {SAID}") == 1, said.stdout + said.stderr


def test_predictions(place):
    (place / "labels.txt").write_text("\n".join(map(str, range(7))))
    how = ("--labels", place / "labels.txt", "--sample-rate", "8000", "-o", place / "p.csv")
    said = birdprobe("predict", place / "m.onnx", place / "clips", *how)
    assert said.stderr.count(SAID) == 1, said.stderr


def test_recordings_of_the_models_rate_are_not_remarked_on(place, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 8000)
    said = birdprobe("check", place / "m.onnx", tmp_path / "a.wav", *MODEL)
    assert "recordings" not in said.stdout
