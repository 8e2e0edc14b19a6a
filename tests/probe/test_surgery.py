"""Surgery: every tap equals an un-pooled run, nothing else changes, nothing is left to run after the deepest tap."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.runtime.sessions import audio_like, open_session, save
from birdprobe.probe.surgery.expose import expose, rebuild, unpooled
from birdprobe.probe.surgery.pooling import Pooling, adaptive, is_map, pooled
from tests.waveform_models import SAMPLES, Builder, block, convolutional, prepared, transformer


def raw_run(model, taps, x):
    """The taps' whole tensors, from a session of their own."""
    raw, names = unpooled(model, taps)
    session = open_session(raw, threads=1)
    return dict(zip([t.name for t in taps], session.run(list(names.values()), {"audio": x})))


def close(found, wanted, tolerance=1e-4):
    return np.linalg.norm(found.astype(np.float64) - wanted) <= tolerance * np.linalg.norm(wanted)


@pytest.mark.parametrize("rule", ["mean", "max", "std", "grid", "grid:4x5"])
@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("opset", [11, 13, 17, 18, 21])
def test_taps_equal_unpooled_runs(opset, nhwc, rule):
    model, taps = convolutional(opset, nhwc=nhwc)
    exposed = expose(model, taps, rule)
    onnx.checker.check_model(exposed.model, full_check=True)
    x = audio_like((3, SAMPLES))
    raw = raw_run(model, taps, x)
    found = dict(zip(exposed.outputs, open_session(exposed.model, 1).run(None, {"audio": x})))
    for tap in taps:
        wanted = pooled(raw[tap.name], tap, Pooling.parse(rule))
        assert found[tap.name].shape == (3, *exposed.dims[tap.name]) == wanted.shape
        assert found[tap.name].dtype == np.float32
        assert close(found[tap.name], wanted)


def test_several_poolings_are_taps_of_their_own():
    """One pass reads each map in every way; a vector is read once."""
    model, taps = convolutional()
    x = audio_like((3, SAMPLES))
    raw = raw_run(model, taps, x)
    exposed, verification = prepared(model, taps, "mean, max,std,grid:2x2")
    rules = ("mean", "max", "std", "grid:2x2")
    named = [f"{tap.name}/{rule}" for tap in taps for rule in rules if is_map(tap)]
    assert [tap for tap in exposed.outputs if "/" in tap] == named
    assert set(exposed.outputs) - set(named) == {tap.name for tap in taps if not is_map(tap)}
    assert set(verification.taps) == set(exposed.outputs)
    found = dict(zip(exposed.outputs, open_session(exposed.model, 1).run(None, {"audio": x})))
    for tap in filter(is_map, taps):
        for rule in rules:
            assert close(found[f"{tap.name}/{rule}"], pooled(raw[tap.name], tap, Pooling.parse(rule)))
    with pytest.raises(InputError, match="each pooling once"):
        expose(model, taps, "max,max")


@pytest.mark.parametrize("rule", ["mean", "max", "std", "cls", "grid", "grid:3"])
@pytest.mark.parametrize("opset", [13, 18])
def test_token_taps_equal_unpooled_runs(opset, rule):
    model, taps = transformer(opset)
    exposed, verification = prepared(model, taps, rule)
    onnx.checker.check_model(exposed.model, full_check=True)
    assert max(d.rel_l2 for d in verification.taps.values()) < 1e-5
    assert exposed.dims["block_00"] == {"grid": (12, 16), "grid:3": (12, 3)}.get(rule, (12,))
    assert exposed.dims["logits"] == (7,)


@pytest.mark.parametrize("rule", ["mean", "cls", "grid", "grid:2"])
def test_sequence_first_tokens(rule):
    """[T, N, D] as torch's transformer layers keep it unless told batch_first."""
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_tokens", [-1, 16, 16])], "patches")
    now = b.add("Transpose", [now], "turned", perm=[1, 0, 2])
    b.add("Tanh", [now], "sum")
    model = b.model(["N", SAMPLES], {"sum": [16, "N", 16]})
    tap = replace(block("block_00", "sum", (16, 1, 16), 2), batch_axis=1)
    exposed, _ = prepared(model, [tap], rule)
    x = audio_like((3, SAMPLES))
    found = open_session(exposed.model, 1).run(None, {"audio": x})[0]
    tokens = np.tanh(x.reshape(3, 16, 16).astype(np.float64))
    wanted = {"mean": tokens.mean(axis=1), "cls": tokens[:, 0], "grid": tokens.transpose(0, 2, 1)}
    wanted["grid:2"] = np.stack([tokens[:, :8].mean(axis=1), tokens[:, 8:].mean(axis=1)], axis=-1)
    assert np.allclose(found, wanted[rule], atol=1e-6)


