"""An ONNX file as a data-flow graph.

Only tensors that depend on the audio are edges here. Initialisers, Constant nodes and whatever is computed from them
are not; neither is anything behind a Shape or Size node: the arithmetic that prepares a Reshape hangs on the data by
name only, and would otherwise draw a bypass around half of every exported network.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper
from onnx.inliner import inline_local_functions

from ...features import InputError
from .operators import Op, captured, chain_concats, split

SHAPE_OPS = {"Shape", "Size"}
FLOATS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}


def load(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, its external data included, ready for `find_blocks` and for surgery.

    Local functions are inlined (so that every tensor has a name in one graph) and the recorded shapes of intermediate
    tensors are dropped: exporters and graph editors leave stale ones behind, and they are measured when needed.

    Raises InputError: no such file; not an ONNX file; cut short; external data missing; not exactly one required
    input, or that input is not floating point.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; wanted an ONNX model")
    try:
        with path.open("rb") as file:  # by name, onnx would leave it open after an error
            model = onnx.load(file, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise InputError(f"{path}: {_not_onnx(path)}") from error
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: no ONNX graph inside; {_not_onnx(path)}")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise InputError(
            f"{path}: its weights live in a second file that cannot be read ({error}). "
            "Was the .data file left behind when the model was copied?"
        ) from error
    for tensor in model.graph.initializer:
        _check_length(path, tensor)
    if model.functions:
        model = inline_local_functions(model)
    del model.graph.value_info[:]
    audio_input(model, str(path))
    return model


def _not_onnx(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:8] == b"TFL3":
        return "this is a TensorFlow Lite file, not an ONNX model; convert it first, for instance with tf2onnx"
    if head[:2] == b"PK":
        return "this is a zip archive (a PyTorch checkpoint?), not an ONNX model; export it first"
    size = path.stat().st_size
    return f"cannot be read as ONNX ({size:,} bytes). Is the download incomplete, or is it another kind of file?"


def _check_length(path: Path, tensor: TensorProto) -> None:
    """A protobuf cut at a field boundary still parses; a weight that is shorter than its dimensions gives it away."""
    try:
        itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, TypeError):
        return
    wanted = int(np.prod(tensor.dims, dtype=np.int64)) * itemsize
    if tensor.HasField("raw_data") and tensor.data_type <= TensorProto.BFLOAT16 and len(tensor.raw_data) != wanted:
        raise InputError(
            f"{path}: weight {tensor.name!r} has {len(tensor.raw_data):,} bytes, its shape {tuple(tensor.dims)} wants "
            f"{wanted:,}. Is the file cut short?"
        )


def audio_input(model: onnx.ModelProto, place: str = "model") -> onnx.ValueInfoProto:
    """The one required input. Raises InputError when there are none or several, or when it is not floating point."""
    constants = {tensor.name for tensor in model.graph.initializer}
    required = [value for value in model.graph.input if value.name not in constants]
    described = ", ".join(f"{value.name} {input_dims(value)}" for value in required)
    if len(required) != 1:
        raise InputError(
            f"{place}: {len(required)} required inputs ({described or 'none'}); wanted exactly one, the audio window"
        )
    if required[0].type.tensor_type.elem_type not in FLOATS:
        kind = TensorProto.DataType.Name(required[0].type.tensor_type.elem_type)
        raise InputError(
            f"{place}: input {described} holds {kind}; wanted floating-point audio. Is this a text or token model?"
        )
    return required[0]


def input_dims(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """Dimensions as declared: an int where fixed, a name or None where free."""
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else (d.dim_param or None) for d in dims]


@dataclass(frozen=True)
class Graph:
    """Operators in topological order, each named by its position; the audio input is the root, position -1."""

    ops: tuple[Op, ...]
    source: str  # name of the audio input
    outputs: tuple[str, ...]  # graph outputs that depend on the audio
    producer: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "Graph":
        source = audio_input(model).name
        data, ops = {source}, []
        for node in _sorted_nodes(model.graph):
            inputs = [*node.input, *captured(node)]
            if node.op_type in SHAPE_OPS or not data.intersection(inputs):
                continue
            ops.extend(split(node, data))
            data.update(name for name in node.output if name)
        ops = chain_concats(ops)
        return cls._build(ops, source, tuple(v.name for v in model.graph.output if v.name in data))

    @classmethod
    def _build(cls, ops: Iterable[Op], source: str, outputs: tuple[str, ...]) -> "Graph":
        ops = tuple(ops)
        producer = {name: i for i, op in enumerate(ops) for name in op.outputs if name}
        return cls(ops, source, outputs, producer)

    def needed(self, tensor: str) -> list[int]:
        """Positions of the operators that `tensor` depends on, in order."""
        keep, stack = set(), [tensor]
        while stack:
            index = self.producer.get(stack.pop(), -1)
            if index >= 0 and index not in keep:
                keep.add(index)
                stack.extend(self.ops[index].data)
        return sorted(keep)

    def upto(self, tensor: str) -> "Graph":
        """The part that `tensor` depends on."""
        return self._build((self.ops[i] for i in self.needed(tensor)), self.source, (tensor,))

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(sorted({self.producer.get(name, -1) for name in op.data})) for op in self.ops)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        children: list[list[int]] = [[] for _ in self.ops]
        for index, parents in enumerate(self.parents):
            for parent in parents:
                if parent >= 0:
                    children[parent].append(index)
        return tuple(map(tuple, children))

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """Per operator the set of operators it depends on, as the bits of one integer."""
        masks: list[int] = []
        for parents in self.parents:
            mask = 0
            for parent in parents:
                if parent >= 0:
                    mask |= masks[parent] | 1 << parent
            masks.append(mask)
        return tuple(masks)

    @cached_property
    def dominators(self) -> tuple[int, ...]:
        """Per operator the last operator that every path from the audio to it passes (-1: the audio itself)."""
        idom: list[int] = []
        for parents in self.parents:
            meet = parents[0]
            for other in parents[1:]:
                while meet != other:  # climb the later one; positions are topological
                    if meet > other:
                        meet = idom[meet]
                    else:
                        other = idom[other]
            idom.append(meet)
        return tuple(idom)

    def tensor_of(self, index: int) -> str:
        return self.source if index < 0 else self.ops[index].tensor


def _sorted_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Topological order, the file's own wherever that is one already."""
    made = {name for node in graph.node for name in node.output if name}
    done: set[str] = set()
    waiting, ordered = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if all(name in done or name not in made for name in [*node.input, *captured(node)]):
                ordered.append(node)
                done.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise InputError(
                f"graph: node {later[0].name or later[0].op_type!r} depends on itself; the file is damaged"
            )
        waiting = later
    return ordered
