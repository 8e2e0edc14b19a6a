"""NodeList: ONNX nodes written one after another, each named as it is added."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from onnx import NodeProto, helper, numpy_helper


@dataclass
class NodeList:
    """Nodes of a graph under construction.

    prefix: of the names of their tensors. opset: at which the nodes are valid, from 9 on.
    Constants are Constant nodes, not initializers: files of IR version 3 want every initializer among the inputs too.
    """

    prefix: str
    opset: int = 9
    nodes: list[NodeProto] = field(default_factory=list)

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes) -> str:
        """A node with one output; the output's name."""
        name = output or f"{self.prefix}{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: ArrayLike, dtype: type | None = np.float32, output: str | None = None) -> str:
        """A constant of `dtype` (None: that of `value`)."""
        array = np.asarray(value, dtype, order="C")
        return self.add("Constant", output=output, value=numpy_helper.from_array(array, f"{self.prefix}value"))

    def integers(self, values: ArrayLike, output: str | None = None) -> str:
        """Whole numbers: a shape, axes, bounds."""
        return self.constant(values, np.int64, output)

    def reshape(self, x: str, shape: Sequence[int], output: str | None = None) -> str:
        return self.add("Reshape", x, self.integers(shape), output=output)

    def reduce(self, kind: str, x: str, axes: Sequence[int], keepdims: int = 1, output: str | None = None) -> str:
        if self.opset < 18:  # axes became an input with opset 18
            return self.add(kind, x, output=output, axes=list(axes), keepdims=keepdims)
        return self.add(kind, x, self.integers(axes), output=output, keepdims=keepdims)

    def pad(self, x: str, before: Sequence[int], after: Sequence[int], mode: str = "constant") -> str:
        if self.opset < 11:  # pads became an input with opset 11
            return self.add("Pad", x, pads=[*before, *after], mode=mode)
        return self.add("Pad", x, self.integers([*before, *after]), mode=mode)
