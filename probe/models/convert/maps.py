"""Operators on maps: convolutions, pooling, padding, concatenation, and dense layers."""

from collections.abc import Sequence

import numpy as np

from ....features import InputError
from .flatbuffer import Operator
from .writer import AXIS_FIRST, Writer

RELU, RELU_N1, RELU6, TANH = 1, 2, 3, 4  # ActivationFunctionType
VALID = 1  # Padding


def kept(w: Writer, source: int, target: int) -> tuple[str, str]:
    """The source in the layout in which it exists, and the target's name in the same one."""
    if source in w.first and source not in w.names:
        return w.first[source], w.own_first(target)
    return w.value(source), w.own(target)


def activated(w: Writer, kind: str, inputs: Sequence[str], out: str, activation: int, **attributes) -> None:
    """A node followed by the activation that TensorFlow Lite has fused into it."""
    if activation == 0:
        w.node(kind, inputs, out, **attributes)
        return
    plain = inputs[0] if kind == "Identity" else w.node(kind, inputs, **attributes)
    if activation in (RELU6, RELU_N1):
        low, high = (0.0, 6.0) if activation == RELU6 else (-1.0, 1.0)
        w.node("Clip", [plain, w.weight("low", np.float32(low)), w.weight("high", np.float32(high))], out)
    elif activation in (RELU, TANH):
        w.node("Relu" if activation == RELU else "Tanh", [plain], out)
    else:
        raise InputError(f"{w.place}: fused activation {activation} found, which this converter does not know.")


def convolution(w: Writer, op: Operator) -> None:
    source, kernel, *bias = op.inputs
    weights = w.fixed(kernel, "a convolution with computed weights; constant ones")
    if op.kind == "DEPTHWISE_CONV_2D":
        arranged = weights.transpose(3, 0, 1, 2)  # [1, h, w, c] -> [c, 1, h, w]
        group = weights.shape[3] // max(1, op.option("DepthMultiplier", 1))
    else:
        arranged, group = weights.transpose(0, 3, 1, 2), 1  # [o, h, w, i] -> [o, i, h, w]
        group = w.tensor(source).shape[3] // arranged.shape[1] if arranged.shape[1] else 1
    inputs = [w.channels_first(source), w.weight(w.tensor(kernel).name + "_nchw", arranged)]
    if bias and bias[0] >= 0:
        inputs.append(w.value(bias[0]))
    dilations = [int(op.option("DilationHFactor", 1)), int(op.option("DilationWFactor", 1))]
    activated(
        *(w, "Conv", inputs, w.own_first(op.outputs[0]), op.option("FusedActivationFunction")),
        kernel_shape=list(arranged.shape[2:]),
        dilations=dilations,
        group=max(1, group),
        **window(op, list(arranged.shape[2:]), dilations),
    )


def window(op: Operator, kernel: list[int], dilations: list[int]) -> dict:
    """Strides and padding. "Same" padding whose two sides are equal is written in numbers."""
    strides = [int(op.option("StrideH")), int(op.option("StrideW"))]
    if op.option("Padding") == VALID:
        return {"strides": strides}
    reach = [d * (k - 1) for k, d in zip(kernel, dilations)]
    if strides == [1, 1] and all(n % 2 == 0 for n in reach):
        half = [n // 2 for n in reach]
        return {"strides": strides, "pads": half + half}
    return {"strides": strides, "auto_pad": "SAME_UPPER"}


def pooling(w: Writer, op: Operator) -> None:
    kernel = [int(op.option("FilterHeight")), int(op.option("FilterWidth"))]
    kind = "MaxPool" if op.kind == "MAX_POOL_2D" else "AveragePool"
    activated(
        *(w, kind, [w.channels_first(op.inputs[0])], w.own_first(op.outputs[0])),
        op.option("FusedActivationFunction"),
        kernel_shape=kernel,
        **window(op, kernel, [1, 1]),
    )


def padding(w: Writer, op: Operator) -> None:
    amounts = w.fixed(op.inputs[1], f"{op.kind} by computed amounts; constant ones")
    source, out = kept(w, op.inputs[0], op.outputs[0])
    order = [0, 3, 1, 2] if source == w.first.get(op.inputs[0]) else list(range(len(amounts)))
    pads = w.weight("pads", amounts[order].T.reshape(-1))
    if op.kind == "MIRROR_PAD":
        if op.option("Mode"):
            raise InputError(f"{w.place}: symmetric MIRROR_PAD, which ONNX lacks.")
        w.node("Pad", [source, pads], out, mode="reflect")
        return
    inputs = [source, pads]
    if op.kind == "PADV2":
        inputs.append(w.value(op.inputs[2]))
    w.node("Pad", inputs, out)


def concatenation(w: Writer, op: Operator) -> None:
    axis = int(op.option("Axis"))
    if w.tensor(op.outputs[0]).rank == 4 and all(i in w.first for i in op.inputs):
        names, out, axis = [w.first[i] for i in op.inputs], w.own_first(op.outputs[0]), AXIS_FIRST[axis % 4]
    else:
        names, out = [w.value(i) for i in op.inputs], w.own(op.outputs[0])
    activated(w, "Concat", names, out, op.option("FusedActivationFunction"), axis=axis)


def dense(w: Writer, op: Operator) -> None:
    source, kernel, *bias = op.inputs
    weights = w.fixed(kernel, "a dense layer with computed weights; constant ones")
    value = w.value(source)
    if w.tensor(source).rank != 2 and not op.option("KeepNumDims"):
        value = w.node("Reshape", [value, w.weight("rows", np.array([-1, weights.shape[1]]))])
    inputs = [value, w.weight(w.tensor(kernel).name + "_t", weights.T)]
    activation, out = op.option("FusedActivationFunction"), w.own(op.outputs[0])
    if bias and bias[0] >= 0:
        activated(w, "Add", [w.node("MatMul", inputs), w.value(bias[0])], out, activation)
    else:
        activated(w, "MatMul", inputs, out, activation)


def batch_matmul(w: Writer, op: Operator) -> None:
    sides = []
    for i, flag in zip(op.inputs, ("AdjX", "AdjY")):
        value, rank = w.value(i), w.tensor(i).rank
        swap = [*range(rank - 2), rank - 1, rank - 2]
        sides.append(w.node("Transpose", [value], perm=swap) if op.option(flag) else value)
    w.node("MatMul", sides, w.own(op.outputs[0]))


HANDLERS = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), convolution),
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), pooling),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), padding),
    **{"CONCATENATION": concatenation, "FULLY_CONNECTED": dense, "BATCH_MATMUL": batch_matmul},
}
