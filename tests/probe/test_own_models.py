"""What strangers' models bring: several channels, branches and loops with layers inside, heads of many kinds."""

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


def several_channels(dims: list, rows: int | str = "N", name: str = "audio") -> onnx.ModelProto:
    """Three convolutions over all channels of [N, C, S], [N, S, C] or [C, S], and one layer."""
    b, now, count = Builder(), name, min(dim for dim in dims if isinstance(dim, int) and dim > 1)
    if dims[-1] == count:
        now = b.add("Transpose", [now], "channels_first", perm=[0, 2, 1])
    elif len(dims) == 2:
        now = b.add("Unsqueeze", [now, b.ints("axis", [0])], "one_row")
    now = b.add("Conv", [now, b.weight("w0", 8, count, 9)], "conv0", strides=[2])
    for i in (1, 2):
        now = b.add("Conv", [b.add("Relu", [now], f"relu{i}"), b.weight(f"w{i}", 8, 8, 9)], f"conv{i}", strides=[2])
    now = b.add("ReduceMean", [b.add("Relu", [now], "relu3")], "mean", axes=[2], keepdims=0)
    b.add("MatMul", [now, b.weight("classes", 8, 5)], "logits")
    return b.model(dims, {"logits": [rows, 5]}, input_name=name)


@pytest.mark.parametrize(
    "dims, name",
    [
        (["N", 2, SAMPLES], "audio"),
        (["N", 2, SAMPLES], "waveform"),
        (["N", SAMPLES, 2], "audio"),
        (["N", "samples", 2], "audio"),
        ([1, 9000, 4], "audio"),
        ([2, SAMPLES], "audio"),
    ],
)
def test_all_channels_of_a_model_hear_the_same(dims, name, tmp_path):
    model = several_channels(dims, 1 if len(dims) == 2 else "N", name)
    onnx.save(model, tmp_path / "m.onnx")
    fixed = [dim for dim in dims if isinstance(dim, int) and dim > 1]
    length, count = max(SAMPLES, *fixed), min(fixed)
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, window_s=length / 1000, threads=1)
    windows, session = audio_like((3, length)), open_session(model)
    axis = dims.index(count) - (len(dims) == 3)
    fed = [np.stack([window] * count, axis=axis) for window in windows]
    wanted = [session.run(None, {name: one[None] if len(dims) == 3 else one})[0][0] for one in fed]
    np.testing.assert_allclose(backbone(windows)["logits"], wanted, rtol=1e-4, atol=1e-6)
    assert backbone.architecture.notes[-1:] == (f"{count} channels hear the same mono audio",)


def test_channels_that_look_like_a_batch_are_refused_at_once(tmp_path):
    onnx.save(several_channels([2, SAMPLES], "rows"), tmp_path / "m.onnx")
    with pytest.raises(
        InputError, match=r"is a batch of 2 windows, but its outputs have one row\. Are these channels\?"
    ):
        find_blocks(open_model(tmp_path / "m.onnx"))


def test_rows_of_a_spectrogram_without_a_batch_axis_are_no_channels():
    b = Builder()
    now = b.add("Transpose", [b.add("Unsqueeze", ["audio", b.ints("axis", [0])], "map")], "bands", perm=[0, 2, 1])
    for i, channels in enumerate((64, 8, 8)):
        now = b.add("Relu", [b.add("Conv", [now, b.weight(f"w{i}", 8, channels, 3)], f"conv{i}")], f"relu{i}")
    b.add("MatMul", [b.add("ReduceMean", [now], "mean", axes=[2], keepdims=0), b.weight("classes", 8, 5)], "logits")
    assert len(find_blocks(b.model([98, 64], {"logits": [1, 5]})).blocks) == 3


@pytest.mark.parametrize("length", [SAMPLES, "samples"])
def test_layers_that_only_some_audio_passes_are_told(length):
    b = Builder()
    now = stack(b)
    loud = b.add(
        "Greater", [b.add("ReduceMean", ["audio"], "mean", keepdims=0), b.store("zero", np.float32(0))], "loud"
    )
    inner = [helper.make_node("Conv", [now, b.weight("w_inside", 8, 8, 1)], ["changed"])]
    kept = [helper.make_node("Identity", [now], ["kept"])]
    branches = {
        name: helper.make_graph(nodes, name, [], [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)])
        for name, nodes, out in (("then_branch", inner, "changed"), ("else_branch", kept, "kept"))
    }
    now = b.add("ReduceMean", [b.add("If", [loud], "chosen", **branches)], "pooled", axes=[2], keepdims=0)
    b.add("MatMul", [now, b.weight("classes", 8, 5)], "logits")
    found = find_blocks(b.model(["N", length], {"logits": ["N", 5]}))
    assert len(found.blocks) == 3
    (note,) = [note for note in found.notes if "(chosen)" in note]
    assert note.startswith("1 layer ") and ("--window" in note) == (length == "samples")


@pytest.mark.parametrize("classes, shape, taps", [(8, [1, 1, 8], 1), (5, [1, 1, 5], 2), (8, [8], 2)])
def test_a_map_of_one_place_as_wide_as_before_is_an_embedding(classes, shape, taps):
    """As in Google's speech embedding; another width or a vector are the scores of a classifier."""
    b = Builder()
    conv = b.add("Conv", [stack(b), b.weight("w_last", classes, 8, 25)], "last")  # all the 25 places that are left
    b.add("Reshape", [conv, b.ints("to_shape", [-1, *shape])], "y")
    found = find_blocks(b.model(["N", SAMPLES], {"y": ["N", *shape]}))
    assert list(found.taps)[3:] == ["embedding", "logits"][:taps]
    assert found.embedding.tensor == ("y" if taps == 1 else "/net/relu2")


