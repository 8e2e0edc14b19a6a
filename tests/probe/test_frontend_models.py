"""Models that take spectrograms open behind a front end; their other inputs get values."""

import json
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.features.store import StoreKey
from birdprobe.probe.models.frontends.frontend import FrontEnd
from birdprobe.probe.models.frontends.opening import open_model
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.sessions import open_session
from tests.frontends import close, librosa_mel, synthetic
from tests.waveform_models import Builder

CLIPS = synthetic()[:, :48_000]


def network(shape: list, b: Builder | None = None, source: str = "image", extra: str | None = None) -> Builder:
    """Two residual blocks on a [N, 1, 64, T] image `source`."""
    b = b or Builder()
    now = b.add("Conv", [source, b.weight("w_stem", 8, shape[1], 3, 3)], "stem", pads=[1, 1, 1, 1])
    for i in range(2):
        conv = b.add("Conv", [now, b.weight(f"w{i}", 8, 8, 3, 3)], f"conv{i}", pads=[1, 1, 1, 1])
        now = b.add("Add", [b.add("Relu", [conv], f"relu{i}"), now], f"sum{i}")
    now = b.add("Flatten", [b.add("GlobalAveragePool", [now], "pooled")], "embedding")
    now = b.add("MatMul", [now, b.weight("w_classes", 8, 5)], "logits")
    return b


def saved(model: onnx.ModelProto, folder, name="m.onnx"):
    onnx.save(model, folder / name)
    return folder / name


@pytest.fixture
def image_model(tmp_path):
    b = network(["N", 3, 64, 63])
    return saved(b.model(["N", 3, 64, 63], {"logits": ["N", 5]}, "image"), tmp_path)


FRONT = "mel:n_fft=512,hop=128,n_mels=64,fmin=50,db,top_db=80,minmax"


def test_a_spectrogram_model_opens_behind_its_front_end(image_model):
    backbone = bp.open_backbone(image_model, "stem,all", frontend=FRONT, sample_rate=16_000)
    assert [b.kind for b in backbone.architecture.blocks] == ["residual"] * 2
    assert backbone.window_samples == 62 * 128 and backbone.sample_rate == 16_000
    x = CLIPS[:3, : backbone.window_samples]
    decibel = librosa_mel(x, 16_000, n_fft=512, hop_length=128, n_mels=64, fmin=50, pad_mode="reflect")
    low, high = decibel.min((1, 2), keepdims=True), decibel.max((1, 2), keepdims=True)
    image = np.repeat(((decibel - low) / (high - low))[:, None], 3, axis=1).astype(np.float32)
    wanted = open_session(onnx.load(image_model), 1).run(["logits"], {"image": image})[0]
    close(backbone(x)["logits"], wanted)
    assert bp.find_blocks(image_model, frontend=FRONT, sample_rate=16_000) == backbone.architecture


def test_a_refused_spectrogram_names_a_front_end_that_fits(image_model):
    with pytest.raises(
        InputError, match=r"\[\?,3,64,63\] is no mono waveform.*--frontend mel:\S+ --sample-rate"
    ) as told:
        bp.open_backbone(image_model, sample_rate=32_000)
    words = str(told.value).split("such as ")[1].split()
    backbone = bp.open_backbone(image_model, frontend=words[1], sample_rate=32_000)
    assert len(backbone.architecture.blocks) == 2


@pytest.mark.parametrize(
    "front, given, said",
    [
        ("mel:n_mels=32", {}, r"no axis of 32 rows.*n_mels \(63\?\)"),
        ("mel:n_mels=64", {"window_s": 1.0}, r"gives 32 frames, its input takes 63. --window 1.984 fits"),
    ],
)
def test_a_front_end_that_does_not_fit_says_what_would(image_model, front, given, said):
    with pytest.raises(InputError, match=said):
        bp.open_backbone(image_model, frontend=front, sample_rate=16_000, **given)


def test_a_waveform_model_wants_no_front_end(tmp_path):
    b = network(["N", 1, 16, 16], Builder(), "map")
    b.nodes.insert(0, helper.make_node("Reshape", ["audio", b.ints("to", [-1, 1, 16, 16])], ["map"]))
    path = saved(b.model(["N", 256], {"logits": ["N", 5]}), tmp_path)
    with pytest.raises(InputError, match=r"\[\?,256\], `--frontend` wants a model that takes a spectrogram"):
        bp.open_backbone(path, frontend="panns")


def test_waveforms_with_a_last_axis_of_one(tmp_path):
    b = network(["N", 1, 16, 16], Builder(), "map")
    b.nodes.insert(0, helper.make_node("Reshape", ["audio", b.ints("to", [-1, 1, 16, 16])], ["map"]))
    flat = saved(b.model(["N", 256], {"logits": ["N", 5]}), tmp_path, "flat.onnx")
    last = saved(b.model(["N", 256, 1], {"logits": ["N", 5]}), tmp_path, "last.onnx")
    x = CLIPS[:3, :256]
    one, other = (bp.open_backbone(path, sample_rate=16_000)(x) for path in (flat, last))
    assert all(np.array_equal(one[tap], other[tap]) for tap in one)


