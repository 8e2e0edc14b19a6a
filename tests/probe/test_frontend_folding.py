"""Folding: the same numbers from less work, from structure alone, and hands off wherever that would not hold."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from birdprobe.features import InputError
from birdprobe.probe.runtime.sessions import audio_like, open_session
from birdprobe.probe.surgery.expose import expose
from birdprobe.probe.surgery.linear_chains import Finder
from birdprobe.probe.surgery.passes import fold
from birdprobe.probe.surgery.verify import Difference
from tests.waveform_models import SAMPLES, Builder, convolutional, framed, transformer

BIRDNET = Path(__file__).parents[3] / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"


def run(model, x):
    session = open_session(model, threads=1)
    return session.run(None, {session.get_inputs()[0].name: x})


def products(model):
    """Multiply-accumulates a window of matrix products and convolutions with constant weights, from measured shapes."""
    weights = {t.name: t.dims for t in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Conv") and node.input[1] in weights:
            probe = onnx.ModelProto()
            probe.CopyFrom(model)
            probe.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
            rows = run(probe, audio_like((1, SAMPLES)))[-1].size
            dims = weights[node.input[1]]
            total += rows * (dims[0] if node.op_type == "MatMul" else int(np.prod(dims[1:])))
    return total


@pytest.mark.parametrize("magnitude", [False, True])
@pytest.mark.parametrize(("frame", "hop"), [(64, 16), (64, 24), (32, 7)])
def test_framed_front_ends_fold(frame, hop, magnitude):
    model, _ = framed(frame, hop, magnitude=magnitude)
    before = model.SerializeToString(deterministic=True)
    folded, note, _ = fold(model)
    assert model.SerializeToString(deterministic=True) == before
    onnx.checker.check_model(folded, full_check=True)
    assert "1 linear chain folded (1 with the framing)" in note
    kinds = [n.op_type for n in folded.graph.node]
    assert kinds.count("Conv") == 1 and "Gather" not in kinds
    assert kinds.count("MatMul") == (1 if magnitude else 0)
    for n in (1, 3):
        x = audio_like((n, SAMPLES), seed=n)
        assert Difference.between(run(folded, x)[0], run(model, x)[0]).rel_l2 < 1e-5
    if magnitude:
        assert products(folded) == products(model)
    else:
        assert products(folded) < products(model) / 5


def test_composition_is_exact():
    model, _ = framed()
    finder = Finder(model)
    (nodes,) = finder.runs()
    chain = finder.compose(nodes, finder.shapes([nodes], None))
    weights = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    wanted = np.diag(weights["window"]) @ weights["dft"] @ weights["mel"]
    assert np.allclose(chain.matrix, wanted, rtol=1e-12, atol=0)
    assert chain.macs_before == 13 * (64 + 64 * 33 + 33 * 5) and chain.macs_after == 13 * 64 * 5


def test_folding_is_as_exact_as_the_plain_graph():
    """Against float64 sums, where it is hard: a loud low tone and an offset over faint noise, so that sums cancel."""
    model, _ = framed(frame=128, hop=16, bins=65)
    model.graph.output.append(onnx.ValueInfoProto(name="mel_rows"))
    folded, note, _ = fold(model)
    assert "folded" in note
    rng = np.random.default_rng(0)
    x = (0.3 + 0.7 * np.sin(np.arange(SAMPLES) / 40) + 1e-4 * rng.normal(size=(16, SAMPLES))).astype(np.float32)
    weights = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    frames = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), 128, axis=1)[:, ::16].reshape(-1, 128)
    exact = frames * weights["window"] @ weights["dft"] @ weights["mel"]
    plain, ours = (Difference.between(run(m, x)[1], exact).rel_l2 for m in (model, folded))
    assert ours < 1.5 * plain and plain < 1e-5


def two_products(b: Builder, middle: int, between=lambda b, now: now):
    now = b.add("Reshape", ["audio", b.ints("rows", [-1, 8, 32])], "lines")
    now = b.add("MatMul", [now, b.weight("first", 32, middle)], "inner")
    now = between(b, now)
    now = b.add("MatMul", [now, b.weight("second", middle, 4)], "outer")
    return b.add("Abs", [now], "result")


def test_matrices_compose_without_framing():
    b = Builder(17)
    two_products(b, 24, lambda b, now: b.add("Transpose", [now], "turned", perm=[1, 0, 2]))
    model = b.model(["N", SAMPLES], {"result": [8, "N", 4]})
    folded, note, _ = fold(model)
    assert "(0 with the framing)" in note and products(folded) < products(model)
    x = audio_like((3, SAMPLES))
    assert Difference.between(run(folded, x)[0], run(model, x)[0]).rel_l2 < 1e-5


@pytest.mark.parametrize(
    "between",
    [
        lambda b, now: b.add("Abs", [now], "nonlinear"),
        lambda b, now: b.add("Add", [now, b.weight("bias", 24)], "affine"),
        lambda b, now: b.add(
            "Transpose", [b.add("Reshape", [now, b.ints("s", [-1, 24, 8])], "mix")], "t", perm=[0, 2, 1]
        ),
        lambda b, now: b.add(
            "Slice", [now, b.ints("f", [-1]), b.ints("u", [-99]), b.ints("a", [2]), b.ints("st", [-1])], "backwards"
        ),
    ],
)
def test_chains_end_where_rows_are_not_kept(between):
    b = Builder(17)
    two_products(b, 24, between)
    model = b.model(["N", SAMPLES], {"result": None})
    folded, note, _ = fold(model)
    assert folded is model and "no " in note


def test_a_bottleneck_is_left_alone():
    """32 x 2 then 2 x 4 costs 72 a row, the product 128: folding would add work."""
    b = Builder(17)
    two_products(b, 2)
    model = b.model(["N", SAMPLES], {"result": ["N", 8, 4]})
    folded, note, _ = fold(model)
    assert folded is model and "no chain whose folding would save work" in note


def test_a_step_that_something_else_reads_is_kept():
    b = Builder(17)
    two_products(b, 24)
    model = b.model(["N", SAMPLES], {"result": ["N", 8, 4], "inner": ["N", 8, 24]})
    assert fold(model)[0] is model
    b.add("Abs", ["inner"], "also")
    model = b.model(["N", SAMPLES], {"result": ["N", 8, 4], "also": ["N", 8, 24]})
    assert fold(model)[0] is model


def test_a_gather_that_is_no_framing_stays():
    """Frames in reversed order: the ramp through them is no hop * t + k, so only the matrices compose."""
    model, _ = framed()
    index = next(t for t in model.graph.initializer if t.name == "index")
    index.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(index)[::-1].copy(), "index"))
    folded, note, _ = fold(model)
    assert "(0 with the framing)" in note and "Gather" in {n.op_type for n in folded.graph.node}
    x = audio_like((2, SAMPLES))
    assert Difference.between(run(folded, x)[0], run(model, x)[0]).rel_l2 < 1e-5


@pytest.mark.parametrize("make", [convolutional, transformer])
def test_graphs_without_a_chain_are_returned_as_they_are(make):
    model, _ = make()
    assert fold(model) == (model, "front end: no linear chain to fold", ())


def test_taps_behind_the_front_end_do_not_hinder():
    model, taps = framed()
    folded, note, _ = fold(expose(model, taps).model)
    assert "folded (1 with the framing)" in note
    assert [o.name for o in folded.graph.output] == ["birdprobe/stem"]


@pytest.mark.real
def test_birdnet_folds():
    if not BIRDNET.exists():
        pytest.skip("no BirdNET file")
    model = onnx.load(BIRDNET)
    folded, note, _ = fold(model)
    assert "2 linear chains folded (2 with the framing), 1418 -> 151 million" in note
    x = audio_like((2, 144000), seed=3)
    assert Difference.between(run(folded, x)[0], run(model, x)[0]).rel_l2 < 1e-5


def transformed(kind: str, opset: int = 17, frame: int = 64, hop: int = 16, window: bool = True, onesided: int = 1):
    """[N, 256] -> frames -> DFT, or STFT -> power of every bin."""
    b = Builder(opset)
    factors = b.store("window", np.hanning(frame).astype(np.float32))
    if kind == "STFT":
        step, length = b.store("step", np.array(hop)), b.store("length", np.array(frame))
        now = b.add("STFT", ["audio", step, factors if window else "", length], "bins", onesided=onesided)
    else:
        index = (np.arange((SAMPLES - frame) // hop + 1)[:, None] * hop + np.arange(frame)).astype(np.int64)
        now = b.add("Gather", ["audio", b.store("index", index)], "frames", axis=1)
        now = b.add("Mul", [now, factors], "windowed") if window else now
        now = b.add("Unsqueeze", [now, b.ints("last", [-1])], "real")
        if opset < 20:
            now = b.add("DFT", [now], "bins", axis=2, onesided=onesided)
        else:
            now = b.add("DFT", [now, "", b.store("axis", np.array(-2))], "bins", onesided=onesided)
    now = b.add("Mul", [now, now], "squares")
    b.add("ReduceSum", [now, b.ints("parts", [-1])], "power", keepdims=0)
    return b.model(["N", SAMPLES], {"power": None})


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize(("kind", "opset"), [("STFT", 17), ("DFT", 17), ("DFT", 20)])
def test_transforms_become_one_convolution(kind, opset, window, onesided):
    model = transformed(kind, opset, window=window, onesided=onesided)
    folded, note, _ = fold(model)
    kinds = [n.op_type for n in folded.graph.node]
    assert kind not in kinds and kinds.count("Conv") == 1 and "MatMul" not in kinds and "Gather" not in kinds
    assert "1 DFT or STFT operator folded, equal within" in note
    for n in (1, 3):
        x = audio_like((n, SAMPLES), seed=n)
        assert Difference.between(run(folded, x)[0], run(model, x)[0]).rel_l2 < 1e-5


def test_transforms_of_another_kind_are_left_alone():
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("pairs", [-1, 4, 32, 2])], "complex")
    b.add("DFT", [now], "bins", axis=2)
    model = b.model(["N", SAMPLES], {"bins": None})
    assert fold(model)[0] is model


@pytest.mark.parametrize(
    ("length", "used", "kept"),
    [(640, 640, False), (1024, 640, False), (1024, 1024, True), (2048, 2048, True)],
)
def test_a_long_transform_of_a_power_of_two_stays_an_fft(length, used, kept):
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("frames", [-1, 2, used, 1])], "framed")
    b.add("DFT", [now, b.store("length", np.array(length))], "result", axis=2, onesided=1)
    folded, *_ = fold(b.model(["N", 2 * used], {"result": None}))
    assert [n.op_type for n in folded.graph.node].count("DFT") == kept


def test_each_pass_is_switched_off_by_name():
    model = transformed("DFT")
    x = audio_like((2, SAMPLES))
    wanted = run(model, x)[0]
    for without, kept, gone in (
        ((), set(), {"DFT", "Gather"}),
        (("chains",), {"Gather", "MatMul"}, {"DFT"}),
        (("transforms",), {"Gather", "DFT"}, set()),
        (("transforms", "chains"), {"Gather", "DFT"}, set()),
    ):
        folded, note, _ = fold(model, without=without)
        kinds = {n.op_type for n in folded.graph.node}
        assert kept <= kinds and not gone & kinds
        assert ("passes switched off: " + ", ".join(without) in note) == bool(without)
        assert Difference.between(run(folded, x)[0], wanted).rel_l2 < 1e-5


def test_an_unknown_pass_is_named():
    with pytest.raises(InputError, match="must be one of transforms, chains, scales, got 'mel'"):
        fold(framed()[0], without=("mel",))


def stacked(also: bool) -> onnx.ModelProto:
    """Two maps side by side in the last axis, scaled and shifted there, then a Transpose to [N, 2, 16, 8]."""
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("rows", [-1, 16, 8, 2])], "maps")
    now = b.add("Mul", [b.store("scale", np.float32([[[[0.2, 3.2]]]])), now], "scaled")
    now = b.add("Div", [b.store("over", np.float32([3, 7])), now], "turned_over")
    now = b.add("Sub", [now, b.store("half", np.array(0.5, np.float32))], "shifted")
    now = b.add("Transpose", [now], "planes", perm=[0, 3, 1, 2])
    b.add("Conv", [now, b.weight("w", 4, 2, 3, 3)], "result")
    if also:
        b.add("Abs", ["turned_over"], "also")
    return b.model(["N", SAMPLES], {"result": ["N", 4, 14, 6], **({"also": ["N", 16, 8, 2]} if also else {})})


def test_scales_of_the_last_axis_move_behind_the_transpose():
    model = stacked(also=False)
    folded, note, passes = fold(model)
    onnx.checker.check_model(folded, full_check=True)
    assert "scales of channels moved behind 1 transpose, equal within 0.0e+00" in note and passes == ("scales",)
    assert [n.op_type for n in folded.graph.node] == ["Reshape", "Transpose", "Mul", "Div", "Sub", "Conv"]
    assert next(t for t in folded.graph.initializer if t.name.endswith("/0/values")).dims == [2, 1, 1]
    assert fold(model, without=("scales",))[2] == ()
    x = audio_like((3, SAMPLES))
    assert np.array_equal(run(folded, x)[0], run(model, x)[0])


def test_scales_that_something_else_reads_stay():
    folded, *_ = fold(stacked(also=True))
    kinds = [n.op_type for n in folded.graph.node]
    assert kinds.index("Div") < kinds.index("Transpose")


def test_what_was_proven_runs_again_and_nothing_else():
    model, _ = framed()
    folded, _, passes = fold(model)
    assert passes == ("chains",)
    again = fold(model, proven=passes)
    assert [n.op_type for n in again.model.graph.node] == [n.op_type for n in folded.graph.node]
    assert fold(model, proven=("scales",)).model is model
