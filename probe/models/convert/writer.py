"""An ONNX graph under construction, which remembers for every TensorFlow Lite map in which layouts it exists.

TensorFlow Lite keeps maps as [N, H, W, C], ONNX convolutions want [N, C, H, W]. A convolution's output exists in the
second layout only; element-wise operators stay in it, and a transpose is written once, where the first is asked for.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ....features import InputError
from .flatbuffer import LiteGraph, Tensor

TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
AXIS_FIRST = {0: 0, 1: 2, 2: 3, 3: 1}  # where an axis of [N, H, W, C] stands in [N, C, H, W]


class Writer:
    """names: tensor number -> its name in TensorFlow's layout; first: the same in [N, C, H, W]; complex: (real,
    imaginary)."""

    def __init__(self, graph: LiteGraph, place: str):
        self.graph, self.place = graph, place
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}
        self.names: dict[int, str] = {}
        self.first: dict[int, str] = {}
        self.complex: dict[int, tuple[str, str]] = {}
        self._own: dict[int, str] = {}
        self._taken: set[str] = set()
        for i, tensor in enumerate(graph.tensors):
            self._own[i] = self.fresh(tensor.name)

    def fresh(self, name: str) -> str:
        """A name that no tensor has."""
        found, n = name, 1
        while found in self._taken:
            found, n = f"{name}__{n}", n + 1
        self._taken.add(found)
        return found

    def tensor(self, i: int) -> Tensor:
        return self.graph.tensors[i]

    def own(self, i: int) -> str:
        """The name that tensor `i` gets when it is computed in TensorFlow's layout."""
        self.names[i] = self._own[i]
        return self._own[i]

    def own_first(self, i: int) -> str:
        """The name that it gets when it is computed in [N, C, H, W]."""
        self.first[i] = self.fresh(self._own[i] + "_nchw")
        return self.first[i]

    def constant(self, i: int) -> np.ndarray | None:
        """A constant tensor's values, int32 as int64 and half precision as single; None: it is computed."""
        tensor = self.tensor(i)
        if tensor.quantised:
            raise InputError(
                f"{self.place}: tensor {tensor.name!r} is quantised ({tensor.kind}); wanted float weights. "
                "Take the model's FP32 or FP16 file."
            )
        return None if tensor.data is None else widened(tensor.data)

    def fixed(self, i: int, found: str) -> np.ndarray:
        """The values of a tensor that has to be constant. InputError, begun by `found`: it is computed."""
        if (data := self.constant(i)) is None:
            raise InputError(f"{self.place}: {found} wanted.")
        return data

    def value(self, i: int) -> str:
        """Tensor `i` in TensorFlow's layout."""
        if i in self.names:
            return self.names[i]
        if i in self.first:
            self.node("Transpose", [self.first[i]], self.own(i), perm=TO_LAST)
            return self.names[i]
        if (data := self.constant(i)) is not None:
            self.weights[self.own(i)] = numpy_helper.from_array(np.asarray(data, order="C"), self._own[i])
            return self.names[i]
        raise InputError(f"{self.place}: tensor {self.tensor(i).name!r} is used before it is computed.")

    def channels_first(self, i: int) -> str:
        """Tensor `i`, a map, in [N, C, H, W]."""
        if i not in self.first:
            source = self.value(i)
            self.node("Transpose", [source], self.own_first(i), perm=TO_FIRST)
        return self.first[i]

    def weight(self, name: str, data: np.ndarray | np.generic) -> str:
        name = self.fresh(name)
        self.weights[name] = numpy_helper.from_array(np.asarray(widened(np.asarray(data)), order="C"), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes) -> str:
        """Add a node with one output; its name."""
        output = output or self.fresh(f"{kind.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return output

    def model(self, opset: int) -> onnx.ModelProto:
        """What was written so far, as a model whose inputs and outputs are those of the file."""
        inputs = [self._info(i, self.names[i]) for i in self.graph.inputs]
        outputs = [
            helper.make_tensor_value_info(self.value(i), TensorProto.FLOAT, [None] * self.tensor(i).rank)
            for i in self.graph.outputs
        ]
        graph = helper.make_graph(self.nodes, "converted", inputs, outputs, list(self.weights.values()))
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="birdprobe", ir_version=8
        )

    def _info(self, i: int, name: str) -> onnx.ValueInfoProto:
        tensor = self.tensor(i)
        dims = ["batch" if j == 0 and j in tensor.dynamic else n for j, n in enumerate(tensor.shape)]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)


def widened(data: np.ndarray) -> np.ndarray:
    """Whole numbers as int64, which ONNX wants of shapes and indices; half precision as float32."""
    if data.dtype.kind in "iu":
        return data.astype(np.int64)
    return data.astype(np.float32) if data.dtype == np.float16 else data
