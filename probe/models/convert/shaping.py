"""Operators that move values or compute shapes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from ....features import InputError
from .flatbuffer import Operator
from .writer import Writer

END = np.iinfo(np.int64).max


def moved(kind: str, arguments: Callable[[Writer, Operator], tuple[list[str], dict]]) -> Callable:
    """A handler of an operator that moves values alone: of a complex tensor it moves both parts."""

    def handle(w: Writer, op: Operator) -> None:
        source, target = op.inputs[0], op.outputs[0]
        more, attributes = arguments(w, op)
        if source in w.complex:
            real, imaginary = (w.node(kind, [part, *more], **attributes) for part in w.complex[source])
            w.complex[target] = (real, imaginary)
        else:
            w.node(kind, [w.value(source), *more], w.own(target), **attributes)

    return handle


def _new_shape(w: Writer, op: Operator) -> tuple[list[str], dict]:
    if len(op.inputs) > 1 and op.inputs[1] >= 0:
        return [w.value(op.inputs[1])], {}
    return [w.weight("shape", op.options.NewShapeAsNumpy())], {}


def _squeezed(w: Writer, op: Operator) -> tuple[list[str], dict]:
    axes = op.options.SqueezeDimsAsNumpy() if op.options is not None and op.options.SqueezeDimsLength() else None
    return ([] if axes is None else [w.weight("axes", np.asarray(axes))]), {}


def _expanded(w: Writer, op: Operator) -> tuple[list[str], dict]:
    axis = w.fixed(op.inputs[1], "EXPAND_DIMS at a computed axis; a constant one")
    return [w.weight("axes", np.atleast_1d(axis))], {}


def _permuted(w: Writer, op: Operator) -> tuple[list[str], dict]:
    order = w.fixed(op.inputs[1], "TRANSPOSE in a computed order; a constant one")
    return [], {"perm": [int(axis) for axis in order]}


def shape(w: Writer, op: Operator) -> None:
    w.node("Shape", [w.value(op.inputs[0])], w.own(op.outputs[0]))


def pack(w: Writer, op: Operator) -> None:
    axis = w.weight("axes", np.array([int(op.option("Axis"))]))
    rows = [w.node("Unsqueeze", [w.value(i), axis]) for i in op.inputs]
    w.node("Concat", rows, w.own(op.outputs[0]), axis=int(op.option("Axis")))


def split(w: Writer, op: Operator) -> None:
    plain = op.kind == "SPLIT"
    source, along = (op.inputs[1], op.inputs[0]) if plain else (op.inputs[0], op.inputs[2])
    axis = int(np.ravel(w.fixed(along, f"{op.kind} along a computed axis; a constant one"))[0])
    inputs = [w.value(source)]
    more: dict[str, Any] = {"num_outputs": len(op.outputs)} if plain else {}
    if not plain:
        sizes = w.fixed(op.inputs[1], "SPLIT_V into computed sizes; constant ones")
        whole = w.tensor(source).shape[axis]
        inputs.append(w.weight("sizes", np.where(sizes < 0, whole - sizes[sizes >= 0].sum(), sizes)))
    outputs = [w.own(i) for i in op.outputs]
    w.nodes.append(helper.make_node("Split", inputs, outputs, name=outputs[0], axis=axis, **more))


def strided_slice(w: Writer, op: Operator) -> None:
    source, begin, end, strides = op.inputs
    if op.option("EllipsisMask") or op.option("NewAxisMask"):
        raise InputError(
            f"{w.place}: STRIDED_SLICE with an ellipsis or a new axis, which this converter does not know."
        )
    steps = w.fixed(strides, "STRIDED_SLICE with computed strides; constant ones")
    shrink, n = op.option("ShrinkAxisMask"), len(steps)
    starts = _bounds(w, begin, op.option("BeginMask"), np.where(steps > 0, 0, END), n)
    ends = _bounds(w, end, op.option("EndMask"), np.where(steps > 0, END, -END), n)
    gone = [i for i in range(n) if shrink >> i & 1]
    if gone:
        first = w.fixed(begin, "STRIDED_SLICE takes one element at a computed place; a constant one")
        after = {i: END if first[i] == -1 else int(first[i]) + 1 for i in gone}
        ends = _bounds(w, end, sum(1 << i for i in gone), np.array([after.get(i, 0) for i in range(n)]), n, ends)
    axes = w.weight("axes", np.arange(n))
    cut = [w.value(source), starts, ends, axes, w.weight("steps", steps)]
    if gone:
        w.node("Squeeze", [w.node("Slice", cut), w.weight("axes", np.array(gone))], w.own(op.outputs[0]))
    else:
        w.node("Slice", cut, w.own(op.outputs[0]))


def _bounds(w: Writer, i: int, mask: int, instead: np.ndarray, n: int, name: str | None = None) -> str:
    """The list of tensor `i` (or of `name`) with the masked places replaced."""
    data = w.constant(i) if name is None else None
    hidden = np.array([bool(mask >> j & 1) for j in range(n)])
    if data is not None:
        return w.weight("bounds", np.where(hidden, instead, data))
    value = name or w.value(i)
    if not hidden.any():
        return value
    return w.node("Where", [w.weight("hidden", hidden), w.weight("instead", instead), value])


def slice_(w: Writer, op: Operator) -> None:
    source, begin, size = op.inputs
    starts, sizes = (w.fixed(i, "SLICE at computed places; constant ones") for i in (begin, size))
    ends = np.where(sizes < 0, END, starts + sizes)
    more = [w.weight("bounds", part) for part in (starts, ends, np.arange(len(starts)))]
    w.node("Slice", [w.value(source), *more], w.own(op.outputs[0]))


def gather(w: Writer, op: Operator) -> None:
    if op.option("BatchDims"):
        raise InputError(f"{w.place}: GATHER with batch dimensions, which this converter does not know.")
    w.node("Gather", [w.value(i) for i in op.inputs[:2]], w.own(op.outputs[0]), axis=int(op.option("Axis")))


def same(kind: str) -> Callable[[Writer, Operator], None]:
    """A handler of an operator whose inputs are those of the ONNX operator `kind`."""

    def handle(w: Writer, op: Operator) -> None:
        w.node(kind, [w.value(i) for i in op.inputs], w.own(op.outputs[0]))

    return handle


def reverse(w: Writer, op: Operator) -> None:
    axes = w.fixed(op.inputs[1], "REVERSE_V2 along computed axes; constant ones")
    ends = [np.full(len(axes), value) for value in (-1, -END)]
    more = [w.weight("bounds", part) for part in (*ends, axes, np.full(len(axes), -1))]
    w.node("Slice", [w.value(op.inputs[0]), *more], w.own(op.outputs[0]))


def fill(w: Writer, op: Operator) -> None:
    w.node("Expand", [w.value(op.inputs[1]), w.value(op.inputs[0])], w.own(op.outputs[0]))


HANDLERS = {
    "RESHAPE": moved("Reshape", _new_shape),
    "SQUEEZE": moved("Squeeze", _squeezed),
    "EXPAND_DIMS": moved("Unsqueeze", _expanded),
    "TRANSPOSE": moved("Transpose", _permuted),
    **{"SHAPE": shape, "PACK": pack, "SPLIT": split, "SPLIT_V": split, "STRIDED_SLICE": strided_slice},
    **{"SLICE": slice_, "GATHER": gather, "RANGE": same("Range"), "REVERSE_V2": reverse, "FILL": fill},
    **{"TILE": same("Tile"), "BROADCAST_TO": same("Expand")},
}
