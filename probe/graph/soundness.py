"""What is wrong with a model's file, found before anything in it is believed: one line instead of hours or gigabytes.

ONNX Runtime and onnx trust a file further than a stranger's file deserves: functions that call each other twice as
often at every level, a loop of 2^62 trips, a window of 32 GB, numbers and names that mean nothing.
"""

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...features import InputError
from .operators import bodies

MOST_NODES = 1_000_000  # with every function written out; the largest models have some ten thousand
MOST_TRIPS = 1_000_000  # of a loop; frames of an hour are some 100,000
MOST_SAMPLES = 1 << 26  # numbers in a window: 256 MiB of float32
KINDS = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}


def check_model(place: str, model: onnx.ModelProto) -> None:
    """Names, types and sizes, functions and loops.

    Raises:
        InputError: names that are no text, unknown element types, weights without their data, functions that are
            there twice, call themselves or grow without bounds.
    """
    if not all(isinstance(name, str) for name in _names(model)):
        raise InputError(f"{place}: names that are not UTF-8 text. Is the file damaged?")
    called = {(f.domain, f.name): f for f in model.functions}
    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    for tensor in (tensor for graph in graphs(model.graph) for tensor in graph.initializer):
        _check_weight(place, tensor)
    for node in (*nodes, *(node for function in model.functions for node in function.node)):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _check_weight(place, attribute.t)
    if len(called) < len(model.functions):
        raise InputError(f"{place}: a function that is defined twice. Is the file damaged?")
    sizes: dict[tuple[str, str], int] = {}
    written = sum(_expanded(place, node, called, sizes, ()) for node in nodes)
    if written > MOST_NODES:
        raise InputError(f"{place}: {written:,} operators, functions written out; expected at most {MOST_NODES:,}.")


def check_inlined(place: str, model: onnx.ModelProto) -> None:
    """What is known once functions are written out: how long loops run, how large a window is.

    Raises:
        InputError: a loop of more trips, or an input of more numbers, than can be meant.
    """
    known = {tensor.name: tensor for graph in graphs(model.graph) for tensor in graph.initializer}
    for graph in graphs(model.graph):
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                known |= dict.fromkeys(node.output, node.attribute[0].t)
    for graph in graphs(model.graph):
        for node in graph.node:
            counted = known.get(node.input[0]) if node.op_type == "Loop" and node.input else None
            if counted is not None and counted.data_type == TensorProto.INT64:  # another type is none of a Loop
                trips = numpy_helper.to_array(counted).reshape(-1)
                if trips.size and int(trips[0]) > MOST_TRIPS:
                    raise InputError(f"{place}: a loop of {int(trips[0]):,} trips, at most {MOST_TRIPS:,} are run.")
    for value in model.graph.input:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim if d.dim_value > 0]
        check_size(place, value.name, dims)


def check_size(place: str, name: str, dims: list[int] | tuple[int, ...]) -> None:
    """InputError: an input of more numbers than any window has, or of a negative size."""
    if any(size < 0 for size in dims):
        raise InputError(f"{place}: input {name} has the shape {list(dims)}. Is the file damaged?")
    if (found := math.prod(dims)) > MOST_SAMPLES:
        raise InputError(
            f"{place}: input {name} {list(dims)} has {found:,} numbers, at most {MOST_SAMPLES:,} can be a window."
        )


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those inside its operators."""
    yield graph
    for node in graph.node:
        for inner in bodies(node):
            yield from graphs(inner)


def _names(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """Every name in a model; protobuf gives those that are no text as bytes."""
    for graph in graphs(model.graph):
        for node in graph.node:
            yield from _node_names(node)
        for value in (*graph.input, *graph.output, *graph.value_info):
            yield value.name
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
        yield from (tensor.name for tensor in graph.initializer)
    for function in model.functions:
        yield from (function.name, function.domain, *function.input, *function.output, *function.attribute)
        for node in function.node:
            yield from _node_names(node)
    yield from (opset.domain for opset in model.opset_import)
    yield from (text for prop in model.metadata_props for text in (prop.key, prop.value))


def _node_names(node: onnx.NodeProto) -> Iterator[str | bytes]:
    yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    yield from (attribute.name for attribute in node.attribute)


def _check_weight(place: str, tensor: TensorProto) -> None:
    """A protobuf cut at a field boundary still parses; a weight that is shorter than its dimensions gives it away."""
    if tensor.data_type not in KINDS:
        raise InputError(f"{place}: weight {tensor.name!r} has element type {tensor.data_type}, which ONNX has not.")
    if any(size < 0 for size in tensor.dims):
        raise InputError(f"{place}: weight {tensor.name!r} has the shape {tuple(tensor.dims)}. Is the file damaged?")
    count = math.prod(tensor.dims)
    itemsize = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    wanted, unit = count * itemsize, "bytes"
    if tensor.data_type > TensorProto.BFLOAT16 or tensor.data_type == TensorProto.STRING:
        return  # several of them to a byte, or of any length
    found = len(tensor.raw_data)
    if not tensor.HasField("raw_data"):
        wanted, unit = count, "numbers"
        found = len(getattr(tensor, helper.tensor_dtype_to_field(tensor.data_type)))
        if tensor.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
            wanted *= 2
    if found != wanted:
        raise InputError(
            f"{place}: weight {tensor.name!r} has {found:,} {unit}, its shape {tuple(tensor.dims)} wants {wanted:,}. "
            "Is the file cut short?"
        )


def _expanded(place: str, node: onnx.NodeProto, called: dict, sizes: dict, inside: tuple) -> int:
    """Operators that a node becomes when functions are written out; 1 for an operator."""
    name = node.domain, node.op_type
    if name not in called:
        return 1
    if name in inside or len(inside) > 200:
        raise InputError(f"{place}: function {node.op_type!r} calls itself. Is the file damaged?")
    if name not in sizes:
        sizes[name] = sum(_expanded(place, inner, called, sizes, (*inside, name)) for inner in called[name].node)
    return sizes[name]
