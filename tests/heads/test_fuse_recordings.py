"""Heads over time in one file: recordings in, windows x classes out, the same as from the run."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from birdprobe.features import InputError
from birdprobe.features.recordings.names import place_of
from birdprobe.features.store import StoreKey
from birdprobe.finetune.checkpoint import save
from birdprobe.heads.fuse import fuse
from birdprobe.heads.fuse.speed import HeadCost, head_cost
from birdprobe.heads.head_predictor import open_run
from birdprobe.heads.sequences.first_pass_origin import FirstPassOrigin
from birdprobe.heads.training import checkpoint
from birdprobe.heads.training.specs import build
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import audio_like
from birdprobe.probe.soundscapes.predictor import open_onnx
from tests.tiny import tiny_backbone

LABELS = ("grekis", "47158son01", "22961")
LOGITS = FirstPassOrigin("logits", ((4,), (), (0, 2, 6)))
STEM = "BC2026_Train_0001_S02_20260512_050000"
LENGTH = 4


def make_run(folder, model, kind, tokens=("block_01", "embedding"), sites=("S01", "S02"), origin=None, folds=2):
    """A run's heads/ with heads that were never trained, but whose every part has a say."""
    taps = tuple(dict.fromkeys([*tokens, *([origin.tap] if origin and origin.tap else [])]))
    backbone = Backbone.open(model, taps=",".join(taps), sample_rate=8000)
    features = backbone(audio_like((24, 8000), seed=0))
    xs = [torch.from_numpy(features[tap]) for tap in tokens]
    key = StoreKey(backbone.sha256, taps, backbone.pooling, 8000, 1.0, "all", 0, backbone.normalise)
    options = {"sites": sites and list(sites), "first_pass": origin is not None, "length": LENGTH}
    first = None if origin is None else torch.randn(24, len(LABELS))
    for fold in range(folds):
        torch.manual_seed(fold)
        module = build(kind, {t: x.shape[1] for t, x in zip(tokens, xs)}, len(LABELS), dim=16, **options)
        module.fit_statistics(xs, torch.rand(24, len(LABELS)), torch.arange(3), first)
        for weight in module.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        said = checkpoint.Description(
            *(kind, module.widths, LABELS, "sigmoid", key, fold, {**options, "dim": 16}),
            settings={"first_pass": origin and origin.to_json()},
        )
        save(folder / "heads" / f"{kind}-fold{fold}", module.eval(), said)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def fused(tiny, tmp_path_factory):
    """(run, its file) of the head that is exported fastest, with everything: two taps, places, a first pass."""
    folder = tmp_path_factory.mktemp("gru")
    run = make_run(folder / "run", tiny, "sequence-gru", origin=LOGITS)
    return run, fuse(run, tiny, folder / "fused.onnx")


def windows_of(n, seed=3):
    return np.random.default_rng(seed).normal(0, 0.3, (n, 8000)).astype(np.float32)


def test_a_file_equals_its_run_for_recordings_of_any_length(fused, tiny):
    run, done = fused
    two, one = open_run(run, tiny, None, None), open_onnx(done.path)
    for n in (1, 3, LENGTH, LENGTH + 3):
        for stem in (STEM, "no such name"):
            wanted = two.predict_recording(windows_of(n), stem)
            assert np.ptp(wanted) > 0.05
            np.testing.assert_allclose(one.predict_recording(windows_of(n), stem), wanted, atol=1e-5)
    assert done.max_abs <= 1e-5
    assert done.recording == LENGTH


