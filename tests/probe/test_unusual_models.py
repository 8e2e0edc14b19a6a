"""Models as people export them: outputs that are no tensors, recurrent states, frame-wise heads, int8 files."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import audio_like, open_session
from tests.graphs import WIDTHS, Spelling, perch
from tests.waveform_models import SAMPLES, Builder, convolutional


def opened(model: onnx.ModelProto, tmp_path, **options) -> Backbone:
    onnx.save(model, tmp_path / "model.onnx")
    return Backbone.open(tmp_path / "model.onnx", sample_rate=options.pop("sample_rate", 1000), threads=1, **options)


def with_output(value: onnx.ValueInfoProto, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """The small residual network with one more output."""
    model, _ = convolutional()
    model.graph.node.extend(nodes)
    model.graph.output.append(value)
    return model


def sequence() -> onnx.ModelProto:
    value = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    return with_output(value, helper.make_node("SequenceConstruct", ["logits", "embedding"], ["parts"]))


def zipmap() -> onnx.ModelProto:
    names = [f"species {i}" for i in range(500)]
    node = helper.make_node("ZipMap", ["logits"], ["parts"], domain="ai.onnx.ml", classlabels_strings=names)
    scores = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    model = with_output(helper.make_value_info("parts", helper.make_sequence_type_proto(scores)), node)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


def optional() -> onnx.ModelProto:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, ["N", 500]))
    return with_output(helper.make_value_info("parts", kind), helper.make_node("Optional", ["logits"], ["parts"]))


@pytest.mark.parametrize("make", [sequence, zipmap, optional])
def test_outputs_that_are_no_tensors_are_left_out_with_a_note(make, tmp_path):
    backbone = opened(make(), tmp_path)
    assert backbone.taps == ("block_00", "block_01", "embedding", "logits")
    assert "outputs that are no tensors are left out: parts" in backbone.architecture.notes
    assert set(backbone.verification.outputs) == {"logits"}
    assert [name for name, _ in backbone.architecture.outputs] == ["logits"]


@pytest.mark.parametrize("batch", ["N", 2])
@pytest.mark.parametrize("value", [np.float32(0.07), np.array([1.0, 2.0, 3.0], np.float32)])
def test_outputs_without_a_batch_axis_are_compared(value, batch, tmp_path):
    model, _ = convolutional(batch=batch)
    model.graph.node.append(
        helper.make_node("Constant", [], ["temperature"], value=onnx.numpy_helper.from_array(np.asarray(value)))
    )
    model.graph.output.append(helper.make_tensor_value_info("temperature", TensorProto.FLOAT, list(np.shape(value))))
    backbone = opened(model, tmp_path)
    assert backbone.verification.outputs["temperature"].max_abs == 0
    assert backbone(audio_like((3, SAMPLES)))["block_01"].shape == (3, 8)


def test_a_recurrent_layer_may_leave_out_its_first_output(tmp_path):
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_map", [-1, 1, 16, 16])], "map")
    now = b.add("Conv", [now, b.weight("w_stem", 8, 1, 3, 3)], "stem", pads=[1, 1, 1, 1])
    for i in range(2):
        conv = b.add("Conv", [now, b.weight(f"w{i}", 8, 8, 3, 3)], f"conv{i}", pads=[1, 1, 1, 1])
        now = b.add("Add", [b.add("Relu", [conv], f"relu{i}"), now], f"sum{i}")
    now = b.add("ReduceMean", [now], "frames", axes=[2], keepdims=0)  # [N, 8, T]
    now = b.add("Transpose", [now], "time_first", perm=[2, 0, 1])
    weights = [b.weight("w", 1, 15, 8), b.weight("r", 1, 15, 5)]
    b.nodes.append(helper.make_node("GRU", [now, *weights], ["", "state"], name="gru", hidden_size=5))
    now = b.add("Squeeze", ["state", b.ints("direction", [0])], "last_state")
    b.add("MatMul", [now, b.weight("w_classes", 5, 7)], "logits")
    backbone = opened(b.model(["N", SAMPLES], {"logits": ["N", 7]}), tmp_path)
    assert backbone.dims == {"block_00": (8,), "block_01": (8,), "embedding": (5,), "logits": (7,)}


def detector(summary: str, extra: tuple[str, ...] = ()) -> onnx.ModelProto:
    """A convolutional stack, one layer on frames, class scores a frame, and their summary over time."""
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_line", [-1, 1, SAMPLES])], "line")
    for i, channels in enumerate([1, 8, 8, 8]):
        conv = b.add("Conv", [now, b.weight(f"w{i}", 8, channels, 9)], f"conv{i}", strides=[2])
        now = b.add("Relu", [conv], f"relu{i}")
    now = b.add("Transpose", [now], "frames", perm=[0, 2, 1])
    now = b.add("Relu", [b.add("MatMul", [now, b.weight("w_fc", 8, 12)], "fc")], "entered")
    scores = b.add("MatMul", [now, b.weight("w_classes", 12, 7, scale=3)], "frame_logits")
    scores = b.add("Sigmoid", [scores], "framewise")
    if summary == "DCASE":  # softmax over the classes, and a division by the sum of the weights
        weights = b.add(
            "Softmax", [b.add("MatMul", [now, b.weight("w_attention", 12, 7)], "attention")], "soft", axis=2
        )
        weights = b.add("Clip", [weights, b.store("least", np.float32(1e-7))], "weights")
        sums = [b.add("ReduceSum", [one, b.ints(f"time_{one}", [1])], f"sum_{one}", keepdims=0) for one in
                (b.add("Mul", [scores, weights], "weighted"), weights)]  # fmt: skip
        b.add("Div", sums, "clipwise")
    elif summary == "attention":
        weights = b.add("MatMul", [now, b.weight("w_attention", 12, 7, scale=3)], "attention")
        weights = b.add("Softmax", [b.add("Tanh", [weights], "bounded")], "weights", axis=1)
        product = b.add("Mul", [weights, scores], "weighted")
        b.add("ReduceSum", [product, b.ints("time", [1])], "clipwise", keepdims=0)
    else:
        b.add(summary, [scores], "clipwise", axes=[1], keepdims=0)
    outputs = {"framewise": ["N", "T", 7], "clipwise": ["N", 7]}
    if "embedding" in extra:
        b.add("ReduceMean", [now], "embedding", axes=[1], keepdims=0)
    kept = {name: outputs.get(name, ["N", 12]) for name in (*extra, "clipwise")}
    return b.model(["N", SAMPLES], kept)


@pytest.mark.parametrize("extra", [(), ("framewise",), ("embedding", "framewise")])
@pytest.mark.parametrize("summary", ["attention", "DCASE", "ReduceMax", "ReduceMean"])
def test_heads_that_score_frames_and_summarise_them(summary, extra, tmp_path):
    model = detector(summary, extra)
    backbone = opened(model, tmp_path)
    assert [b.name for b in backbone.architecture.blocks] == [f"block_{i:02d}" for i in range(4)]
    assert backbone.dims["embedding"] == (12,) and backbone.dims["logits"] == (7,)
    x = audio_like((3, SAMPLES))
    probed = detector(summary, ())
    probed.graph.output.append(helper.make_tensor_value_info("entered", TensorProto.FLOAT, None))
    scores, entered = open_session(probed, 1).run(None, {"audio": x})
    features = backbone(x)
    assert np.allclose(features["logits"], scores, rtol=1e-4, atol=1e-6)
    assert np.allclose(features["embedding"], entered.mean(axis=1), rtol=1e-4, atol=1e-6)


def test_a_silu_in_front_of_the_pool_is_no_score(tmp_path):
    """The features of an EfficientNet end with x * sigmoid(x) and a global pool: a gate, not a classifier."""
    model = perch(Spelling(outputs=("embedding",), exp=False), scale=0.1)
    model.graph.output[0].name = "y"
    model.graph.node[-1].output[0] = "y"
    architecture = find_blocks(model)
    assert architecture.logits is None and architecture.embedding.tensor == "y"


def test_ten_seconds_at_16_khz_are_not_taken_for_perch(tmp_path):
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_map", [-1, 1, 400, 400])], "map")
    now = b.add("Relu", [b.add("Conv", [now, b.weight("w", 24, 1, 9, 9)], "conv", strides=[8, 8])], "relu")
    now = b.add("Flatten", [b.add("GlobalAveragePool", [now], "pool")], "embedding")
    b.add("MatMul", [now, b.weight("w_classes", 24, 7)], "logits")
    model = b.model(["N", 160_000], {"logits": ["N", 7], "embedding": ["N", 24]})
    with pytest.raises(InputError, match=r"input \[\?,160000\] fits no preset, .* give --sample-rate"):
        opened(model, tmp_path, sample_rate=None)
    backbone = opened(model, tmp_path, sample_rate=16_000)
    assert (backbone.preset, backbone.window_s, backbone.normalise) == (None, 10.0, "none")


class Windows(CalibrationDataReader):
    def __init__(self, n: int):
        self.left = [audio_like((1, 160_000), seed=i) for i in range(n)]

    def get_next(self):
        return {"inputs": self.left.pop()} if self.left else None


@pytest.mark.parametrize("form", ["operators", "dynamic"])
def test_int8_files_have_the_same_blocks(form, tmp_path):
    plain = perch(Spelling(se="conv", bn="none", nhwc=False, stale=False, exp=False), scale=0.1)
    source, made = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    onnx.save(plain, source)
    if form == "operators":
        quantize_static(source, made, Windows(2), quant_format=QuantFormat.QOperator)
    else:
        quantize_dynamic(source, made, op_types_to_quantize=["Conv", "MatMul"])
    found, wanted = find_blocks(load(made)), find_blocks(plain)
    assert len(found.blocks) == len(WIDTHS) == 26
    assert [(b.shape, b.kind, b.stage) for b in found.blocks] == [(b.shape, b.kind, b.stage) for b in wanted.blocks]
    assert list(found.taps) == list(wanted.taps)
    backbone = Backbone.open(made, taps="0,-1,embedding,logits", threads=1)
    assert backbone.preset == "perch-v2" and backbone.dims["block_25"] == (wanted.blocks[-1].channels,)


def test_int8_taps_are_dequantised(tmp_path):
    model, _ = convolutional()
    source, made = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    reader = Windows(0)
    reader.left = [audio_like((1, SAMPLES), seed=i) for i in range(8)]
    reader.get_next = lambda: {"audio": reader.left.pop()} if reader.left else None
    quantize_static(source, made, reader, quant_format=QuantFormat.QOperator)
    x = audio_like((4, SAMPLES), seed=1)
    plain, quantised = opened(model, tmp_path)(x), opened(onnx.load(made), tmp_path)(x)
    for tap in ("block_00", "block_01"):
        assert np.linalg.norm(quantised[tap] - plain[tap]) < 0.1 * np.linalg.norm(plain[tap])


def calibrated(model: onnx.ModelProto, form: QuantFormat, tmp_path) -> onnx.ModelProto:
    source, made = tmp_path / "plain.onnx", tmp_path / "int8.onnx"
    onnx.save(model, source)
    reader = Windows(0)
    reader.left = [audio_like((1, SAMPLES), seed=i) for i in range(8)]
    reader.get_next = lambda: {"audio": reader.left.pop()} if reader.left else None
    quantize_static(source, made, reader, quant_format=form)
    return load(made)


def separable(head: str) -> onnx.ModelProto:
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_map", [-1, 1, 16, 16])], "map")
    now = b.add("Relu", [b.add("Conv", [now, b.weight("w", 8, 1, 3, 3), b.weight("b", 8)], "conv")], "relu")
    for i in range(3):
        for part, shape, group in (("depth", (8, 1, 3, 3), 8), ("point", (8, 8, 1, 1), 1)):
            w = [b.weight(f"{part}.w{i}", *shape), b.weight(f"{part}.b{i}", 8)]
            now = b.add("Conv", [now, *w], f"{part}{i}", group=group, kernel_shape=shape[2:])
            now = b.add("Relu", [now], f"{part}_relu{i}")
    if head == "gru":
        now = b.add("Transpose", [b.add("ReduceMean", [now], "rows", axes=[2], keepdims=0)], "steps", perm=[2, 0, 1])
        weights = [b.weight("gru.w", 1, 18, 8), b.weight("gru.r", 1, 18, 6)]
        now = b.add("Squeeze", [b.add("GRU", [now, *weights], "gru", hidden_size=6), b.ints("one", [1])], "states")
        now = b.add(
            "MatMul", [b.add("Transpose", [now], "frames", perm=[1, 0, 2]), b.weight("classes", 6, 7)], "scores"
        )
        b.add("ReduceMax", [b.add("Sigmoid", [now], "sure")], "logits", axes=[1], keepdims=0)
        return b.model(["N", SAMPLES], {"logits": ["N", 7]})
    now = b.add("ReduceMean", [now], "embedding", axes=[2, 3], keepdims=0)
    b.add("MatMul", [now, b.weight("classes", 8, 7)], "logits")
    return b.model(["N", SAMPLES], {"logits": ["N", 7], "embedding": ["N", 8]})


@pytest.mark.parametrize("form", list(QuantFormat))
@pytest.mark.parametrize("head", ["mean", "gru"])
def test_a_quantisation_that_cuts_at_zero_is_the_relu_that_the_quantiser_dropped(head, form, tmp_path):
    plain = separable(head)
    int8 = calibrated(plain, form, tmp_path)
    assert not [node for node in int8.graph.node if node.op_type == "Relu"]
    found, wanted = find_blocks(int8), find_blocks(plain)
    assert [(b.kind, b.shape) for b in found.blocks] == [(b.kind, b.shape) for b in wanted.blocks]
    assert list(found.taps) == list(wanted.taps)
    opened(int8, tmp_path)  # no tap may change how the network rounds


def test_dynamically_quantised_recurrent_layers_are_blocks(tmp_path):
    b = Builder(17)
    now = b.add("Reshape", ["audio", b.ints("to_steps", [-1, 16, 16])], "windows")
    now = b.add("Transpose", [now], "steps", perm=[1, 0, 2])
    for i, width in enumerate((16, 6)):
        weights = [b.weight(f"w{i}", 1, 24, width), b.weight(f"r{i}", 1, 24, 6)]
        now = b.add(
            "Squeeze", [b.add("LSTM", [now, *weights], f"y{i}", hidden_size=6), b.ints(f"one{i}", [1])], f"s{i}"
        )
    now = b.add("ReduceMean", [now], "mean", axes=[0], keepdims=0)
    b.add("MatMul", [now, b.weight("classes", 6, 7)], "logits")
    plain = b.model(["N", SAMPLES], {"logits": ["N", 7]})
    onnx.save(plain, tmp_path / "plain.onnx")
    quantize_dynamic(tmp_path / "plain.onnx", tmp_path / "int8.onnx")
    int8 = load(tmp_path / "int8.onnx")
    assert "DynamicQuantizeLSTM" in [node.op_type for node in int8.graph.node]
    found, wanted = find_blocks(int8), find_blocks(plain)
    assert [b.shape for b in found.blocks] == [b.shape for b in wanted.blocks] and len(found.blocks) == 2
    assert list(found.taps) == list(wanted.taps) and found.blocks[-1].macs == wanted.blocks[-1].macs


def test_what_the_runtime_says_is_told_whole(tmp_path):
    model, _ = convolutional()
    model.ir_version = 99
    with pytest.raises(InputError, match="Unsupported model IR version: 99, max supported IR version: "):
        opened(model, tmp_path)
