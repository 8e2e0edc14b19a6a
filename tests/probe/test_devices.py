"""Devices: what is not there is said with the line that installs it, and nothing that differs from the CPU is believed."""

import json

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import birdprobe as bp
from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore, StoreKey
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.device_session import DeviceSession, check_noise, differences, run_bound
from birdprobe.probe.runtime.providers import DEVICES, INSTALL, PROVIDERS, Device, available, find_device
from birdprobe.probe.runtime.sessions import audio_like, open_session
from tests.probe.test_cli import birdprobe, one_line
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset
from tests.waveform_models import SAMPLES, convolutional

ABSENT = [name for name in PROVIDERS if not available(name)]
openvino = pytest.mark.skipif(not available("openvino"), reason="pip install onnxruntime-openvino")
HALF = Device("cpu", "float16")


@pytest.fixture
def saved(tmp_path):
    model, _ = convolutional()
    onnx.save(model, tmp_path / "tiny.onnx")
    return tmp_path / "tiny.onnx"


def session_of(model, changed=None, tolerance_of=HALF, fixed=None) -> DeviceSession:
    """A model, or a changed one in the place of what a device would make of it."""
    name = model.graph.output[0].name
    return DeviceSession(
        open_session(changed or model, 1), open_session(model, 1), {name: "logits"}, tolerance_of, fixed
    )


def test_auto_is_the_cpu_where_there_is_no_gpu():
    if available("cuda"):
        pytest.skip("this ONNX Runtime has CUDA")
    assert find_device() == Device("cpu", "float32") and find_device().plain


@pytest.mark.parametrize("name", ABSENT)
def test_an_absent_device_says_what_installs_it(name, tmp_path):
    model, audio = tiny_backbone(tmp_path / "m.onnx"), tiny_dataset(tmp_path / "audio")
    line = one_line(birdprobe("extract", model, audio, "-o", tmp_path / "s.h5", "--device", name))
    assert line.endswith(INSTALL[name]) and not (tmp_path / "s.h5").exists()
    with pytest.raises(InputError, match="is installed without it") as caught:
        find_device(name)
    assert str(caught.value).endswith(INSTALL[name]) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("gpu", "float32"), rf"`--device` must be one of {', '.join(DEVICES)}, got 'gpu'\."),
        (("cpu", "bfloat16"), r"`--precision` must be one of float32, tf32, float16, got 'bfloat16'\."),
        (("cpu", "tf32"), r"`--precision tf32` is a mode of NVIDIA's tensor cores, got `--device cpu`\."),
    ],
)
def test_words_that_are_no_device(given, message):
    with pytest.raises(InputError, match=message):
        find_device(*given)


def test_float16_is_near_float32_and_told(saved):
    plain = Backbone.open(saved, sample_rate=1000, threads=1)
    half = Backbone.open(saved, sample_rate=1000, threads=1, device=HALF)
    assert plain.device_check is None and half.device_check.tolerance == 5e-3
    assert 1e-6 < max(half.device_check.rel_l2.values()) < 5e-3 and tuple(half.device_check.rel_l2) == half.taps
    x = audio_like((5, SAMPLES), seed=3)
    for tap, wanted in plain(x).items():
        found = half(x)[tap]
        assert found.dtype == np.float32 and found.shape == wanted.shape
        assert 0 < np.linalg.norm(found - wanted) < 5e-3 * np.linalg.norm(wanted)
    assert "float16, 8 windows a call: 4 taps within" in str(half.device_check)


def test_numbers_that_are_off_are_refused_with_the_tap():
    model, _ = convolutional()
    other = onnx.ModelProto()
    other.CopyFrom(model)
    weights = next(t for t in other.graph.initializer if t.name == "w_classes")
    value = onnx.numpy_helper.to_array(weights)
    for factor, message in ((1.01, r"tap logits: 1\.0e-02 relative L2 from the CPU"), (np.nan, "NaN or infinity")):
        weights.CopyFrom(onnx.numpy_helper.from_array((factor * value).astype(np.float32), "w_classes"))
        with pytest.raises(InputError, match=message):
            check_noise(session_of(model, other), (SAMPLES,), 8)


