"""TensorFlow Lite's operators as ONNX nodes: a table of functions, each called with (writer, operator)."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from ....features import InputError
from . import maps, shaping
from .flatbuffer import Operator
from .writer import AXIS_FIRST, Writer

Handler = Callable[[Writer, Operator], None]

BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "POW": "Pow", "MAXIMUM": "Max", "MINIMUM": "Min"}
UNARY = {
    **{"LOGISTIC": "Sigmoid", "RELU": "Relu", "TANH": "Tanh", "EXP": "Exp", "LOG": "Log", "SQRT": "Sqrt", "ABS": "Abs"},
    **{"NEG": "Neg", "FLOOR": "Floor", "SIN": "Sin", "COS": "Cos", "ELU": "Elu", "HARD_SWISH": "HardSwish"},
}
REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}
REDUCTIONS |= {"REDUCE_PROD": "ReduceProd"}  # fmt: skip
TYPES = {"FLOAT32": TensorProto.FLOAT, "FLOAT16": TensorProto.FLOAT, "FLOAT64": TensorProto.DOUBLE}
TYPES |= {"INT32": TensorProto.INT64, "INT64": TensorProto.INT64, "BOOL": TensorProto.BOOL}


def binary(w: Writer, op: Operator) -> None:
    names, out = _aligned(w, op)
    activation = op.option("FusedActivationFunction") if hasattr(op.options, "FusedActivationFunction") else 0
    if op.kind in ("FLOOR_DIV", "FLOOR_MOD", "SQUARED_DIFFERENCE"):
        whole = w.tensor(op.inputs[0]).kind.startswith("INT")
        if op.kind == "FLOOR_DIV":
            quotient = w.node("Div", names, out if whole else None)
            if not whole:
                w.node("Floor", [quotient], out)
        elif op.kind == "FLOOR_MOD":
            w.node("Mod", names, out, **({} if whole else {"fmod": 1}))
        else:
            difference = w.node("Sub", names)
            w.node("Mul", [difference, difference], out)
    else:
        maps.activated(w, BINARY[op.kind], names, out, activation)


def _aligned(w: Writer, op: Operator) -> tuple[list[str], str]:
    """Both inputs in one layout, and the output's name in it: [N, C, H, W] where one of them is there already."""
    target = op.outputs[0]
    there = [i for i in op.inputs if i in w.first and i not in w.names]
    if not there or w.tensor(target).rank != 4:
        return [w.value(i) for i in op.inputs], w.own(target)
    names = []
    for i in op.inputs:
        data = w.constant(i)
        if w.tensor(i).rank == 4 and data is None:
            names.append(w.channels_first(i))
        elif data is not None:
            shaped = data.reshape((1,) * (4 - data.ndim) + data.shape).transpose(0, 3, 1, 2) if data.ndim else data
            names.append(w.weight(w.tensor(i).name + "_nchw", shaped))
        else:
            return [w.value(i) for i in op.inputs], w.own(target)
    return names, w.own_first(target)


def unary(w: Writer, op: Operator) -> None:
    source, out = maps.kept(w, op.inputs[0], op.outputs[0])
    if op.kind in UNARY:
        w.node(UNARY[op.kind], [source], out)
    elif op.kind == "RELU6":
        maps.activated(w, "Identity", [source], out, maps.RELU6)
    elif op.kind == "RSQRT":
        w.node("Reciprocal", [w.node("Sqrt", [source])], out)
    elif op.kind == "SQUARE":
        w.node("Mul", [source, source], out)
    elif op.kind == "LEAKY_RELU":
        w.node("LeakyRelu", [source], out, alpha=float(op.option("Alpha")))
    elif op.kind == "GELU":
        w.node("Gelu", [source], out, approximate="tanh" if op.option("Approximate") else "none")


def softmax(w: Writer, op: Operator) -> None:
    source = w.value(op.inputs[0])
    if (beta := float(op.option("Beta", 1.0))) != 1.0:
        source = w.node("Mul", [source, w.weight("beta", np.float32(beta))])
    w.node("Softmax", [source], w.own(op.outputs[0]), axis=-1)


def reduction(w: Writer, op: Operator) -> None:
    source, axes = op.inputs
    target, keep = op.outputs[0], int(bool(op.option("KeepDims")))
    over = w.fixed(axes, f"{op.kind} over axes that are computed; constant ones")
    rank = w.tensor(source).rank
    numbers = [int(axis) % max(rank, 1) for axis in np.atleast_1d(over)]
    if source in w.first and source not in w.names and (keep or {1, 2} <= set(numbers)):
        name, out = w.first[source], w.own_first(target) if keep else w.own(target)
        numbers = [AXIS_FIRST[axis] for axis in numbers]
    else:
        name, out = w.value(source), w.own(target)
    w.node(REDUCTIONS[op.kind], [name, w.weight("axes", np.array(sorted(numbers)))], out, keepdims=keep)


def cast(w: Writer, op: Operator) -> None:
    source, target = op.inputs[0], op.outputs[0]
    if source in w.complex:  # TensorFlow's cast of a complex number to a real one drops the imaginary part
        w.names[target] = w.complex[source][0]
        return
    name, out = maps.kept(w, source, target)
    w.node("Cast", [name], out, to=TYPES[w.tensor(target).kind])


def rfft(w: Writer, op: Operator) -> None:
    """The Fourier transform of real rows, as two constant matrices."""
    source, length = op.inputs
    n = w.constant(length)
    rows = w.tensor(source).shape[-1]
    if n is None or int(n[-1]) != rows or (len(n) == 2 and int(n[0]) != 1):
        raise InputError(f"{w.place}: {op.kind} of length {n} over rows of {rows}; the rows' own length wanted.")
    phase = 2 * np.pi * (np.outer(np.arange(rows), np.arange(rows // 2 + 1)) % rows) / rows
    value, name = w.value(source), w.tensor(op.outputs[0]).name
    w.complex[op.outputs[0]] = (
        w.node("MatMul", [value, w.weight(name + "_cos", np.cos(phase).astype(np.float32))]),
        w.node("MatMul", [value, w.weight(name + "_sin", -np.sin(phase).astype(np.float32))]),
    )


def complex_part(w: Writer, op: Operator) -> None:
    real, imaginary = w.complex[op.inputs[0]]
    if op.kind == "COMPLEX_ABS":
        squares = [w.node("Mul", [part, part]) for part in (real, imaginary)]
        w.node("Sqrt", [w.node("Add", squares)], w.own(op.outputs[0]))
    else:
        w.names[op.outputs[0]] = real if op.kind == "REAL" else imaginary


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys((*BINARY, "FLOOR_DIV", "FLOOR_MOD", "SQUARED_DIFFERENCE"), binary),
    **dict.fromkeys((*UNARY, "RELU6", "RSQRT", "SQUARE", "LEAKY_RELU", "GELU"), unary),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("RFFT2D", "CUSTOM:FlexRFFT", "FlexRFFT"), rfft),
    **dict.fromkeys(("COMPLEX_ABS", "REAL", "IMAG"), complex_part),
    **{"SOFTMAX": softmax, "CAST": cast, "DEQUANTIZE": cast},
    **maps.HANDLERS,
    **shaping.HANDLERS,
}


def write(w: Writer) -> None:
    """All operators of the file. InputError: it has some that are not known here; all of them are named."""
    unknown = sorted({op.kind for op in w.graph.operators if op.kind not in HANDLERS})
    if unknown:
        raise InputError(f"{w.place}: operators {', '.join(unknown)} found, which this converter does not know.")
    for op in w.graph.operators:
        HANDLERS[op.kind](w, op)
