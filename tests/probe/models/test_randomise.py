"""The untrained control: the same taps and contract, the front end as it was, no learned number left, audio still heard."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import birdprobe as bp
from birdprobe import InputError
from birdprobe.probe.graph.dataflow import Graph
from birdprobe.probe.graph.layers import learned
from birdprobe.probe.runtime.sessions import open_session
from tests.graphs import Nodes, Spelling, perch
from tests.probe.test_cli import birdprobe

ROOT = Path(__file__).resolve().parents[3]
WREN = ROOT / "probe" / "assets" / "wren.onnx"
BIRDNET = ROOT.parent / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
SPELLINGS = {
    "muladd": Spelling(samples=16_000),
    "batchnorm": Spelling(bn="batchnorm", nhwc=False, se="conv", samples=16_000, exp=False),
    "folded": Spelling(bn="none", nhwc=False, samples=16_000, exp=False),
}


@pytest.fixture(scope="module", params=SPELLINGS)
def drawn(request, tmp_path_factory):
    """(A Perch-shaped model, the same with random weights)."""
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    onnx.save(perch(SPELLINGS[request.param], scale=0.1, classes=7), path)
    return path, bp.randomise(path, path.with_name("random.onnx"))


def small(tmp_path):
    """Three convolutions on the waveform."""
    nodes, x, width = Nodes(), "audio", 1
    for _ in range(3):
        x = nodes.add("Relu", nodes.add("Conv", x, nodes.random(8, width, 9), nodes.random(8), strides=[4]))
        width = 8
    nodes.add("ReduceMean", x, axes=[2], keepdims=0, name="embedding")
    onnx.save(nodes.model({"audio": ["n", 1, 4000]}, {"embedding": ["n", 8]}, opset=17), tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def arrays(model):
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def test_same_taps_and_contract_but_no_learned_weight(drawn):
    path, done = drawn
    before, after = onnx.load(path), onnx.load(done.path)
    assert bp.find_blocks(done.path).taps == bp.find_blocks(path).taps and "block_25" in done.taps
    assert list(before.graph.input) == list(after.graph.input)
    assert list(before.graph.output) == list(after.graph.output)
    assert [n.op_type for n in before.graph.node] == [n.op_type for n in after.graph.node]

    names = {name for names in learned(Graph.of(before)).values() for name in names}
    old, new = arrays(before), arrays(after)
    matrices = [old[name] for name in names if old[name].size > 1 and len(np.unique(old[name])) > 1]
    assert len(matrices) > 60
    for kept in new.values():
        assert not any(kept.shape == was.shape and np.array_equal(kept, was) for was in matrices)
    front = {name for name in old if old[name].ndim > 1} - names
    assert len(front) == 4  # framing, two Fourier matrices, mel
    assert all(np.array_equal(old[name], new[name]) for name in front)


def test_every_tap_hears_the_audio_at_a_sane_scale(drawn):
    _, done = drawn
    backbone = bp.open_backbone(done.path, sample_rate=32_000)
    rng = np.random.default_rng(5)
    windows = rng.normal(0, [[0.001], [0.01], [0.1], [0.3]], (4, backbone.window_samples)).astype(np.float32)
    for tap, vectors in backbone(windows).items():
        scale = np.sqrt(np.mean(vectors**2))
        assert np.isfinite(vectors).all() and 1e-2 < scale < 1e3, tap
        assert vectors.std(axis=0).mean() > 0.02 * scale, tap


def test_a_layer_is_standardised_on_the_windows_that_pass():
    nodes = Nodes()
    x = nodes.add("Conv", "audio", nodes.const(np.full((4, 1, 9), 3.0)), nodes.const(np.full(4, 50.0)), strides=[4])
    x = nodes.add("Relu", x)
    x = nodes.add("Conv", x, nodes.random(6, 4, 3))
    stats = [nodes.const(v) for v in (np.full(6, 9.0), np.full(6, 8.0), np.full(6, 70.0), np.full(6, 0.01))]
    nodes.add("Relu", nodes.add("BatchNormalization", x, *stats), name="out")
    model = nodes.model({"audio": ["n", 1, 400]}, {"out": ["n", 6, None]})
    from birdprobe.probe.surgery.random_weights import Redraw

    windows = np.random.default_rng(0).normal(2, 1, (8, 1, 400)).astype(np.float32)
    fresh = Redraw(model, [windows], {}, seed=0).run()
    weights = [numpy_helper.to_array(t) for t in fresh.graph.initializer]
    gains = [w for w in weights if w.shape == (6,)]
    assert any((w == 1).all() for w in gains) and any((w == 0).all() for w in gains)
    (out,) = open_session(fresh).run(None, {"audio": windows})
    half = np.sqrt(1 / (2 * np.pi))  # mean of a standard normal behind a ReLU
    assert np.allclose(out.mean(axis=(0, 2)), half, atol=0.1)


def test_the_seed_decides_and_is_written_down(tmp_path):
    path = small(tmp_path)
    one, again, other = (
        bp.randomise(path, tmp_path / f"{name}.onnx", seed=seed).path.read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again != other
    assert {p.key: p.value for p in onnx.load_from_string(other).metadata_props}["birdprobe_random_weights"] == "1"


def test_what_cannot_be_drawn_is_one_line(tmp_path):
    nodes = Nodes()
    nodes.add("Log", nodes.add("Abs", nodes.add("Conv", "audio", nodes.random(8, 1, 16))), name="out")
    onnx.save(nodes.model({"audio": ["n", 1, 400]}, {"out": ["n", 8, None]}), tmp_path / "spectrogram.onnx")
    with pytest.raises(InputError, match="no learned weights behind its front end"):
        bp.randomise(tmp_path / "spectrogram.onnx", tmp_path / "out.onnx")
    with pytest.raises(InputError, match="a name that ends in"):
        bp.randomise(small(tmp_path), tmp_path / "out.bin")
    (tmp_path / "out.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        bp.randomise(small(tmp_path), tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == b"mine"


def test_the_command(tmp_path):
    done = birdprobe("randomise", str(small(tmp_path)), "-o", str(tmp_path / "random.onnx"), "--seed", "3")
    assert done.returncode == 0 and "(seed 3)" in done.stdout and "the same 4 taps" in done.stdout
    assert (tmp_path / "random.onnx").is_file()


@pytest.mark.slow
def test_wren(tmp_path):
    done = bp.randomise(WREN, tmp_path / "wren.onnx")
    assert done.taps == tuple(bp.find_blocks(WREN).taps) and done.kept == 0
    assert bp.open_backbone(done.path).sample_rate == 32_000


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not BIRDNET.is_file(), reason="BirdNET is not here")
def test_birdnet(tmp_path):
    done = bp.randomise(BIRDNET, tmp_path / "birdnet.onnx")
    assert len(done.taps) == 19 and done.numbers > 12_000_000
    backbone = bp.open_backbone(done.path)
    windows = np.random.default_rng(0).normal(0, [[0.003], [0.03], [0.2]], (3, 144_000)).astype(np.float32)
    for tap, vectors in backbone(windows).items():
        assert 0.05 < np.sqrt(np.mean(vectors**2)) < 500, tap
        assert vectors.std(axis=0).mean() > 0.02 * np.sqrt(np.mean(vectors**2)), tap
