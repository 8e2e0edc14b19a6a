"""What can predict: a run, its fused file, a model with labels, the bundled Wren."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.features.playback import Playback
from birdprobe.heads.fuse import fuse
from birdprobe.heads.head_predictor import find_model
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.probe.assets import WREN
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import predict
from birdprobe.probe.soundscapes.predictor import read_labels
from birdprobe.probe.soundscapes.predictor.onnx_file import activated
from tests.heads.test_fuse import opened
from tests.heads.untrained import LABELS, make_run, two_steps
from tests.probe.soundscapes.predict.material import TOKENS, write
from tests.tiny import SAMPLE_RATE, tiny_backbone


@pytest.fixture(scope="module")
def run(place):
    backbone = opened(place / "model.onnx", TOKENS, sample_rate=SAMPLE_RATE)
    return make_run(place / "run", backbone, TOKENS, folds=2), backbone


@pytest.fixture(scope="module")
def fused(place, run):
    return fuse(run[0], place / "model.onnx", place / "fused.onnx").path


def test_a_run_its_fused_file_and_two_steps_agree(place, run, fused, tmp_path):
    folder, backbone = run
    model = place / "model.onnx"
    windows = np.random.default_rng(3).normal(0, 0.1, (5, SAMPLE_RATE)).astype(np.float32)
    of_run, wanted = open_predictor(folder, model), two_steps(folder, backbone, windows)
    fused = open_predictor(fused)
    np.testing.assert_allclose(of_run(windows), wanted, atol=1e-6)
    np.testing.assert_allclose(fused(windows), wanted, atol=1e-5)
    for one in (of_run, fused):
        assert (one.labels, one.sample_rate, one.window_samples, one.normalise) == (LABELS, 8000, 8000, "none")
    np.testing.assert_allclose(
        open_predictor(folder, model, fold=1)(windows), two_steps(folder, backbone, windows, fold=1), atol=1e-6
    )
    a, b = tmp_path / "run.csv", tmp_path / "fused.csv"
    predict(of_run, place / "sounds", a)
    predict(fused, place / "sounds", b, workers=3)
    np.testing.assert_allclose(predictions.read(a), predictions.read(b), atol=1e-5)
    identities = [of_run.identity, fused.identity, open_predictor(folder, model, fold=1).identity]
    assert len(set(identities)) == 3 and open_predictor(folder, model).identity == of_run.identity


def test_a_run_finds_the_model_of_its_store(place, run, tmp_path):
    from birdprobe.features.store import FeatureStore, StoreKey
    from birdprobe.heads.ensemble import load_members

    folder, _ = run
    key = load_members(folder).description.store_key
    assert isinstance(key, StoreKey)
    with pytest.raises(InputError, match=r"expected a backbone of sha256 .*Give it with --model"):
        open_predictor(folder)
    FeatureStore.create(place / "f.h5", key, dict.fromkeys(key.taps, (16,)), {"model": "model.onnx"}).close()
    (folder / "config.json").write_text(json.dumps({"stores": [{"path": "f.h5"}]}))
    assert find_model(folder, key) == place / "model.onnx"
    other = tiny_backbone(tmp_path / "other.onnx", seed=5)
    with pytest.raises(InputError, match=r"other\.onnx: expected the model of"):
        open_predictor(folder, other)


def test_wren_is_found_where_it_is_bundled(tmp_path):
    backbone = opened(WREN, ("block_04",))
    found = open_predictor(make_run(tmp_path / "run", backbone, ("block_04",), "linear", folds=1))
    assert found.backbone.path == WREN and found.normalise == "peak"
    with found.at_work():
        assert found(np.zeros((1, found.window_samples), np.float32)).shape == (1, 3)


def test_labels_make_any_classifier_a_predictor(place, predictor, tmp_path):
    windows = np.random.default_rng(3).normal(0, 0.1, (3, SAMPLE_RATE)).astype(np.float32)
    options = {"labels": place / "labels.txt", "sample_rate": SAMPLE_RATE}
    soft = open_predictor(place / "model.onnx", activation="softmax", **options)
    raw = open_predictor(place / "model.onnx", activation="none", **options)
    np.testing.assert_allclose(soft(windows).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(predictor(windows), 1 / (1 + np.exp(-raw(windows))), atol=1e-6)
    assert len({soft.identity, raw.identity, predictor.identity}) == 3
    with pytest.raises(InputError, match="no probabilities"):  # scores taken for probabilities
        predict(raw, place / "sounds", tmp_path / "out.csv")


def test_activations_do_not_overflow():
    scores = np.array([[-2000.0, 0.0, 2000.0]], np.float32)
    np.testing.assert_allclose(activated(scores, "sigmoid"), [[0, 0.5, 1]])
    np.testing.assert_allclose(activated(scores, "softmax"), [[0, 0, 1]])


def test_bad_predictors_are_one_line(place, run, tmp_path):
    model, labels = place / "model.onnx", place / "labels.txt"
    with pytest.raises(InputError, match=r"metadata without labels, sample_rate, .* not fused by birdprobe"):
        open_predictor(model)
    with pytest.raises(InputError, match="no such file or folder"):
        open_predictor(tmp_path / "gone.onnx")
    with pytest.raises(InputError, match="go with the folder of a training"):
        open_predictor(model, head="attention")
    with pytest.raises(InputError, match="a run knows its labels"):
        open_predictor(run[0], model, labels=labels)
    with pytest.raises(InputError, match="--sample-rate"):
        open_predictor(model, labels=labels)
    short = tmp_path / "short.txt"
    short.write_text("a\nb\n")
    with pytest.raises(InputError, match=r"2 labels found, one output .* as wide wanted .*label 7"):
        open_predictor(model, labels=short, sample_rate=SAMPLE_RATE)
    with pytest.raises(InputError, match="activation 'tanh'"):
        open_predictor(model, labels=labels, activation="tanh", sample_rate=SAMPLE_RATE)
    for text, words in (("a\nb\na\n", "'a' on lines 1 and 3"), ("", "nothing"), ("a\n\nb\n", "an empty line")):
        short.write_text(text)
        with pytest.raises(InputError, match=words):
            read_labels(short)


def test_a_fused_file_needs_no_torch(place, fused, tmp_path):
    code = (
        "import sys; from birdprobe.probe.soundscapes import *\n"
        "predict(open_onnx(sys.argv[1]), sys.argv[2], sys.argv[3])\n"
        "print(sorted({'torch', 'sklearn', 'umap', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(fused), str(place / "sounds"), str(tmp_path / "out.csv")],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout


def test_what_was_trained_slower_is_played_slower_and_says_so_when_fused(place, tmp_path):
    model = place / "model.onnx"
    backbone = Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)
    run = make_run(tmp_path, backbone, TOKENS, speed=0.5, bandpass="500,")
    assert open_predictor(run, model).playback == Playback.parse(0.5, "500,")
    fused = fuse(run, model, tmp_path / "fused.onnx").path
    assert open_predictor(fused).playback == Playback.parse(0.5, "500,")
    sound = write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE))
    with pytest.raises(InputError, match=r"it was trained at speed 0\.5, bandpass 500,\. Leave both out"):
        predict(open_predictor(fused), sound, tmp_path / "p.csv", playback=Playback.parse(0.1), progress=False)
