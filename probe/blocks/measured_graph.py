"""The data-flow graph of a model with every shape, channel axis and cost measured."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from os.path import commonpath

import onnx
from onnx import numpy_helper

from ...features import InputError
from ..graph.channel_axes import blocked_tensors, channel_axes, padding
from ..graph.dataflow import Graph
from ..graph.layers import CONVS, layer_of, macs, weights
from ..graph.load import audio_input, input_dims
from ..graph.operators import Op
from ..graph.shapes import MOST_CHANNELS, Shape, measure, window_shape
from .regions import RegionSequence

SCOPES = "pkg.torch.onnx.name_scopes"  # where torch's newer exporter keeps module paths


@dataclass(frozen=True)
class MeasuredGraph:
    """`whole` is all that depends on the audio; `sequence`, as regions, is the part that leads to the `main` output."""

    model: onnx.ModelProto
    whole: Graph
    sequence: RegionSequence
    main: str
    shapes: dict[str, Shape]
    axes: dict[str, int]
    costs: tuple[int, ...]  # per operator of `whole`

    @classmethod
    def of(cls, model: onnx.ModelProto, input_shape: Shape | None = None) -> "MeasuredGraph":
        """Measure `model`. Raises InputError when it cannot be run or when nothing depends on its input."""
        whole = Graph.of(model)
        if not whole.outputs:
            raise InputError("model: no output depends on its input; is the graph damaged?")
        window = window_shape(model, input_shape)
        tensors = {name for op in whole.ops if op.real for name in op.outputs}
        shapes = measure(model, tensors | weights(whole), window)
        if len(window) > 1 and window[0] > 1:  # a fixed batch: everything is told for one window of it
            if window[0] <= MOST_CHANNELS and all(shapes[name][:1] == (1,) for name in whole.outputs):
                raise InputError(
                    f"model: input {list(window)} is a batch of {window[0]} windows, but its outputs have one row. "
                    f"Are these channels? Export it as [N,{window[0]},samples]."
                )
            for name in [name for name in tensors | {whole.source} if name in shapes]:
                first, *rest = shapes[name] or (1,)
                shapes[name] = (first // window[0], *rest) if first % window[0] == 0 else shapes[name]
        for op in reversed(whole.ops):  # inside fused operators nothing can be measured, and nothing changes shape
            for name in op.data:
                shapes.setdefault(name, shapes.get(op.tensor, ()))
        axes = channel_axes(whole, shapes)
        axes.update((name, 1) for name in blocked_tensors(whole))
        costs = tuple(macs(op, shapes) for op in whole.ops)
        main = max(whole.outputs, key=lambda name: (sum(costs[i] for i in whole.needed(name)), len(shapes[name]) == 2))
        graph = whole.upto(main)
        layers = {i: layer for i, op in enumerate(graph.ops) if (layer := layer_of(op, shapes))}
        return cls(model, whole, RegionSequence.of(graph, shapes, layers), main, shapes, axes, costs)

    def opened(self) -> "MeasuredGraph":
        """The same graph with the regions that a Concat closes left open."""
        sequence = self.sequence
        return replace(
            self, sequence=RegionSequence.of(sequence.graph, sequence.shapes, sequence.layers, modules=False)
        )

    def macs(self, tensor: str) -> int:
        """Multiply-accumulates of one window that `tensor` needs."""
        return sum(self.costs[i] for i in self.whole.needed(tensor))

    def positions(self, op: int) -> int:
        """Places of the map behind an operator of the sequence's graph; 0 where the channel axis is not known."""
        name = self.sequence.graph.tensor_of(op)
        if name not in self.axes:
            return 0
        shape = self.shapes[name]
        return prod(shape) // max(shape[self.axes[name]], 1)

    def width(self, tensor: str, axis: int) -> int:
        """Channels of a tensor, without those that ONNX Runtime's blocked layout pads with."""
        declared = self.shapes[tensor][axis]
        stack = [tensor] if tensor in self.blocked else []
        seen: set[str] = set()
        while stack:  # breadth first to the nearest convolution of this width
            op = self.whole.ops[self.whole.producer[stack.pop(0)]]
            layer = layer_of(op, self.shapes)
            if layer and layer.channels == declared and (weight := self.weights.get(op.node.input[1])) is not None:
                return declared - padding(numpy_helper.to_array(weight))
            if op.kind not in CONVS:
                stack += [name for name in op.data if name in self.blocked and name not in seen]
                seen.update(op.data)
        return declared

    @cached_property
    def blocked(self) -> frozenset[str]:
        """Tensors in ONNX Runtime's blocked layout."""
        return blocked_tensors(self.whole)

    @cached_property
    def weights(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    def batch_axis(self, tensor: str) -> int:
        """The axis along which windows are stacked: the first, but in networks that carry [tokens, batch, channels]."""
        one = self.shapes[tensor]
        two = self.pair.get(tensor, ()) if one and one[0] != 1 else ()
        grown = [i for i, (a, b) in enumerate(zip(one, two)) if b == 2 * a]
        return grown[0] if len(grown) == 1 else 0

    @cached_property
    def pair(self) -> dict[str, Shape]:
        """Shapes for two windows at once, of the tensors that do not begin with 1; empty where only one can be run."""
        value = audio_input(self.model)
        shape = self.shapes[value.name]
        if len(shape) < 2 or isinstance(input_dims(value)[0], int):
            return {}
        names = [
            op.tensor for op in self.sequence.graph.ops if op.real and self.shapes.get(op.tensor, (1,))[:1] != (1,)
        ]
        try:
            return measure(self.model, names, (2 * shape[0], *shape[1:]))
        except InputError:  # a batch that is declared free and is not, as with a state of one window
            return {}

    def readable(self, op: int) -> str:
        """The tensor of an operator, or the same data behind it in a form that can be read.

        ONNX Runtime adds blocked tensors as [N, C/16, H, W, 16] and reshapes the sum back to [N, C, H, W].
        """
        tensor = self.sequence.graph.ops[op].tensor
        if tensor in self.blocked and len(self.shapes[tensor]) == 5:
            for child in self.sequence.graph.children[op]:
                back = self.sequence.graph.ops[child]
                if back.kind == "Reshape" and len(self.shapes[back.tensor]) == 4:
                    return back.tensor
        return tensor

    def scope(self, ops: Iterable[int]) -> str | None:
        """The longest path that the exporter's names of these operators share; None where it wrote none."""
        paths = [path for i in ops if (path := _path(self.sequence.graph.ops[i]))]
        return commonpath(paths) or None if paths else None


def _path(op: Op) -> str:
    """'/blocks/blocks.3/conv_dw/Conv_output_0' -> 'blocks/blocks.3/conv_dw'; '' where the name has no scope."""
    for entry in op.node.metadata_props:
        if entry.key == SCOPES:  # "['', 'blocks', 'blocks.3', 'blocks.3.conv_dw', 'conv2d']": the last is the operator
            scopes = entry.value.strip("[]").replace("'", "").split(", ")[:-1]
            return next((scope.replace(".", "/") for scope in reversed(scopes) if scope), "")
    name = op.tensor.split(";")[0].strip("/")
    return name.rsplit("/", 1)[0] if op.real and "/" in name else ""
