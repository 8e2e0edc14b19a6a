"""Random graphs for differential fuzzing of the surgery, see `graph_checks`: each follows from one number.

They are drawn so that they are valid and sane.
"""

from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SAMPLES = 512


class Graph:
    """One random graph under construction."""

    def __init__(self, seed: int):
        self.draw = Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.opset = self.draw.choice((11, 13, 15, 17, 18, 20))
        self.batch: int | str = self.draw.choice(("N", "N", 1, 1, 2))
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.constants = self.draw.random() < 0.3  # weights as Constant nodes
        self.n = 0

    def name(self) -> str:
        self.n += 1
        return f"t{self.n}"

    def add(self, kind: str, *inputs: str, **attributes) -> str:
        out = self.name()
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"node_{out}", **attributes))
        return out

    def store(self, values) -> str:
        name, values = self.name(), np.asarray(values)
        if self.constants:
            self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(values, name)))
        else:
            self.weights.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, *shape: int) -> str:
        scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.store((self.numbers.normal(size=shape) * scale).astype(np.float32))

    def ints(self, *values: int) -> str:
        return self.store(np.array(values, np.int64))

    def floats(self, *values: float) -> str:
        return self.store(np.array(values, np.float32))

    def reshape(self, x: str, *shape: int) -> str:
        return self.add("Reshape", x, self.ints(*(self.lead(), *shape)))

    def lead(self) -> int:
        """The batch as exporters write it into a reshape."""
        return -1 if self.batch == "N" or self.draw.random() < 0.3 else int(self.batch)

    def reduce(self, x: str, axes: list[int], keep: int) -> str:
        if self.opset >= 18:
            return self.add("ReduceMean", x, self.ints(*axes), keepdims=keep)
        return self.add("ReduceMean", x, axes=axes, keepdims=keep)

    def activation(self, x: str) -> str:
        kind = self.draw.choice(("Relu", "swish", "hard", "Tanh", "gelu", "clip"))
        if kind == "swish":
            return self.add("Mul", x, self.add("Sigmoid", x))
        if kind == "hard":
            return self.add("Mul", x, self.add("HardSigmoid", x))
        if kind == "gelu":
            inner = self.add("Erf", self.add("Div", x, self.floats(1.4142135)))
            return self.add("Mul", self.add("Mul", x, self.floats(0.5)), self.add("Add", inner, self.floats(1.0)))
        if kind == "clip":
            return self.add("Clip", x, self.store(np.float32(0)), self.store(np.float32(6)))
        return self.add(kind, x)


def front_end(g: Graph) -> tuple[str, int, int]:
    """waveform [N, 512] -> (map [N, 1, H, W], H, W): reshaped, or a spectrogram as converters write one."""
    kind = g.draw.choice(("reshape", "frames", "gather", "conv"))
    x = g.draw.choice(
        (lambda: "audio", lambda: g.add("Mul", "audio", g.floats(2.0)), lambda: g.add("Identity", "audio"))
    )()
    if kind == "reshape":
        return g.reshape(x, 1, 16, 32), 16, 32
    if kind == "conv":
        axes = g.add("Unsqueeze", x, g.ints(1)) if g.opset >= 13 else g.add("Unsqueeze", x, axes=[1])
        x = g.add("Conv", axes, g.weight(16, 1, 32), strides=[16])  # [N, 16, 31]
        x = g.add("Abs", x)
        return (g.add("Unsqueeze", x, g.ints(1)) if g.opset >= 13 else g.add("Unsqueeze", x, axes=[1])), 16, 31
    if kind == "frames":
        x = g.reshape(x, 16, 32)
    else:
        at = np.arange(16)[:, None] * 16 + np.arange(32)
        x = g.add("Gather", x, g.store(at.astype(np.int64)), axis=1)
    if g.draw.random() < 0.7:
        x = g.add("Mul", x, g.store(np.hanning(32).astype(np.float32)))
    x = g.add("MatMul", x, g.weight(32, 17))
    if g.draw.random() < 0.5:
        x = g.add("Mul", x, x)
    x = g.add("MatMul", x, g.weight(17, 12))  # [N, 16, 12]
    return (g.add("Unsqueeze", x, g.ints(1)) if g.opset >= 13 else g.add("Unsqueeze", x, axes=[1])), 16, 12