def test_the_first_real_batch_of_each_size_is_checked():
    """A device that is right on noise and wrong on a loud batch: the batch is refused, not stored."""
    model, _ = convolutional()
    limited = onnx.ModelProto()
    limited.CopyFrom(model)
    limited.graph.node.insert(0, onnx.helper.make_node("Clip", ["audio", "", "most"], ["clipped"]))
    limited.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0.5), "most"))
    limited.graph.node[1].input[0] = "clipped"
    opened = session_of(model, limited)
    check_noise(opened, (SAMPLES,), 8)
    quiet = audio_like((3, SAMPLES))
    assert opened.run(None, {"audio": quiet})[0].shape == (3, 500)  # fed as four
    loud = 20 * audio_like((8, SAMPLES))
    with pytest.raises(InputError, match="on the first windows"):
        opened.run(None, {"audio": loud})


def test_a_wrong_row_anywhere_is_seen():
    wanted = np.ones((4, 3))
    found = wanted.copy()
    found[3] = 0
    assert differences(["a"], [found], [wanted])["a"] == pytest.approx(0.5)
    assert differences(["a"], [found[:2]], [wanted])["a"] == np.inf


def test_bound_outputs_are_the_same():
    model, _ = convolutional()
    session, x = open_session(model, 1), audio_like((3, SAMPLES))
    (found,) = run_bound(session, ["logits"], {"audio": x}, "cpu")
    assert np.array_equal(found, session.run(["logits"], {"audio": x})[0])


def test_the_precision_is_in_the_key_and_the_device_in_the_meta(tmp_path):
    model, audio = tiny_backbone(tmp_path / "m.onnx"), tiny_dataset(tmp_path / "audio")
    given = {"sample_rate": SAMPLE_RATE, "window_s": 1.0, "progress": False}
    bp.extract(model, audio, tmp_path / "half.h5", device="cpu", precision="float16", **given)
    with FeatureStore.open(tmp_path / "half.h5") as store:
        assert store.key.precision == "float16" and store.meta["device"]["precision"] == "float16"
        assert set(store.meta["device"]["rel_l2"]) == set(store.taps)
    with pytest.raises(InputError, match=r"precision float16 on disk, expected float32\. .*--precision"):
        bp.extract(model, audio, tmp_path / "half.h5", device="cpu", **given)


def test_keys_of_stores_that_knew_no_precision_are_read():
    key = StoreKey("0" * 64, ("block_00",), "mean", 32000, 5.0, "all", 0, "none")
    assert "precision" not in json.loads(key.to_json()) and StoreKey.from_json(key.to_json()) == key
    half = StoreKey("0" * 64, ("block_00",), "mean", 32000, 5.0, "all", 0, "none", precision="tf32")
    assert StoreKey.from_json(half.to_json()) == half != key


@openvino
def test_openvino_extracts_what_the_cpu_does(tmp_path):
    model, audio = tiny_backbone(tmp_path / "m.onnx"), tiny_dataset(tmp_path / "audio")
    given = {"sample_rate": SAMPLE_RATE, "window_s": 1.0, "progress": False}
    stores = {
        name: bp.extract(model, audio, tmp_path / f"{name}.h5", device=name, **given) for name in ("cpu", "openvino")
    }
    with FeatureStore.open(stores["cpu"].store) as cpu, FeatureStore.open(stores["openvino"].store) as other:
        assert cpu.key == other.key and other.meta["device"]["provider"] == PROVIDERS["openvino"]
        for tap in cpu.taps:
            a, b = cpu.read(tap), other.read(tap)
            assert np.linalg.norm(a - b) < 1e-4 * np.linalg.norm(a)
    assert "OpenVINOExecutionProvider" in ort.get_available_providers()
