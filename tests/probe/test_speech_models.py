"""Forms that models of speech packages have: squeezes as branches, states of one window, vectors of length 1."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.models.frontends.opening import open_model
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import audio_like, open_session
from tests.waveform_models import SAMPLES, Builder, stack

STACK = ["block_00", "block_01", "block_02"]


def squeeze_as_branch(b: Builder, now: str, output: str) -> str:
    """What torch's exporter makes of `squeeze(2)`: an If on the axis's size, its axes a constant inside the branch."""
    size = b.add("Gather", [b.add("Shape", [now], "/net/shape"), b.ints("two", [2])], "/net/size", axis=0)
    same = b.add("Equal", [size, b.ints("just_one", [1])], "/net/is_one")
    axes = helper.make_node("Constant", [], ["/net/axes"], value=onnx.numpy_helper.from_array(np.array([2]), "axes"))
    inner = [axes, helper.make_node("Squeeze", [now, "/net/axes"], ["/net/squeezed"])]
    kept = [helper.make_node("Identity", [now], ["/net/kept"])]
    branches = {
        name: helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)])
        for name, nodes, out in (("then_branch", inner, "/net/squeezed"), ("else_branch", kept, "/net/kept"))
    }
    return b.add("If", [same], output, **branches)


def squeezing(length: int | str) -> onnx.ModelProto:
    b = Builder()
    now = b.add("ReduceMean", [stack(b)], "/net/pooled", axes=[2])
    now = b.add("MatMul", [squeeze_as_branch(b, now, "/net/If_output_0"), b.weight("classes", 8, 5)], "scores")
    return b.model(["N", length], {"scores": ["N", 5]})


def test_a_branch_with_constants_of_its_own_hides_no_blocks(tmp_path):
    onnx.save(squeezing(SAMPLES), tmp_path / "m.onnx")
    found = find_blocks(open_model(tmp_path / "m.onnx"))
    assert list(found.taps) == [*STACK, "embedding", "logits"]
    assert found.embedding.tensor == "/net/If_output_0" and found.embedding.channels == 8


def test_branches_on_the_length_are_decided_once_the_window_is_told(tmp_path):
    onnx.save(squeezing("samples"), tmp_path / "m.onnx")
    told = open_model(tmp_path / "m.onnx", sample_rate=1000, window_s=0.256)
    assert "If" not in {node.op_type for node in told.graph.node}
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, window_s=0.256, threads=1)
    assert backbone.taps == (*STACK, "embedding", "logits")
    assert "If" not in {node.op_type for node in backbone.model.graph.node}


def test_a_state_of_one_window_is_run_window_by_window(tmp_path):
    b = Builder()
    now = b.add("Transpose", [stack(b, stride=1)], "steps", perm=[2, 0, 1])
    weights = [b.weight("w", 1, 15, 8), b.weight("r", 1, 15, 5)]
    now = b.add("GRU", [now, *weights, "", "", "h"], "hidden", hidden_size=5)  # [T, 1, N, 5]
    now = b.add(
        "ReduceMean", [b.add("Squeeze", [now, b.ints("direction", [1])], "frames")], "mean", axes=[0], keepdims=0
    )
    b.add("MatMul", [now, b.weight("w_classes", 5, 7)], "logits")
    model = b.model(["N", SAMPLES], {"logits": ["N", 7]})
    model.graph.input.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1, 1, 5]))
    onnx.save(model, tmp_path / "m.onnx")
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, inputs=["h=zeros"], threads=1)
    assert backbone.batch == 1 and backbone.taps[-2:] == ("embedding", "logits")
    windows = audio_like((3, SAMPLES))
    together, alone = backbone(windows), [backbone(window[None]) for window in windows]
    for tap in backbone.taps:
        np.testing.assert_array_equal(together[tap], np.concatenate([one[tap] for one in alone]))


def test_a_score_without_any_axis_is_one_number_a_window(tmp_path):
    b = Builder()
    now = b.add("ReduceMean", [stack(b)], "pooled", axes=[2], keepdims=0)
    b.add("Squeeze", [b.add("MatMul", [now, b.weight("classes", 8, 1)], "score")], "quality")
    onnx.save(b.model([1, SAMPLES], {"quality": []}), tmp_path / "m.onnx")
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, threads=1)
    assert backbone(audio_like((3, SAMPLES)))["logits"].shape == (3, 1)


def test_what_is_scaled_to_length_1_is_an_embedding(tmp_path):
    b = Builder()
    now = b.add("ReduceMean", [stack(b)], "pooled", axes=[2], keepdims=0)
    now = b.add("MatMul", [now, b.weight("project", 8, 6)], "projected")
    b.add("Div", [now, b.add("ReduceL2", [now], "norm", axes=[1])], "voice")
    found = find_blocks(b.model(["N", SAMPLES], {"voice": ["N", 6]}))
    assert list(found.taps) == [*STACK, "embedding"] and found.embedding.tensor == "voice"


def test_a_rectified_score_before_the_softmax_is_no_block():
    b = Builder()
    now = "audio"
    for i, (before, after) in enumerate([(SAMPLES, 16), (16, 16), (16, 7)]):
        now = b.add("Relu", [b.add("MatMul", [now, b.weight(f"w{i}", before, after)], f"layer{i}")], f"relu{i}")
    b.add("Softmax", [now], "which", axis=1)
    found = find_blocks(b.model(["N", SAMPLES], {"which": ["N", 7]}))
    assert [(tap, block.tensor) for tap, block in found.taps.items()][1:] == [
        ("block_01", "relu1"),
        ("embedding", "relu1"),
        ("logits", "relu2"),
    ]


def test_scores_of_frames_are_one_class_over_time_and_no_vector_of_frames():
    b = Builder()
    scores = b.add("Conv", [stack(b), b.weight("w_score", 1, 8, 1)], "scored")
    voiced = b.add("Sigmoid", [b.add("Squeeze", [scores, b.ints("axis", [1])], "a_frame")], "voiced")
    b.add("Where", [b.add("Greater", [voiced, b.store("half", np.float32(0.5))], "sure"), voiced, "half"], "confidence")
    found = find_blocks(b.model(["N", SAMPLES], {"confidence": ["N", "T"]}))
    assert found.embedding.tensor == "/net/relu2" and found.embedding.channels == 8
    assert found.logits.tensor == "scored" and found.logits.channels == 1 and len(found.logits.map) == 1


def test_a_window_that_cannot_be_run_asks_for_its_length(tmp_path):
    b = Builder()
    b.add("MatMul", ["audio", b.weight("w", SAMPLES, 4)], "scores")
    onnx.save(b.model(["N", "samples"], {"scores": ["N", 4]}), tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"Its length is open: .* \(--sample-rate and --window\)"):
        find_blocks(open_model(tmp_path / "m.onnx"))


@pytest.mark.parametrize("batch", [1, "N"])
def test_frames_that_stand_beside_the_windows_are_a_part_of_the_map(batch, tmp_path):
    b = Builder()
    frames = b.add("Reshape", ["audio", b.ints("to_frames", [-1, 64])], "frames")
    pooled = b.add("ReduceMean", [stack(b, frames, stride=1)], "pooled", axes=[2], keepdims=0)  # [N * 4, 8]
    now = b.add("Reshape", [pooled, b.ints("to_windows", [-1, 4, 8])], "sequence")
    b.add("MatMul", [b.add("ReduceMean", [now], "mean", axes=[1], keepdims=0), b.weight("classes", 8, 5)], "logits")
    model = b.model([batch, SAMPLES], {"logits": [batch, 5]})
    onnx.save(model, tmp_path / "m.onnx")
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, threads=1)
    assert {tap: block.map for tap, block in backbone.blocks.items() if block.index == 2} == {"block_02": (4, 40)}
    windows = audio_like((3, SAMPLES))
    model.graph.output.append(helper.make_tensor_value_info("/net/relu1", TensorProto.FLOAT, None))
    session = open_session(model)
    raw = [session.run(["/net/relu1"], {"audio": window[None]})[0] for window in windows]
    wanted = [one.astype(np.float64).mean(axis=(0, 2)) for one in raw]  # [frames, channels, time] of one window
    np.testing.assert_allclose(backbone(windows)["block_01"], wanted, rtol=1e-5, atol=1e-7)


def test_samples_of_16_bits_are_told_from_tokens(tmp_path):
    b = Builder()
    b.add("MatMul", [b.add("Cast", ["audio"], "samples", to=TensorProto.FLOAT), b.weight("w", SAMPLES, 4)], "scores")
    model = b.model(["N", SAMPLES], {"scores": ["N", 4]})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT16
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"holds INT16; wanted floating-point audio\. Samples of 16 bits\?"):
        open_model(tmp_path / "m.onnx")
