"""A backbone and a dataset so small that a whole sweep takes seconds: four residual blocks on one second at 8 kHz."""

from pathlib import Path

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

SAMPLE_RATE = 8000
N_SAMPLES = 8000
WIDTH = 16


def tiny_backbone(path: Path, seed: int = 0, classes: int = 7) -> Path:
    """waveform [N, 8000] -> strided conv stem -> 4 residual blocks [N, 16, 125] -> mean -> embedding -> logits."""
    rng = np.random.default_rng(seed)
    nodes, weights = [], []

    def weight(name: str, *shape: int) -> str:
        scale = 1 / np.sqrt(np.prod(shape[1:]))
        weights.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def conv(name: str, x: str, w: str, kernel: int, stride: int = 1) -> str:
        pad = [(kernel - 1) // 2, kernel // 2]
        nodes.append(helper.make_node("Conv", [x, w], [name], kernel_shape=[kernel], strides=[stride], pads=pad))
        return name

    weights.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    nodes.append(helper.make_node("Unsqueeze", ["waveform", "axis"], ["x"]))
    nodes.append(helper.make_node("Abs", [conv("framed", "x", weight("w_stem", WIDTH, 1, 64), 64, 64)], ["rectified"]))
    x = conv("stemmed", "rectified", weight("w_in", WIDTH, WIDTH, 3), 3)
    for i in range(4):
        a = conv(f"a{i}", x, weight(f"wa{i}", WIDTH, WIDTH, 3), 3)
        nodes.append(helper.make_node("Relu", [a], [f"r{i}"]))
        b = conv(f"b{i}", f"r{i}", weight(f"wb{i}", WIDTH, WIDTH, 3), 3)
        nodes.append(helper.make_node("Add", [x, b], [f"y{i}"]))
        x = f"y{i}"
    nodes.append(helper.make_node("ReduceMean", [x], ["embedding"], axes=[2], keepdims=0))
    nodes.append(helper.make_node("Gemm", ["embedding", weight("w_out", classes, WIDTH)], ["label"], transB=1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", N_SAMPLES])],
        [
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDTH]),
            helper.make_tensor_value_info("label", TensorProto.FLOAT, ["batch", classes]),
        ],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def tiny_dataset(folder: Path, classes: int = 3, clips: int = 6, seconds: float = 1.3, seed: int = 0) -> Path:
    """Class folders of noisy tones, one pitch a class; `G<group>-<take>.wav`, two takes a group."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    for c in range(classes):
        place = folder / f"species {c}"
        place.mkdir(parents=True, exist_ok=True)
        for i in range(clips):
            pitch = 400 * (c + 1) * rng.uniform(0.95, 1.05)
            wave = 0.3 * np.sin(2 * np.pi * pitch * t) + 0.1 * rng.standard_normal(len(t))
            soundfile.write(place / f"G{c * 100 + i // 2}-{i}.wav", wave.astype(np.float32), SAMPLE_RATE)
    return folder
