"""Tiny waveform-in graphs with known taps, for the tests of surgery, folding, cost and backbone."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from birdprobe.probe.blocks.architecture import Block
from birdprobe.probe.runtime.opening import prepare

SAMPLES = 256


@dataclass
class Builder:
    """Collects nodes and weights; `dtype` is that of weights and activations."""

    opset: int = 17
    dtype: type = np.float32
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def add(self, kind: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        return self.store(name, (self.rng.normal(size=shape) * scale / np.sqrt(np.prod(shape[1:]))).astype(self.dtype))

    def store(self, name: str, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def ints(self, name: str, values: list[int]) -> str:
        return self.store(name, np.array(values, np.int64))

    def model(self, shape: list, outputs: dict[str, list], input_name: str = "audio") -> onnx.ModelProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        graph = helper.make_graph(
            self.nodes,
            "tiny",
            [helper.make_tensor_value_info(input_name, kind, shape)],
            [helper.make_tensor_value_info(name, kind, dims) for name, dims in outputs.items()],
            self.weights,
        )
        ir = {11: 6, 13: 7, 17: 8, 18: 8}.get(self.opset, 10)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=ir)


def block(name: str, tensor: str, shape: tuple[int, ...], channel_axis: int = 1, macs: int = 0) -> Block:
    sizes = tuple(s for a, s in enumerate(shape) if a not in (0, channel_axis)) if len(shape) > 2 else ()
    index = int(name.split("_")[1]) if name.startswith("block_") else None
    return Block(
        name=name,
        index=index,
        kind="residual",
        stage=0 if index is not None else None,
        channels=shape[channel_axis],
        channel_axis=channel_axis,
        map=sizes,
        tensor=tensor,
        macs=macs,
        shape=shape,
        scope=None,
    )


def convolutional(opset: int = 17, dtype: type = np.float32, batch: int | str = "N", nhwc: bool = False):
    """[N, 256] -> 16x16 map -> two residual SiLU blocks of 8 channels -> pooled embedding -> 500 logits; and its taps.

    With nhwc the residual sums are [N, H, W, C], between convolutions that stay NCHW, as converters from TensorFlow
    write them. A fixed batch is also written into the reshape, as tracing exporters do.
    """
    b = Builder(opset, dtype)
    lead = -1 if batch == "N" else batch
    now = b.add("Reshape", ["audio", b.ints("to_map", [lead, 1, 16, 16])], "map")
    now = b.add("Conv", [now, b.weight("w_stem", 8, 1, 3, 3)], "stem", pads=[1, 1, 1, 1])
    if nhwc:
        now = b.add("Transpose", [now], "stem_nhwc", perm=[0, 2, 3, 1])
    taps = []
    for i in range(2):
        skip = now
        if nhwc:
            now = b.add("Transpose", [now], f"in{i}", perm=[0, 3, 1, 2])
        now = b.add("Conv", [now, b.weight(f"w{i}", 8, 8, 3, 3)], f"conv{i}", pads=[1, 1, 1, 1])
        now = b.add("Mul", [now, b.add("Sigmoid", [now], f"gate{i}")], f"silu{i}")
        if nhwc:
            now = b.add("Transpose", [now], f"out{i}", perm=[0, 2, 3, 1])
        now = b.add("Add", [now, skip], f"sum{i}")
        shape, axis = ((1, 16, 16, 8), 3) if nhwc else ((1, 8, 16, 16), 1)
        taps.append(block(f"block_{i:02d}", f"sum{i}", shape, axis))
    if nhwc:
        now = b.add("Transpose", [now], "last", perm=[0, 3, 1, 2])
    now = b.add("Flatten", [b.add("GlobalAveragePool", [now], "pool")], "embedding", axis=1)
    b.add("MatMul", [now, b.weight("w_classes", 8, 500)], "logits")
    taps += [block("embedding", "embedding", (1, 8)), block("logits", "logits", (1, 500))]
    shape = [batch, SAMPLES]
    return b.model(shape, {"logits": [batch, 500]}), taps


def transformer(opset: int = 17, batch: int | str = "N"):
    """[N, 256] -> 16 tokens of 16 -> two token-mixing residual blocks [N, 16, 12] -> logits; and its taps."""
    b = Builder(opset)
    lead = -1 if batch == "N" else batch
    now = b.add("Reshape", ["audio", b.ints("to_tokens", [lead, 16, 16])], "patches")
    now = b.add("MatMul", [now, b.weight("w_embed", 16, 12)], "tokens")
    taps = []
    for i in range(2):
        scores = b.add("MatMul", [now, b.add("Transpose", [now], f"t{i}", perm=[0, 2, 1])], f"scores{i}")
        mixed = b.add("MatMul", [b.add("Softmax", [scores], f"soft{i}", axis=-1), now], f"mixed{i}")
        now = b.add("Add", [now, b.add("MatMul", [mixed, b.weight(f"w{i}", 12, 12)], f"proj{i}")], f"sum{i}")
        taps.append(block(f"block_{i:02d}", f"sum{i}", (1, 16, 12), 2))
    flat = b.add("Reshape", [now, b.ints("to_flat", [lead, 192])], "flat")
    b.add("MatMul", [flat, b.weight("w_classes", 192, 7)], "logits")
    return b.model([batch, SAMPLES], {"logits": [batch, 7]}), [*taps, block("logits", "logits", (1, 7))]


def framed(frame: int = 64, hop: int = 16, bins: int = 33, mels: int = 5, magnitude: bool = False):
    """[N, 256] -> Gather frames -> window -> DFT MatMul -> mel MatMul -> square: a front end as converters write it.

    With `magnitude` an Abs stands between the two matrices, so that only framing, window and DFT compose.
    """
    b = Builder(17)
    frames = (SAMPLES - frame) // hop + 1
    index = (np.arange(frames)[:, None] * hop + np.arange(frame)).astype(np.int64)
    now = b.add("Gather", ["audio", b.store("index", index)], "frames", axis=1)  # [N, T, K]
    now = b.add("Mul", [now, b.store("window", np.hanning(frame).astype(np.float32))], "windowed")
    now = b.add("Unsqueeze", [now, b.ints("two", [-2])], "lifted")
    now = b.add("MatMul", [now, b.weight("dft", frame, bins)], "spectrum")
    now = b.add("Squeeze", [now, "two"], "lowered")
    if magnitude:
        now = b.add("Abs", [now], "magnitude")
    shape = b.add("Shape", [now], "shape")
    lead = b.add("Slice", [shape, b.ints("zero", [0]), b.ints("minus_one", [-1])], "lead")
    target = b.add("Concat", [lead, b.ints("mels", [mels])], "target", axis=0)
    now = b.add("Reshape", [now, b.ints("rows", [-1, bins])], "rows_")
    now = b.add("MatMul", [now, b.weight("mel", bins, mels)], "mel_rows")
    now = b.add("Reshape", [now, target], "mel_")
    b.add("Mul", [now, now], "power")
    return b.model(["N", SAMPLES], {"power": ["N", frames, mels]}), [block("stem", "power", (1, frames, mels), 2)]


def prepared(model, taps, pooling="mean"):
    """(exposed model, verification) as a backbone is opened."""
    row = tuple(d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:])
    prepared = prepare(model, taps, pooling, False, row)
    exposed, verification = prepared.exposed, prepared.verification
    return exposed, verification


def stack(b: Builder, audio: str = "audio", stride: int = 2) -> str:
    """Three convolutions over the waveform; the name of the activated map [N, 8, T]."""
    now = b.add("Unsqueeze", [audio, b.ints("one", [1])], "line")
    for i, channels in enumerate([1, 8, 8]):
        conv = b.add("Conv", [now, b.weight(f"w{i}", 8, channels, 9)], f"/net/conv{i}", strides=[stride])
        now = b.add("Relu", [conv], f"/net/relu{i}")
    return now