def convolutional(g: Graph, x: str) -> tuple[str, int]:
    """A few blocks of convolutions over maps, plain, inverted or with squeeze and excitation; (embedding, width)."""
    width = g.draw.choice((4, 6, 8))
    x = g.activation(norm(g, g.add("Conv", x, g.weight(width, 1, 3, 3), pads=[1, 1, 1, 1]), width))
    nhwc, kind = g.draw.random() < 0.3, g.draw.choice(("residual", "mbconv", "plain"))
    for _ in range(g.draw.randint(2, 5)):
        skip, wider = x, width
        if nhwc:
            x = g.add("Transpose", g.add("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
        if kind == "mbconv":
            wider = width * 2
            x = g.activation(norm(g, g.add("Conv", x, g.weight(wider, width, 1, 1)), wider))
            x = g.add("Conv", x, g.weight(wider, 1, 3, 3), pads=[1, 1, 1, 1], group=wider)
            x = g.activation(norm(g, x, wider))
            if g.draw.random() < 0.5:
                gate = g.add("GlobalAveragePool", x) if g.draw.random() < 0.5 else g.reduce(x, [2, 3], 1)
                gate = g.add("Relu", g.add("Conv", gate, g.weight(2, wider, 1, 1)))
                x = g.add("Mul", x, g.add("Sigmoid", g.add("Conv", gate, g.weight(wider, 2, 1, 1))))
            x = norm(g, g.add("Conv", x, g.weight(width, wider, 1, 1)), width)
        else:
            x = g.activation(norm(g, g.add("Conv", x, g.weight(width, width, 3, 3), pads=[1, 1, 1, 1]), width))
            x = norm(g, g.add("Conv", x, g.weight(width, width, 3, 3), pads=[1, 1, 1, 1]), width)
        if kind != "plain":
            x = g.add("Add", *((x, skip) if g.draw.random() < 0.5 else (skip, x)))
        if g.draw.random() < 0.5:
            x = g.activation(x)
        if g.draw.random() < 0.2:
            x = g.add("Identity", x)
        if g.draw.random() < 0.25:
            after = g.draw.choice((4, 6, 8, 12))
            x, width = g.activation(g.add("Conv", x, g.weight(after, width, 1, 1), strides=[2, 2])), after
    if g.draw.random() < 0.5:
        return g.add("Flatten", g.add("GlobalAveragePool", x), axis=1), width
    return g.reduce(x, [2, 3], 0), width


def norm(g: Graph, x: str, width: int) -> str:
    kind = g.draw.choice(("batch", "muladd", "none"))
    gain, bias = g.numbers.uniform(0.5, 1, width).astype(np.float32), g.numbers.normal(0, 0.1, width).astype(np.float32)
    if kind == "batch":
        stats = (gain, bias, np.zeros(width, np.float32), np.ones(width, np.float32))
        return g.add("BatchNormalization", x, *map(g.store, stats))
    if kind == "muladd":
        shape = (1, width, 1, 1) if g.draw.random() < 0.5 else (width, 1, 1)
        return g.add("Add", g.add("Mul", x, g.store(gain.reshape(shape))), g.store(bias.reshape(shape)))
    return x


def transformer(g: Graph, x: str, h: int, w: int) -> tuple[str, int]:
    """Tokens of the map's rows through attention and a two-layer perceptron each; (embedding, width)."""
    width = g.draw.choice((8, 12))
    x = g.add("MatMul", g.reshape(x, h, w), g.weight(w, width))
    if g.draw.random() < 0.5:
        x = g.add("Add", x, g.weight(1, h, width))
    before = g.draw.random() < 0.5
    for _ in range(g.draw.randint(2, 4)):
        y = layer_norm(g, x, width) if before else x
        q, k, v = (g.add("MatMul", y, g.weight(width, width)) for _ in range(3))
        scores = g.add("Softmax", g.add("MatMul", q, g.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
        x = g.add("Add", x, g.add("MatMul", g.add("MatMul", scores, v), g.weight(width, width)))
        x = x if before else layer_norm(g, x, width)
        y = layer_norm(g, x, width) if before else x
        y = g.activation(g.add("Add", g.add("MatMul", y, g.weight(width, 2 * width)), g.weight(2 * width)))
        x = g.add("Add", x, g.add("MatMul", y, g.weight(2 * width, width)))
        x = x if before else layer_norm(g, x, width)
    return g.reduce(x, [1], 0), width


def layer_norm(g: Graph, x: str, width: int) -> str:
    if g.opset >= 17 and g.draw.random() < 0.5:
        return g.add(
            "LayerNormalization", x, g.store(np.ones(width, np.float32)), g.store(np.zeros(width, np.float32)), axis=-1
        )
    away = g.add("Sub", x, g.reduce(x, [-1], 1))
    spread = g.add("Sqrt", g.add("Add", g.reduce(g.add("Mul", away, away), [-1], 1), g.floats(1e-5)))
    return g.add("Div", away, spread)


def random_model(seed: int) -> onnx.ModelProto:
    """The graph that belongs to a number; checked by onnx."""
    g = Graph(seed)
    x, h, w = front_end(g)
    x, width = convolutional(g, x) if g.draw.random() < 0.65 else transformer(g, x, h, w)
    classes = g.draw.choice((3, 7, 500))
    out = (
        g.add("MatMul", x, g.weight(width, classes))
        if g.draw.random() < 0.5
        else g.add("Gemm", x, g.weight(width, classes))
    )
    if g.draw.random() < 0.3:
        out = g.add("Sigmoid", out)
    outputs = {out: classes} | ({x: width} if g.draw.random() < 0.3 else {})
    graph = helper.make_graph(
        g.nodes,
        "random",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [g.batch, SAMPLES])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [g.batch, size]) for name, size in outputs.items()],
        g.weights,
    )
    ir = {11: 6, 13: 7, 15: 8, 17: 8}.get(g.opset, 9)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", g.opset)], ir_version=ir)
    onnx.checker.check_model(model)
    return model
