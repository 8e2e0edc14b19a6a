"""One file equals two steps, says what it is, needs nothing of ours, and refuses what does not belong together."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.version_converter
import onnxruntime as ort
import pytest

from birdprobe.features import InputError
from birdprobe.features.audio import read
from birdprobe.features.windows import cut, normalise_windows
from birdprobe.heads.fuse import fuse, speeds
from birdprobe.heads.inputs import taps_of
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import audio_like
from tests.heads.untrained import LABELS, make_run, two_steps
from tests.tiny import tiny_backbone


def plain(path, windows):
    """What ONNX Runtime gives with nothing of ours set."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {session.get_inputs()[0].name: windows})[0]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


def opened(model, tokens, **options):
    return Backbone.open(model, taps=",".join(taps_of(tokens)), **options)


@pytest.fixture(scope="module")
def attention(tiny, tmp_path_factory):
    """(run, its backbone) with attention over two of four blocks."""
    tokens = ("block_00", "block_02")
    backbone = opened(tiny, tokens, sample_rate=8000)
    return make_run(tmp_path_factory.mktemp("run"), backbone, tokens), backbone


@pytest.mark.parametrize(
    ("head", "tokens", "activation", "pooling"),
    [
        ("scalarmix", ("block_03", "block_01"), "sigmoid", "mean"),  # in the head's order, not the graph's
        ("concat", ("block_02-block_01", "embedding"), "softmax", "mean"),
        ("linear", ("block_01",), "softmax", "grid:3"),
    ],
)
def test_one_file_equals_two_steps(tiny, tmp_path, head, tokens, activation, pooling):
    backbone = opened(tiny, tokens, sample_rate=8000, pooling=pooling)
    run = make_run(tmp_path / "run", backbone, tokens, head, folds=2, activation=activation)
    fused = fuse(run, tiny, tmp_path / "fused.onnx")
    windows = np.random.default_rng(3).normal(0, 0.3, (5, 8000)).astype(np.float32)
    wanted = two_steps(run, backbone, windows)
    assert np.ptp(wanted) > 0.05
    np.testing.assert_allclose(plain(fused.path, windows), wanted, atol=1e-5)
    np.testing.assert_allclose(plain(fused.path, windows[:1]), wanted[:1], atol=1e-5)
    assert fused.max_abs <= 1e-5
    if activation == "softmax":
        np.testing.assert_allclose(plain(fused.path, windows).sum(axis=1), 1, atol=1e-5)


def test_the_file_is_clean_cut_and_says_what_it_is(attention, tiny, tmp_path):
    run, backbone = attention
    fused = fuse(run, tiny, tmp_path / "deep" / "fused.onnx")
    model = onnx.load(fused.path)
    onnx.checker.check_model(model, full_check=True)
    assert [o.name for o in model.graph.output] == ["probabilities"]
    shape = [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 3]
    assert fused.cut_after == "block_02"
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {"wa0", "wb2"} <= weights
    assert not {"wa3", "wb3", "w_out"} & weights
    assert (fused.opset, fused.window_samples) == (18, 8000)
    said = {prop.key: prop.value for prop in model.metadata_props}
    assert tuple(json.loads(said["labels"])) == LABELS
    assert json.loads(said["taps"]) == ["block_00", "block_02"]
    assert json.loads(said["folds"]) == [0, 1, 2]
    assert (said["sample_rate"], said["window_s"], said["normalise"]) == ("8000", "1.0", "none")
    assert (said["activation"], said["model_sha256"]) == ("sigmoid", backbone.sha256)
    assert fused.size == fused.path.stat().st_size
    assert [path.name for path in fused.path.parent.iterdir()] == ["fused.onnx"]
    assert "attention over block_00, block_02, 3 folds averaged" in str(fused)