def test_time_place_and_first_pass_have_a_say(fused):
    one = open_onnx(fused[1].path)
    x = windows_of(3)
    found = one.predict_recording(x, STEM)
    for other in (
        one.predict_recording(x, STEM.replace("S02", "S01")),
        one.predict_recording(x, STEM.replace("_05", "_06")),
        one.predict_recording(x[[1, 0, 2]], STEM)[[1, 0, 2]],
    ):
        assert np.abs(other - found).max() > 1e-4
    assert "w_out" in {tensor.name for tensor in onnx.load(fused[1].path).graph.initializer}  # makes the logits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("protossm", {"origin": LOGITS}),
        ("residual-ssm", {"origin": LOGITS, "tokens": ("embedding",), "sites": None}),
        ("sequence-gru", {"tokens": ("block_00",)}),
        ("sequence-attention", {"sites": None}),
    ],
)
def test_every_head_over_time_is_fused(tiny, tmp_path, kind, options):
    run = make_run(tmp_path / "run", tiny, kind, **options)
    done = fuse(run, tiny, tmp_path / "fused.onnx")
    session = ort.InferenceSession(done.path, providers=["CPUExecutionProvider"])
    placed = options.get("sites", 1) is not None
    assert [node.name for node in session.get_inputs()[1:]] == (["site", "hour"] if placed else [])
    wanted = open_run(run, tiny, None, None).predict_recording(windows_of(6), STEM)
    np.testing.assert_allclose(open_onnx(done.path).predict_recording(windows_of(6), STEM), wanted, atol=1e-5)


def test_it_says_what_it_reads_and_is_a_sound_graph(fused, tiny):
    model = onnx.load(fused[1].path)
    onnx.checker.check_model(model, full_check=True)
    assert [output.name for output in model.graph.output] == ["probabilities"]
    assert [dim.dim_param or dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [
        "windows",
        3,
    ]
    said = json.loads({prop.key: prop.value for prop in model.metadata_props}["sequence"])
    assert (said["length"], said["sites"], said["first_pass"]) == (LENGTH, ["S01", "S02"], "logits")
    assert "recordings of up to 4 windows" in str(fused[1])
    assert place_of(STEM, said["sites"]) == (2, 6)
    assert place_of(f"{STEM}.ogg", ["S07"]) == (0, 6)
    assert place_of("tape 3", said["sites"]) == (0, 0)


def test_the_audio_is_scaled_inside_where_asked_for(tiny, tmp_path):
    backbone = Backbone.open(tiny, taps="embedding", sample_rate=8000, normalise="peak")
    assert backbone.normalise == "peak"
    run = make_run(tmp_path / "run", tiny, "sequence-gru", tokens=("embedding",), folds=1)
    for path in (run / "heads").glob("*.json"):
        said = json.loads(path.read_text())
        said["store_key"]["normalise"] = "peak"
        path.write_text(json.dumps(said))
    done = fuse(run, tiny, tmp_path / "fused.onnx", normalise_inside=True)
    one = open_onnx(done.path)
    assert one.normalise == "none"
    loud = one.predict_recording(windows_of(3), STEM)
    np.testing.assert_allclose(one.predict_recording(windows_of(3) / 7, STEM), loud, atol=1e-5)


def test_a_table_as_first_pass_cannot_be_fused(tiny, tmp_path):
    run = make_run(tmp_path / "run", tiny, "protossm", origin=FirstPassOrigin("other.csv"), folds=1)
    with pytest.raises(InputError, match=r"its first pass is the table other\.csv, which cannot be fused"):
        fuse(run, tiny, tmp_path / "fused.onnx")
    assert not (tmp_path / "fused.onnx").exists()


def test_metadata_that_do_not_fit_are_one_line(fused, tmp_path):
    for change, said in (
        (lambda found: "{", "damaged metadata"),
        (lambda found: json.dumps(json.loads(found) | {"sites": None}), "no sites, which its inputs do not fit"),
        (lambda found: json.dumps(json.loads(found) | {"length": 0}), "says length 0"),
    ):
        model = onnx.load(fused[1].path)
        for prop in model.metadata_props:
            if prop.key == "sequence":
                prop.value = change(prop.value)
        onnx.save(model, tmp_path / "changed.onnx")
        with pytest.raises(InputError, match=said):
            open_onnx(tmp_path / "changed.onnx")


def test_what_the_heads_cost_is_measured(fused):
    said = str(head_cost(fused[1], budget_s=0))
    assert "ms a recording of 4 windows" in said
    assert "600 files of 12 windows" in said
    assert "of 90 minutes" in said
    cost = HeadCost(windows=12, fused_ms=700.0, backbone_ms=600.0)
    assert cost.head_ms == 100
    assert cost.minutes(50.0) == pytest.approx((7200 * 0.050 + 600 * 0.100) / 60)