def test_pooling_reference_against_plain_numpy():
    raw = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)  # NHWC, 3 channels
    tap = block("block_00", "x", (1, 6, 4, 3), 3)
    assert np.allclose(pooled(raw, tap, Pooling("mean")), raw.mean(axis=(1, 2)))
    assert np.allclose(pooled(raw, tap, Pooling("std"))[1, 2], raw[1, :, :, 2].std())
    assert np.array_equal(pooled(raw, tap, Pooling("grid")), raw.transpose(0, 3, 1, 2))
    quarter = pooled(raw, tap, Pooling("grid", (2, 2)))
    assert np.allclose(quarter[0, 1, 1, 0], raw[0, 3:, :2, 1].mean())


def test_adaptive_bins_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x = torch.arange(35, dtype=torch.float64).reshape(1, 1, 5, 7) ** 2
    wanted = torch.nn.functional.adaptive_avg_pool2d(x, (3, 4)).numpy()[0, 0]
    assert np.allclose(adaptive(5, 3) @ x.numpy()[0, 0] @ adaptive(7, 4).T, wanted)


def test_input_model_is_untouched_and_outputs_are_stable():
    model, taps = convolutional()
    before = model.SerializeToString(deterministic=True)
    exposed, _ = prepared(model, taps)
    assert model.SerializeToString(deterministic=True) == before
    assert exposed.outputs["block_01"] == "birdprobe/block_01"
    assert [o.name for o in exposed.model.graph.output] == list(exposed.outputs.values())


def test_nothing_runs_after_the_deepest_tap():
    model, taps = convolutional()
    exposed = expose(model, taps[:1])
    kinds = [n.op_type for n in exposed.model.graph.node]
    assert kinds.count("Conv") == 2 and "MatMul" not in kinds
    assert {t.name for t in exposed.model.graph.initializer} == {"to_map", "w_stem", "w0"}
    assert len(kinds) < len(model.graph.node)
    assert len(exposed.model.SerializeToString()) < len(model.SerializeToString()) / 3
    assert not exposed.model.graph.value_info


def test_pruned_equals_exposing_one_tap():
    model, taps = convolutional()
    one = expose(model, taps).pruned(["block_00"])
    assert [n.name for n in one.model.graph.node] == [n.name for n in expose(model, taps[:1]).model.graph.node]
    assert one.outputs == {"block_00": "birdprobe/block_00"}


def test_stale_value_info_is_dropped():
    model, taps = convolutional()
    model.graph.value_info.append(helper.make_tensor_value_info("sum0", TensorProto.FLOAT, [1, 99, 3, 3]))
    prepared(model, taps)


def test_half_precision_is_pooled_in_float32():
    """A 16x16 map of 788s sums to 201,728: beyond float16's 65,504, as squeeze-excite inputs of Perch v2 would be."""
    b = Builder(17, np.float16)
    now = b.add("Reshape", ["audio", b.ints("to_map", [-1, 1, 16, 16])], "map")
    now = b.add("Mul", [now, b.store("zero", np.zeros((), np.float16))], "nothing")
    b.add("Add", [now, b.store("high", np.full((), 788, np.float16))], "sum")
    model, tap = b.model(["N", SAMPLES], {"sum": ["N", 1, 16, 16]}), block("block_00", "sum", (1, 1, 16, 16))
    for rule in ("mean", "max", "grid:2x2"):
        exposed = expose(model, [tap], rule)
        assert exposed.model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
        found = open_session(exposed.model, 1).run(None, {"audio": np.ones((2, SAMPLES), np.float16)})[0]
        assert found.dtype == np.float32 and np.all(found == 788)


def test_optimised_graphs_in_blocked_layout(tmp_path):
    """ONNX Runtime's own files hold [N, C/b, H, W, b] tensors whose declared shape does not show it."""
    model, taps = convolutional()
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    back = next((n for n in optimised.graph.node if list(n.output) == ["sum0"]), None)
    if back is None or back.op_type != "ReorderOutput":
        pytest.skip("this processor has no blocked layout")
    padded = next(t.dims[0] for t in optimised.graph.initializer if t.name == "reorder")
    tap = block("block_00", back.input[0], (1, padded, 16, 16))
    exposed, _ = prepared(optimised, [tap])
    assert "ReorderOutput" in {n.op_type for n in exposed.model.graph.node}
    x = audio_like((2, SAMPLES))
    found = open_session(exposed.model, 1).run(None, {"audio": x})[0]
    assert close(found[:, :8], raw_run(model, taps, x)["block_00"].mean(axis=(2, 3)))
    assert not found[:, 8:].any()  # channels that fill up a block
    prepared(optimised, [t for t in taps if t.name != "block_01"], "grid:2x2")  # plain tensors of it
    split = next(n for n in optimised.graph.node if n.op_type == "Add").output[0]  # [N, C/b, H, W, b]
    for channels in (8, padded):
        five = replace(block("block_00", split, (1, 1, 16, 16, padded), 4), channels=channels)
        exposed, _ = prepared(optimised, [five])
        again = open_session(exposed.model, 1).run(None, {"audio": x})[0]
        assert exposed.dims == {"block_00": (channels,)} and np.allclose(again, found[:, :channels], rtol=1e-5)
    with pytest.raises(InputError, match="Re-export the model without ORT_ENABLE_ALL"):
        expose(optimised, [block("block_00", back.input[0], (1, 16, 16, padded), 3)])