def test_a_recurrent_layer_ends_in_front_of_a_head_that_weighs_its_frames():
    """The baseline of DCASE's task 4: scores weighted by a softmax over the classes, divided by the weights' sum."""
    b = Builder()
    now = b.add("Transpose", [stack(b)], "steps", perm=[2, 0, 1])
    now = b.add("GRU", [now, b.weight("w", 1, 15, 8), b.weight("r", 1, 15, 5)], "hidden", hidden_size=5)
    now = b.add("Transpose", [b.add("Squeeze", [now, b.ints("one", [1])], "states")], "frames", perm=[1, 0, 2])
    scores = b.add("Sigmoid", [b.add("MatMul", [now, b.weight("w_s", 5, 7)], "scores")], "strong")
    weights = b.add("Softmax", [b.add("MatMul", [now, b.weight("w_a", 5, 7)], "attention")], "weights", axis=2)
    b.add("ReduceSum", [b.add("Mul", [scores, weights], "weighted"), b.ints("time", [1])], "summed", keepdims=0)
    b.add("ReduceSum", [weights, "time"], "all", keepdims=0)
    b.add("Div", ["summed", "all"], "weak")
    found = find_blocks(b.model(["N", SAMPLES], {"weak": ["N", 7], "strong": ["N", "T", 7]}))
    assert [tap.tensor for tap in found.taps.values()][3:] == ["hidden", "frames", "weak"]


@pytest.mark.parametrize("kernel, taps", [(3, ["embedding"]), (1, ["embedding", "logits"])])
def test_a_code_of_frames_made_from_their_neighbours_is_no_score(kernel, taps):
    """As the encoders of neural codecs end; scores of frames come of one frame each."""
    b = Builder()
    b.add("Conv", [stack(b), b.weight("w_last", 6, 8, kernel)], "code", pads=[kernel // 2] * 2)
    found = find_blocks(b.model(["N", SAMPLES], {"code": ["N", 6, "T"]}))
    assert list(found.taps)[3:] == taps
    assert list(found.taps.values())[-1].tensor == "code"


def test_what_a_loop_collects_as_a_sequence_is_read_once_it_is_joined(tmp_path):
    """As torch's exporter writes a scripted scan: a list that grows, step by step, and is stacked behind the loop."""
    b = Builder()
    frames = stack(b)
    tensors = helper.make_tensor_sequence_value_info("rows", TensorProto.FLOAT, None)
    grown = helper.make_tensor_sequence_value_info("grown", TensorProto.FLOAT, None)
    go, more = (helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go", "more"))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["more"]),
            helper.make_node("SequenceInsert", ["rows", frames], ["grown"]),
        ],
        "step",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), go, tensors],
        [more, grown],
    )
    b.add("SequenceEmpty", [], "none", dtype=TensorProto.FLOAT)
    b.add("Loop", [b.store("steps", np.int64(3)), b.store("yes", np.bool_(True)), "none"], "collected", body=body)
    now = b.add("ConcatFromSequence", ["collected"], "joined", axis=2)
    now = b.add("ReduceMean", [now], "pooled", axes=[2], keepdims=0)
    b.add("MatMul", [now, b.weight("classes", 8, 5)], "logits")
    onnx.save(b.model(["N", SAMPLES], {"logits": ["N", 5]}), tmp_path / "m.onnx")
    backbone = Backbone.open(tmp_path / "m.onnx", sample_rate=1000, threads=1)
    assert backbone.taps == (*STACK, "embedding", "logits")


def test_a_map_whose_edges_are_cut_off_is_of_the_same_stage():
    b, now = Builder(), "audio"
    now = b.add("Unsqueeze", [now, b.ints("one", [1])], "line")
    for i, (channels, stride) in enumerate([(1, 2), (8, 1), (8, 1), (8, 2), (8, 1)]):  # none is padded
        now = b.add(
            "Relu", [b.add("Conv", [now, b.weight(f"w{i}", 8, channels, 9)], f"c{i}", strides=[stride])], f"r{i}"
        )
    b.add("MatMul", [b.add("ReduceMean", [now], "mean", axes=[2], keepdims=0), b.weight("classes", 8, 5)], "logits")
    found = find_blocks(b.model(["N", SAMPLES], {"logits": ["N", 5]}))
    assert [block.stage for block in found.blocks] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(
    "kind, dims, wanted", [("INT64", ["N"], "NUMBER"), ("INT64", ["N", "T"], "ones"), ("FLOAT", [1, 8], "zeros")]
)
def test_what_another_input_mostly_wants_is_proposed(kind, dims, wanted, tmp_path):
    b = Builder()
    b.add("MatMul", ["audio", b.weight("w", SAMPLES, 4)], "scores")
    model = b.model(["N", SAMPLES], {"scores": ["N", 4]})
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.DataType.Value(kind), dims))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match=f"such as --input more={wanted}$"):
        open_model(tmp_path / "m.onnx")