def with_extra_inputs(folder, dims=("batch", 8), branch=False):
    """`image` plus a state of 8 numbers added to the embedding, and, with `branch`, a rate that chooses a network."""
    b = network(["N", 1, 16, 16], Builder(), "map")
    b.nodes.insert(0, helper.make_node("Reshape", ["audio", b.ints("to", [-1, 1, 16, 16])], ["map"]))
    b.nodes[-1].input[0] = "stated"
    b.nodes.insert(-1, helper.make_node("Add", ["embedding", "state"], ["stated"]))
    model = b.model(["batch", 256], {"logits": ["batch", 5]})
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, list(dims)))
    if branch:
        weights, out = list(model.graph.initializer), model.graph.output[0]
        net = helper.make_graph(list(model.graph.node), "net", [], [out], weights)
        zero = helper.make_graph(
            [helper.make_node("ReduceMean", ["audio"], ["z"], axes=[1])], "zero", [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        )  # fmt: skip
        del model.graph.node[:], model.graph.initializer[:]
        model.graph.initializer.append(numpy_helper.from_array(np.array(16_000, np.int64), "usual"))
        model.graph.node.append(helper.make_node("Equal", ["sr", "usual"], ["is"]))
        model.graph.node.append(helper.make_node("If", ["is"], ["logits"], then_branch=net, else_branch=zero))
        model.graph.input.append(helper.make_tensor_value_info("sr", TensorProto.INT64, []))
    return saved(model, folder)


@pytest.mark.parametrize("dims", [("batch", 8), (1, 8), (None, 8)])
def test_other_inputs_get_values(dims, tmp_path):
    path = with_extra_inputs(tmp_path, dims)
    with pytest.raises(InputError, match=r"2 required inputs .*give the others values, such as --input state=zeros"):
        bp.open_backbone(path, sample_rate=16_000)
    zeros, ones = (
        bp.open_backbone(path, sample_rate=16_000, inputs=[f"state={v}"])(CLIPS[:3, :256])["logits"]
        for v in ("zeros", "1")
    )
    session = open_session(path, 1)
    for found, value in ((zeros, 0), (ones, 1)):
        rows = np.full((3, 8) if dims[0] != 1 else (1, 8), value, np.float32)
        close(found, session.run(["logits"], {"audio": CLIPS[:3, :256], "state": rows})[0], 1e-5)


def test_the_branch_of_the_rate_is_the_network(tmp_path):
    path = with_extra_inputs(tmp_path, branch=True)
    backbone = bp.open_backbone(path, sample_rate=16_000, inputs=["sr=16000", "state=zeros"])
    assert [b.kind for b in backbone.architecture.blocks] == ["residual"] * 2
    state, rate = np.zeros((3, 8), np.float32), np.array(16_000)
    wanted = open_session(path, 1).run(["logits"], {"audio": CLIPS[:3, :256], "state": state, "sr": rate})[0]
    close(backbone(CLIPS[:3, :256])["logits"], wanted, 1e-5)


@pytest.mark.parametrize(
    "inputs, said",
    [
        (["stat=0"], "has no such input; it has audio, state"),
        (["state"], "must be NAME=VALUE"),
        (["state=x"], "must be numbers, zeros or ones, got 'x'"),
        (["state=1,2"], "one number wanted, got 2"),
        (["state=0", "audio=0"], "left over: none"),
    ],
)
def test_bad_values_of_inputs_are_named(inputs, said, tmp_path):
    with pytest.raises(InputError, match=said):
        open_model(with_extra_inputs(tmp_path), inputs=inputs)


def test_the_key_holds_the_front_end_and_old_keys_are_read(image_model):
    from birdprobe.features.windows import Selection
    from birdprobe.probe.extraction.extract import key_of

    backbone = Backbone.open(image_model, frontend=FRONT, sample_rate=16_000)
    key = key_of(backbone, Selection.parse("all"), 0, "float32")
    assert key.frontend == FrontEnd.parse(FRONT, 16_000).text
    assert StoreKey.from_json(key.to_json()) == key
    again = Backbone.open(image_model, frontend=key.frontend, sample_rate=key.sample_rate, window_s=key.window_s)
    assert (again.window_samples, again.frontend) == (backbone.window_samples, backbone.frontend)
    old = json.loads(key.to_json())
    del old["frontend"], old["inputs"]
    plain = StoreKey.from_json(json.dumps(old))
    assert plain.frontend == "" and "--frontend" in plain.differences(key)[0]


@pytest.mark.slow
def test_a_timm_cnn_behind_a_front_end_equals_the_cnn_exported_with_it(tmp_path):
    torch = pytest.importorskip("torch")
    from birdprobe.finetune.frontends.melspec import BirdsetMelSpec
    from birdprobe.finetune.models.timm_import import import_timm
    from tests.frontends import export

    torch.manual_seed(0)
    cnn = import_timm().create_model("tf_efficientnet_b0", pretrained=False, in_chans=1, exportable=True).eval()
    whole = torch.nn.Sequential(BirdsetMelSpec(), cnn).eval()
    samples = 48_000
    export(whole, tmp_path / "whole.onnx", dynamo=False, samples=samples)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        torch.onnx.export(
            cnn, (torch.randn(2, 1, 256, 188),), tmp_path / "cnn.onnx", dynamo=False, dynamic_axes={"x": {0: "n"}},
            input_names=["x"],
        )  # fmt: skip
    front = "mel:n_fft=2048,hop=256,n_mels=256,scale=htk,norm=none,db,top_db=80,mean=-4.268,std=4.569"
    given = {"sample_rate": 32_000, "window_s": samples / 32_000}
    one = bp.open_backbone(tmp_path / "whole.onnx", **given)
    other = bp.open_backbone(tmp_path / "cnn.onnx", frontend=front, **given)
    assert [b.kind for b in other.architecture.blocks] == [b.kind for b in one.architecture.blocks]
    assert len(other.architecture.blocks) == 16
    a, b = one(CLIPS), other(CLIPS)
    assert list(a) == list(b)
    for tap in a:
        close(b[tap], a[tap], 1e-3)