def test_it_runs_where_nothing_of_ours_is_imported(attention, tiny, tmp_path):
    run, backbone = attention
    fuse(run, tiny, tmp_path / "fused.onnx", fold=0)
    windows = audio_like((2, 8000), seed=5)
    np.save(tmp_path / "windows.npy", windows)
    code = (
        "import sys, json, numpy as np, onnxruntime as ort\n"
        "session = ort.InferenceSession('fused.onnx')\n"
        "x = np.load('windows.npy')\n"
        "p = session.run(None, {session.get_inputs()[0].name: x})[0]\n"
        "assert not {'torch', 'onnx', 'heads', 'probe'} & set(sys.modules)\n"
        "labels = json.loads(session.get_modelmeta().custom_metadata_map['labels'])\n"
        "print(json.dumps({'labels': labels, 'p': p.tolist()}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert tuple(answer["labels"]) == LABELS
    np.testing.assert_allclose(answer["p"], two_steps(run, backbone, windows, fold=0), atol=1e-5)


@pytest.mark.slow
def test_one_fold_is_that_fold_and_all_are_the_mean(attention, tiny, tmp_path):
    run, backbone = attention
    windows = audio_like((3, 8000), seed=6)
    one = fuse(run, tiny, tmp_path / "one.onnx", fold=1)
    assert one.folds == (1,)
    alone = [two_steps(run, backbone, windows, fold=k) for k in range(3)]
    np.testing.assert_allclose(plain(one.path, windows), alone[1], atol=1e-5)
    whole = fuse(run, tiny, tmp_path / "all.onnx")
    np.testing.assert_allclose(plain(whole.path, windows), np.mean(alone, axis=0), atol=1e-5)
    assert np.abs(alone[1] - np.mean(alone, axis=0)).max() > 0.01


def test_peak_normalisation_inside_takes_raw_audio(tiny, tmp_path):
    tokens = ("block_01", "block_03")
    backbone = opened(tiny, tokens, sample_rate=8000, normalise="peak")
    run = make_run(tmp_path / "run", backbone, tokens, "concat", folds=1)
    raw = np.random.default_rng(0).normal(0.2, 0.01, (4, 8000)).astype(np.float32)
    raw[2] = 0.3  # constant: stays flat
    raw[3] = 0
    wanted = two_steps(run, backbone, normalise_windows(raw, "peak"))
    outside = fuse(run, tiny, tmp_path / "outside.onnx")
    inside = fuse(run, tiny, tmp_path / "inside.onnx", normalise_inside=True)
    assert (outside.normalise, inside.normalise) == ("peak", "none")
    assert np.abs(plain(outside.path, raw) - wanted).max() > 0.01
    np.testing.assert_allclose(plain(outside.path, normalise_windows(raw, "peak")), wanted, atol=1e-5)
    np.testing.assert_allclose(plain(inside.path, raw), wanted, atol=1e-5)
    onnx.checker.check_model(onnx.load(inside.path), full_check=True)


@pytest.mark.parametrize(("opset", "written"), [(13, 18), (23, 23)])
def test_any_opset_of_the_backbone_is_met(tiny, tmp_path, opset, written):
    source = onnx.load(tiny)
    if opset < 17:
        source.opset_import[0].version = opset  # all its operators already meant the same there
    else:
        source = onnx.version_converter.convert_version(source, opset)
    onnx.save(source, tmp_path / "model.onnx")
    backbone = opened(tmp_path / "model.onnx", ("block_01",), sample_rate=8000)
    run = make_run(tmp_path / "run", backbone, ("block_01",), folds=1)
    fused = fuse(run, tmp_path / "model.onnx", tmp_path / "fused.onnx")
    assert fused.opset == written
    windows = audio_like((2, 8000), seed=2)
    np.testing.assert_allclose(plain(fused.path, windows), two_steps(run, backbone, windows), atol=1e-5)


def test_file_peak_cannot_go_inside(tiny, tmp_path):
    backbone = opened(tiny, ("block_01",), sample_rate=8000, normalise="file-peak")
    run = make_run(tmp_path / "run", backbone, ("block_01",), "linear")
    with pytest.raises(InputError, match="expected peak on float32 input, got file-peak"):
        fuse(run, tiny, tmp_path / "fused.onnx", normalise_inside=True)
    assert not (tmp_path / "fused.onnx").exists()


def test_a_perch_like_backbone_loses_what_lies_behind_the_deepest_tap(tmp_path):
    wren = "probe/assets/wren.onnx"
    tokens = ("block_04", "block_07")
    backbone = opened(wren, tokens)
    run = make_run(tmp_path / "run", backbone, tokens, folds=1)
    fused = fuse(run, wren, tmp_path / "fused.onnx", normalise_inside=True)
    raw = audio_like((2, 160_000), seed=9)
    np.testing.assert_allclose(
        plain(fused.path, raw), two_steps(run, backbone, normalise_windows(raw, "peak")), atol=1e-5
    )
    names = {i.name for i in onnx.load(fused.path).graph.initializer}
    bare = fused.size - sum(t.ByteSize() for t in onnx.load(fused.path).graph.initializer if t.name.startswith("head/"))
    assert names
    assert bare < 0.8 * fused.full_size
    times = speeds(fused, wren, budget_s=1)
    assert set(times) == {"fused", "full"} and min(times.values()) > 0  # which is faster is for a race to say


def test_what_does_not_belong_together_is_refused(attention, tiny, tmp_path):
    run, _ = attention
    out = tmp_path / "fused.onnx"
    other = tiny_backbone(tmp_path / "other.onnx", seed=1)
    with pytest.raises(InputError, match=r"other\.onnx: expected the model of .*, sha256 .*, got .*another model\?"):
        fuse(run, other, out)
    with pytest.raises(InputError, match="`--head` must be one of attention, got linear"):
        fuse(run, tiny, out, head="linear")
    with pytest.raises(InputError, match="`--head` must be one of attention, got ''"):
        fuse(run, tiny, out, head="")
    with pytest.raises(InputError, match=r"`--fold` must be one of 0 to .*got 7"):
        fuse(run, tiny, out, fold=7)
    with pytest.raises(InputError, match=r"no heads/\*-fold\*\.json in it"):
        fuse(tmp_path, tiny, out)
    with pytest.raises(InputError, match=r"gone: no such file or folder, expected a run of `birdprobe train`"):
        fuse(tmp_path / "gone", tiny, out)
    assert not out.exists()
    out.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists, expected a new file"):
        fuse(run, tiny, out)
    assert out.read_bytes() == b"mine"
    fuse(run, tiny, out, overwrite=True)
    assert out.stat().st_size > 1000


def test_of_several_heads_one_must_be_named(tiny, tmp_path):
    backbone = opened(tiny, ("block_00", "block_01"), sample_rate=8000)
    run = make_run(tmp_path, backbone, ("block_00", "block_01"), "concat", folds=1)
    make_run(tmp_path, backbone, ("block_01",), "linear", folds=1, name="linear-block_01")
    with pytest.raises(InputError, match="expected one head, got concat, linear-block_01"):
        fuse(run, tiny, tmp_path / "fused.onnx")
    assert fuse(run, tiny, tmp_path / "fused.onnx", head="linear:block_01").taps == ("block_01",)


def test_folds_of_two_runs_are_not_averaged(tiny, tmp_path):
    backbone = opened(tiny, ("block_00", "block_01"), sample_rate=8000)
    run = make_run(tmp_path / "a", backbone, ("block_00", "block_01"), "concat", folds=1)
    make_run(tmp_path / "b", backbone, ("block_01", "block_00"), "concat", folds=2)
    for kind in ("json", "safetensors"):
        source = tmp_path / "b" / "heads" / f"concat-fold1.{kind}"
        source.rename(run / "heads" / source.name)
    with pytest.raises(InputError, match=r"expected the taps block_00, block_01, as in .*got block_01, block_00"):
        fuse(run, tiny, tmp_path / "fused.onnx")


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.real
@pytest.mark.skipif(not DATA.is_dir(), reason="no real data beside the repository")
def test_birdnet_fused_classifies_raw_clips_as_the_pipeline_does(tmp_path):
    model = next((DATA / "birdnet").glob("*.onnx"))
    tokens = ("block_09", "block_11")
    backbone = opened(model, tokens)
    run = make_run(tmp_path / "run", backbone, tokens, folds=1)
    fused = fuse(run, model, tmp_path / "fused.onnx")
    clips = [next(folder.glob("*.*")) for folder in sorted((DATA / "esc10").iterdir()) if folder.is_dir()]
    windows = np.concatenate([cut(read(clip, 48_000), np.array([0]), 144_000) for clip in clips])
    np.testing.assert_allclose(plain(fused.path, windows), two_steps(run, backbone, windows), atol=1e-5)
    assert fused.size < 0.3 * fused.full_size


def test_a_front_end_becomes_part_of_the_fused_file(tmp_path):
    """Heads on a model of spectrograms: one file, waveform in, equal to the run in two steps; timed against it too."""
    import soundfile

    import birdprobe as bp
    from birdprobe.heads.soundscapes import open_predictor
    from birdprobe.heads.training.loop import Settings
    from birdprobe.heads.training.train import train
    from tests.probe.test_frontend_models import CLIPS, FRONT, network

    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "clips" / label).mkdir(parents=True)
        for i in range(6):
            clip = rng.normal(0, 0.1, 8_000).astype(np.float32)
            soundfile.write(tmp_path / "clips" / label / f"{i}.wav", clip, 16_000)
    onnx.save(network(["N", 3, 64, 63]).model(["N", 3, 64, 63], {"logits": ["N", 5]}, "image"), tmp_path / "m.onnx")
    given = {"frontend": FRONT, "sample_rate": 16_000, "progress": False}
    bp.extract(tmp_path / "m.onnx", tmp_path / "clips", tmp_path / "s.h5", **given)
    run = tmp_path / "run"
    train([tmp_path / "s.h5"], run, Settings(epochs=1, folds=2))
    fused = fuse(run, tmp_path / "m.onnx", tmp_path / "fused.onnx")
    x = CLIPS[:3, : fused.window_samples]
    wanted = open_predictor(run, tmp_path / "m.onnx")(x)
    assert np.abs(open_predictor(fused.path)(x) - wanted).max() < 1e-5
    assert speeds(fused, tmp_path / "m.onnx", budget_s=0.1)["full"] > 0
