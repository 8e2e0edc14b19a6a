"""A front end as ONNX nodes, of operators that every opset from 9 on has.

waveform [N, S] -> Conv (stride hop) -> re, im [N, bins, T] -> re * re + im * im -> MatMul (mel) [N, rows, T]
                -> log -> cut, spread, fill or resize -> the model's axes and channels
"""

import numpy as np
from onnx import NodeProto, TensorProto

from ...graph.node_list import NodeList
from .filters import filters, resizing, smoothing, transform
from .frontend import FrontEnd
from .layout import Layout


def frontend_nodes(
    front: FrontEnd, layout: Layout, samples: int, source: str, target: str, opset: int
) -> list[NodeProto]:
    """Nodes from the waveforms `source` [N, samples] to the model's input `target`."""
    n = NodeList("frontend/", opset)
    frames = front.frames(samples)
    x = _spectrum(n, front, source, samples)
    x = _logarithm(n, front, x, frames)
    x = _spread(n, front, x)
    if front.fit == "resize" and (layout.height or front.height, layout.width or frames) != (front.height, frames):
        rows, columns = resizing(front.height, layout.height or front.height), resizing(frames, layout.width or frames)
        x = n.add("MatMul", n.add("MatMul", n.constant(rows), x), n.constant(columns.T))
    elif layout.width and layout.width > frames:
        x = n.pad(x, [0, 0, 0], [0, 0, layout.width - frames])
    if front.mean or front.std != 1:
        x = n.add("Div", n.add("Sub", x, n.constant(front.mean)), n.constant(front.std))
    if layout.time_first:
        x = n.add("Transpose", x, perm=[0, 2, 1])
    if layout.channel_axis is not None:
        shape = [-1, layout.height or front.height, layout.width or frames]
        if layout.time_first:
            shape = [shape[0], shape[2], shape[1]]
        shape.insert(layout.channel_axis, 1)
        x = n.reshape(x, shape)
        if layout.channels > 1:
            repeats = [layout.channels if axis == layout.channel_axis else 1 for axis in range(4)]
            x = n.add("Expand", x, n.integers(repeats))
    n.add("Cast" if layout.element != TensorProto.FLOAT else "Identity", x, output=target,
          **({"to": layout.element} if layout.element != TensorProto.FLOAT else {}))  # fmt: skip
    return n.nodes


def _spectrum(n: NodeList, front: FrontEnd, source: str, samples: int) -> str:
    """[N, rows, T]: magnitudes or powers, in mel bands where the front end has them."""
    x = n.reshape(source, [-1, 1, samples])
    pads = [front.lead, front.tail] if front.pad == "zero" else [0, 0]
    if front.pad == "reflect":
        x = n.pad(x, [0, 0, front.lead], [0, 0, front.tail], "reflect")
    bank, bins = filters(front)
    squares = []
    for matrix in transform(front, bins):
        part = n.add("Conv", x, n.constant(matrix[:, None, :]), strides=[front.hop], pads=pads)
        squares.append(n.add("Mul", part, part))
    x = n.add("Add", *squares)
    if front.power == 1:
        x = n.add("Sqrt", x)
    return n.add("MatMul", n.constant(bank), x) if front.kind == "mel" else x


def _logarithm(n: NodeList, front: FrontEnd, x: str, frames: int) -> str:
    if front.offset:
        x = n.add("Add", x, n.constant(front.offset))
    if front.log != "none":
        x = n.add("Log", n.add("Max", x, n.constant(front.amin)))
        if front.log == "db":
            x = n.add("Mul", x, n.constant((20 if front.power == 1 else 10) / np.log(10)))
    if front.spread == "pcen":
        x = _pcen(n, front, x, frames)
    if front.ref_max:
        x = n.add("Sub", x, n.reduce("ReduceMax", x, [1, 2]))
    if front.top_db:
        x = n.add("Max", x, n.add("Sub", n.reduce("ReduceMax", x, [1, 2]), n.constant(front.top_db)))
    return x


def _pcen(n: NodeList, front: FrontEnd, x: str, frames: int) -> str:
    """librosa 0.11's pcen with its defaults: gain 0.98, bias 2, power 0.5, eps 1e-6."""
    matrix, start = smoothing(frames, front.pcen_frames or 0.4 * front.rate / front.hop)
    smooth = n.add("Add", n.add("MatMul", x, n.constant(matrix)), n.constant(start + 1e-6))
    x = n.add("Mul", x, n.add("Exp", n.add("Mul", n.add("Log", smooth), n.constant(-0.98))))
    root = n.add("Sqrt", n.add("Add", x, n.constant(2.0)))
    return n.add("Sub", root, n.constant(np.sqrt(2.0)))


def _spread(n: NodeList, front: FrontEnd, x: str) -> str:
    if front.denoise:
        x = n.add("Max", n.add("Sub", x, n.reduce("ReduceMean", x, [2])), n.constant(0.0))
    if front.spread == "minmax":
        low = n.reduce("ReduceMin", x, [1, 2])
        size = n.add("Max", n.add("Sub", n.reduce("ReduceMax", x, [1, 2]), low), n.constant(1e-6))
        return n.add("Div", n.add("Sub", x, low), size)
    if front.spread == "standard":
        centred = n.add("Sub", x, n.reduce("ReduceMean", x, [1, 2]))
        variance = n.reduce("ReduceMean", n.add("Mul", centred, centred), [1, 2])
        return n.add("Div", centred, n.add("Max", n.add("Sqrt", variance), n.constant(1e-6)))
    return x
