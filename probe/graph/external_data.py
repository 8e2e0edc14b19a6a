"""Weights that an ONNX file keeps in files beside it, wherever in the graph they are used.

onnx's own reader refuses every link. A Hugging Face cache consists of links: `model.onnx` and `model.onnx.data` point
into one folder of blobs. So a link is followed where it ends in the model's folder, or in the folder in which the
model itself ends; nothing else is read, because a downloaded model must not name any file of the user's.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path, PurePosixPath

import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo

from ...features import InputError
from .operators import bodies


def external_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor whose data are in another file: weights, constants, those of functions and of inner graphs."""
    tensors = chain(_tensors(model.graph), *(_tensors(function) for function in model.functions))
    return (tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL)


def read_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Put the data that lie beside `path` into the model.

    Raises:
        InputError: a file that is missing, too short, or not one of the model's.
    """
    for tensor in external_tensors(model):
        about = _described(path, tensor)
        place = data_file(path, about.location)
        offset, length = about.offset or 0, about.length
        try:
            size = place.stat().st_size
            length = size - offset if length is None else length
            if length < 0 or offset + length > size:
                raise ValueError(f"{place.name} has {size:,} bytes, {tensor.name!r} needs {offset + length:,}")
            with place.open("rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(length)
        except (OSError, ValueError) as error:
            raise _unreadable(path, str(error)) from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def data_files(model: onnx.ModelProto, path: Path) -> list[Path]:
    """The files beside `path` that hold the model's data, sorted, each once."""
    return sorted({data_file(path, _described(path, tensor).location) for tensor in external_tensors(model)})


def data_file(path: Path, location: str) -> Path:
    """The file that a model at `path` calls `location`.

    Raises:
        InputError: a location outside the model's folder, or a link to somewhere else.
    """
    parts = PurePosixPath(location.replace("\\", "/"))
    place = path.parent / location
    if not location or "\0" in location or parts.is_absolute() or Path(location).is_absolute() or ".." in parts.parts:
        raise InputError(f"{path}: its weights are at {location!r}, expected a file in the model's folder.")
    try:
        real, homes = place.resolve(), (path.parent.resolve(), path.resolve().parent)
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, str(error)) from error
    if real.exists() and not any(real.is_relative_to(home) for home in homes):
        raise InputError(
            f"{place}: a link out of the model's folder, to {real}; expected the weights beside the model. "
            "Copy them there?"
        )
    if real.exists() and not real.is_file():
        raise _unreadable(path, f"{place.name} is no regular file")
    return place


def _described(path: Path, tensor: TensorProto) -> ExternalDataInfo:
    try:
        return ExternalDataInfo(tensor)
    except ValueError as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: its weights live in a second file that cannot be read ({why}). "
        "Was the .data file left behind when the model was copied?"
    )


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[TensorProto]:
    if isinstance(graph, onnx.GraphProto):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []:
                yield from (sparse.values, sparse.indices)
        for inner in bodies(node):
            yield from _tensors(inner)