def test_captures_of_subgraphs_survive_pruning():
    """An If whose branch reads an outer tensor by name only: pruning by declared inputs would lose `doubled`."""
    b = Builder(17)
    b.add("Add", ["audio", "audio"], "doubled")
    b.add("Abs", ["audio"], "dead_end")
    floats = helper.make_tensor_value_info("r", TensorProto.FLOAT, None)
    then = helper.make_graph([helper.make_node("Neg", ["doubled"], ["r"])], "then", [], [floats])
    other = helper.make_graph([helper.make_node("Identity", ["audio"], ["r"])], "else", [], [floats])
    b.add("If", [b.store("yes", np.array(True))], "chosen", then_branch=then, else_branch=other)
    model = b.model(["N", 4], {"chosen": ["N", 4]})
    exposed = expose(model, [block("embedding", "chosen", (1, 4))])
    assert {n.op_type for n in exposed.model.graph.node} == {"Add", "If", "Identity"}
    found = open_session(exposed.model, 1).run(None, {"audio": np.ones((2, 4), np.float32)})[0]
    assert np.all(found == -2)


def test_rebuild_sorts_nodes():
    model, _ = convolutional()
    turned = rebuild(model, list(model.graph.node)[::-1], model.graph.output)
    onnx.checker.check_model(turned)
    x = audio_like((2, SAMPLES))
    assert np.array_equal(
        open_session(turned, 1).run(None, {"audio": x})[0], open_session(model, 1).run(None, {"audio": x})[0]
    )


def test_large_models_pass_through_external_data(tmp_path):
    model, taps = convolutional()
    exposed = expose(model, taps).model
    save(exposed, tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx.data").stat().st_size == 4 * (8 * 500 + 2 * 8 * 8 * 9)  # w_stem is small and stays
    onnx.checker.check_model(str(tmp_path / "m.onnx"))
    x = audio_like((2, SAMPLES))
    plain = open_session(exposed, 1).run(None, {"audio": x})
    for other in (open_session(exposed, 1, inline_limit=0), open_session(tmp_path / "m.onnx", 1)):
        assert all(np.array_equal(a, b) for a, b in zip(plain, other.run(None, {"audio": x})))


def test_refusals():
    model, taps = convolutional()
    with pytest.raises(InputError, match="taps: found none"):
        expose(model, [])
    with pytest.raises(InputError, match="tensor 'gone' is not in the graph"):
        expose(model, [block("block_00", "gone", (1, 8, 16, 16))])
    with pytest.raises(InputError, match="Exposed before"):
        expose(expose(model, taps, keep_outputs=True).model, taps)
    with pytest.raises(InputError, match="cls wants tokens"):
        expose(model, taps, "cls")
    with pytest.raises(InputError, match=r"grid:3 has 1 axes, the map \(16, 16\)"):
        expose(model, taps, "grid:3")
    with pytest.raises(InputError, match="grid:32x2 is finer than the map"):
        expose(model, taps, "grid:32x2")
    for text in ("median", "mean:3", "grid:0x2", "grid:ax2"):
        with pytest.raises(InputError, match="must be one of mean, max, std, cls, grid"):
            Pooling.parse(text)
    assert str(Pooling.parse(" Grid:4x2 ")) == "grid:4x2"


@pytest.mark.parametrize("rule", ["mean", "std"])
@pytest.mark.parametrize(
    "shape, channel_axis",
    [((1, 8, 290, 500), 1), ((1, 290, 500, 8), 3), ((1, 145_000, 8), 2), ((1, 8, 145_007, 1), 1), ((1, 8, 5000), 1)],
)
def test_large_maps_are_pooled_exactly(shape, channel_axis, rule):
    big = np.random.default_rng(0).normal(3, 1, shape).astype(np.float32)
    here = block("block_00", "map", shape, channel_axis)
    for opset in (9, 17, 18):
        b = Builder(opset)
        b.add("Mul", ["audio", b.store("big", big)], "map")
        model = b.model(["N", *[1] * (len(shape) - 1)], {"map": [None] * len(shape)})
        exposed = expose(model, [here], rule)
        x = np.array([1.0, 0.5], np.float32).reshape(2, *[1] * (len(shape) - 1))
        found = open_session(exposed.model, 1).run(None, {"audio": x})[0]
        wanted = pooled(x * big, here, Pooling(rule))
        assert np.linalg.norm(found - wanted) <= 1e-6 * np.linalg.norm(wanted)
