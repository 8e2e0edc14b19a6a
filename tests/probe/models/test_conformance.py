"""A check says what is wrong with how a model is fed, and passes what is right."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.probe.assets import WREN
from birdprobe.probe.models.golden import golden_windows
from tests.probe.models.test_registry import OPENSOUNDSCAPE, small
from tests.probe.test_cli import birdprobe
from tests.waveform_models import Builder

ROOT = Path(__file__).resolve().parents[3]
BIRDNET = ROOT.parent / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"


def verdicts(found):
    return {finding.topic: finding.verdict for finding in found.findings}


def text_of(found, topic):
    return next(finding.text for finding in found.findings if finding.topic == topic)


def test_wren_is_as_published():
    said = birdprobe("check", "wren", "--json")
    found = json.loads(said.stdout)
    assert said.returncode == 0 and found["name"] == "wren" and not found["failed"]
    golden = next(finding for finding in found["findings"] if finding["topic"] == "golden")
    assert golden["verdict"] == "ok" and "embedding, logits of 4 windows" in golden["text"]


def test_another_normalisation_and_other_weights_fail(tmp_path):
    said = birdprobe("check", "wren", "--normalise", "none")
    assert said.returncode == 1
    assert (
        "FAILED  preprocessing 32000 Hz, 5 s, normalise none; published is 32000 Hz, 5 s, normalise peak" in said.stdout
    )
    assert "FAILED  golden" in said.stdout
    model = onnx.load(WREN)
    large = max(model.graph.initializer, key=lambda t: np.prod(t.dims))
    large.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(large) * np.float32(1.05), large.name))
    onnx.save(model, tmp_path / "perch.onnx")
    found = bp.check(tmp_path / "perch.onnx")
    assert found.name is None and "fed like perch-v2, but with" in text_of(found, "identity")


def test_an_unknown_file_is_told_what_was_assumed(tmp_path):
    found = bp.check(small(tmp_path / "m.onnx", 4000), sample_rate=8000)
    assert found.name is None and not found.failed
    assert verdicts(found)["identity"] == "note"
    assert "assumed: 8000 Hz, 0.5 s, normalise none (the flags)" in text_of(found, "preprocessing")
    moved = {one.change: one.by for one in found.sensitivity}
    assert moved["gain +6 dB"] > 0.1  # without a normalisation of its own
    assert "it matters" in str(found)


def test_metadata_of_others_and_their_labels(tmp_path):
    found = bp.check(small(tmp_path / "m.onnx", **OPENSOUNDSCAPE))
    assert "(the file's metadata)" in text_of(found, "preprocessing")
    assert text_of(found, "labels") == "3 in its metadata, as many as scores"
    (tmp_path / "labels.txt").write_text("a\nb\n")
    other = bp.check(small(tmp_path / "n.onnx", 4000), sample_rate=8000)
    assert verdicts(other)["labels"] == "FAILED" and "2 in labels.txt, but 3 scores" in text_of(other, "labels")


def test_an_embedding_that_does_not_depend_on_the_audio(tmp_path):
    model = onnx.load(small(tmp_path / "m.onnx", 4000))
    for tensor in model.graph.initializer:
        if tensor.name == "a":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((4, 1, 8), np.float32), "a"))
    onnx.save(model, tmp_path / "dead.onnx")
    found = bp.check(tmp_path / "dead.onnx", sample_rate=8000)
    assert found.failed and verdicts(found)["spread"] == "FAILED"
    assert "hardly depends on the audio" in text_of(found, "spread")


def test_nan_on_silence_is_found(tmp_path):
    model = onnx.load(small(tmp_path / "m.onnx", 4000))
    relu = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Relu")
    scaled = [
        helper.make_node("Relu", ["p"], ["loud"]),
        helper.make_node("ReduceMax", ["loud"], ["peak"], axes=[1, 2]),
        helper.make_node("Div", ["loud", "peak"], ["q"]),  # 0 / 0
    ]
    nodes = [*model.graph.node[:relu], *scaled, *model.graph.node[relu + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, tmp_path / "nan.onnx")
    said = birdprobe("check", tmp_path / "nan.onnx", "--sample-rate", 8000)
    assert said.returncode == 1
    assert "FAILED  extremes      silence: nan.onnx, tap" in said.stdout


def test_recordings_instead_of_made_up_windows(tmp_path):
    import soundfile

    for i, row in enumerate(golden_windows(8000, 4000)):
        soundfile.write(tmp_path / f"{i}.wav", row, 8000)
    found = bp.check(small(tmp_path / "m.onnx", 4000), tmp_path, sample_rate=8000)
    assert len(found.sensitivity) == 6
    with pytest.raises(bp.InputError, match="no such file or folder"):
        bp.check(tmp_path / "m.onnx", tmp_path / "none", sample_rate=8000)


def test_golden_windows_are_the_same_everywhere():
    windows = golden_windows(32_000, 160_000)
    assert windows.shape == (4, 160_000) and windows.dtype == np.float32
    assert np.abs(windows).max(axis=1).min() > 0.05 and np.abs(windows).max() < 0.3
    np.testing.assert_allclose(
        windows[3, :3], 0.1 * (np.array([1015568748, 1586005467, 2165703038]) / 2**31 - 1), rtol=1e-6
    )


@pytest.mark.real
@pytest.mark.skipif(not BIRDNET.is_file(), reason="needs ../shared/data/birdnet")
def test_the_real_birdnet_is_as_published():
    found = bp.check(BIRDNET)
    assert found.name == "birdnet-v2.4" and not found.failed
    assert verdicts(found)["golden"] == "ok"
    assert text_of(found, "labels") == "6522 in labels.txt: those of birdnet-v2.4, in order"


def test_a_model_of_spectrograms_with_another_input_is_fed_by_its_front_end(tmp_path):
    b = Builder(17)
    now = b.add("Relu", [b.add("Conv", ["image", b.weight("w", 8, 1, 3, 3)], "conv")], "relu")
    now = b.add("Add", [b.add("ReduceMean", [now], "mean", axes=[2, 3], keepdims=0), "week"], "embedding")
    b.add("MatMul", [now, b.weight("classes", 8, 7)], "logits")
    model = b.model(["N", 1, 16, 40], {"logits": ["N", 7]}, input_name="image")
    model.graph.input.append(helper.make_tensor_value_info("week", TensorProto.FLOAT, ["N", 1]))
    onnx.save(model, tmp_path / "cnn.onnx")
    with pytest.raises(InputError, match="2 required inputs"):
        bp.check(tmp_path / "cnn.onnx", sample_rate=8000)
    frontend = "mel:n_fft=64,hop=32,n_mels=16,db"
    found = bp.check(tmp_path / "cnn.onnx", sample_rate=8000, frontend=frontend, inputs=["week=3"])
    assert "rows of 12" in text_of(found, "preprocessing") and verdicts(found)["provider"] == "ok"
    said = birdprobe("check", tmp_path / "cnn.onnx", "--sample-rate", 8000, "--frontend", frontend, "--input", "week=3")
    assert "optimised against plain graph" in said.stdout
