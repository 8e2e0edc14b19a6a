"""A front end as ONNX nodes, of operators that every opset from 9 on has.

waveform [N, S] -> Conv (stride hop) -> re, im [N, bins, T] -> re * re + im * im -> MatMul (mel) [N, rows, T]
                -> log -> cut, spread, fill or resize -> the model's axes and channels

How the spectrogram lies in the model's input is its `Layout`: which axis is time, which holds the rows, how many
channels there are.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto

from ....features import InputError
from ...graph.load import audio_input, input_dims
from ...graph.node_list import NodeList
from ...runtime.input_spec import dims_text, is_waveform
from .filters import filters, resizing, smoothing, transform
from .frontend import FrontEnd


@dataclass(frozen=True)
class Layout:
    """height, width: rows and frames that the input is fixed to, None where free. element: its ONNX number type."""

    batch: int | None
    height: int | None
    width: int | None
    time_first: bool
    channels: int = 1
    channel_axis: int | None = None
    element: int = TensorProto.FLOAT

    @classmethod
    def of(cls, model: onnx.ModelProto, front: FrontEnd, place: str) -> "Layout":
        """InputError: an input that this front end's spectrogram does not fit."""
        value = audio_input(model, place)
        dims = [d if isinstance(d, int) else None for d in input_dims(value)]
        if len(dims) not in (3, 4) or is_waveform(dims):
            raise InputError(
                f"{place}: input {dims_text(dims)}, `--frontend` wants a model that takes a spectrogram, "
                "[N,rows,frames] or [N,channels,rows,frames]. Does this one take the waveform itself?"
            )
        axis = None if len(dims) == 3 else 3 if dims[3] in (1, 3) and dims[1] not in (1, 3) else 1
        first, second = [size for i, size in enumerate(dims) if i not in (0, axis)]
        time_first = front.layout == "time-mel"
        if front.fit != "resize":
            fits = [(height is None or height == front.height) for height in (first, second)]
            exact = [height == front.height for height in (first, second)]
            if not any(fits):
                raise InputError(
                    f"{place}: input {dims_text(dims)} has no axis of {front.height} rows, which `--frontend` makes. "
                    f"Another n_mels ({min(d for d in (first, second) if d)}?), or `resize`?"
                )
            if exact[0] != exact[1]:
                time_first = exact[1]
            elif fits[0] != fits[1]:
                time_first = fits[1]
        height, width = (second, first) if time_first else (first, second)
        channels = 1 if axis is None else dims[axis] or 1
        return cls(dims[0], height, width, time_first, channels, axis, value.type.tensor_type.elem_type)

    def samples(self, front: FrontEnd, window_s: float | None, place: str) -> int:
        """Samples of a window. InputError: not told, too short, or another number of frames than the input has."""
        if window_s is None:
            if self.width is None:
                raise InputError(f"{place}: its input takes any number of frames: give --window (seconds).")
            samples = front.samples(self.width)
        else:
            samples = round(window_s * front.rate)
        frames = front.frames(samples)
        least = front.n_fft // 2 + 1 if front.pad == "reflect" else 1
        if frames < 1 or samples < least:
            raise InputError(f"{place}: a window of {samples} samples is shorter than one frame of `--frontend`.")
        wrong = self.width is not None and front.fit != "resize" and frames != self.width
        if wrong and not (front.fit == "zeros" and frames < (self.width or 0)):
            fitting = front.samples(self.width or 1) / front.rate
            raise InputError(
                f"{place}: a window of {samples / front.rate:g} s gives {frames} frames, its input takes {self.width}. "
                f"--window {fitting:g} fits; so does another hop, or `resize`."
            )
        return samples


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
