"""Reads an ONNX file: its weights beside it, its faults, its one audio input and its outputs.

Weights in files beside it are read wherever in the graph they are used. onnx's own reader refuses every link. A Hugging
Face cache consists of links: `model.onnx` and `model.onnx.data` point into one folder of blobs. So a link is followed
where it ends in the model's folder, or in the folder in which the model itself ends; nothing else is read, because a
downloaded model must not name any file of the user's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo
from onnx.inliner import inline_local_functions

from ...features import InputError
from ...features.files import check_file
from .operators import bodies
from .soundness import check_inlined, check_model

FLOATS: dict[int, type[np.floating]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before an InputError raised inside, where the graph alone is known ("model: ...")."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path.name}: {str(error).removeprefix('model: ')}") from error


def load(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, its external data included, ready for `find_blocks` and for surgery.

    Raises InputError: what `read` raises; not exactly one required input, or that input is not floating point.
    """
    model = read(path)
    audio_input(model, str(path))
    return model


def read(path: str | Path) -> onnx.ModelProto:
    """Read an ONNX file, its external data included, whatever its inputs are.

    Local functions are inlined (so that every tensor has a name in one graph) and the recorded shapes of intermediate
    tensors are dropped: exporters and graph editors leave stale ones behind, and they are measured when needed.

    Raises InputError: no such file; not an ONNX file; cut short or otherwise unsound (see `soundness`); external data
    missing.
    """
    path = Path(path)
    model = read_file(path)
    read_external_data(model, path)
    check_model(str(path), model)
    if model.functions:
        try:
            model = inline_local_functions(model)
        except (onnx.checker.ValidationError, RuntimeError, ValueError) as error:
            raise InputError(f"{path}: its functions cannot be written out ({error}). Is the file damaged?") from None
    check_inlined(str(path), model)
    del model.graph.value_info[:]
    return model


def read_file(path: Path) -> onnx.ModelProto:
    """The model in the file alone, without the weights that it keeps beside it.

    Raises InputError: no such file; not an ONNX file.
    """
    check_file(path, "an ONNX model")
    try:
        with path.open("rb") as file:  # by name, onnx would leave it open after an error
            model = onnx.load(file, format="protobuf", load_external_data=False)
    except DecodeError as error:
        raise InputError(f"{path}: {_not_onnx(path)}") from error
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path}: no ONNX graph inside; {_not_onnx(path)}")
    return model


def _not_onnx(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head[4:8] == b"TFL3":
        return "this is a TensorFlow Lite file, not an ONNX model; turn it into one with `birdprobe convert`"
    if head[:2] == b"PK":
        return "this is a zip archive (a PyTorch checkpoint?), not an ONNX model; export it first"
    size = path.stat().st_size
    return f"cannot be read as ONNX ({size:,} bytes). Is the download incomplete, or is it another kind of file?"


def audio_input(model: onnx.ModelProto, place: str = "model") -> onnx.ValueInfoProto:
    """The one required input. Raises InputError when there are none or several, or when it is not floating point."""
    constants = {tensor.name for tensor in model.graph.initializer}
    required = [value for value in model.graph.input if value.name not in constants]
    described = ", ".join(f"{value.name} {input_dims(value)}" for value in required)
    if len(required) != 1:
        values = " ".join(f"--input {value.name}={_usual_value(value)}" for value in required[1:])
        more = f"; give the others values, such as {values}" if values else ""
        raise InputError(
            f"{place}: {len(required)} required inputs ({described or 'none'}); wanted exactly one, the audio window"
            + more
        )
    if required[0].type.tensor_type.elem_type not in FLOATS:
        number = required[0].type.tensor_type.elem_type
        kind = dict(zip(TensorProto.DataType.values(), TensorProto.DataType.keys())).get(number, f"type {number}")
        guess = "Samples of 16 bits? Export it with a Cast in front." if kind == "INT16" else "A text or token model?"
        raise InputError(f"{place}: input {described} holds {kind}; wanted floating-point audio. {guess}")
    return required[0]


def _usual_value(value: onnx.ValueInfoProto) -> str:
    """What another input mostly wants: a rate or the lengths a number, a mask ones, a state zeros."""
    dims = input_dims(value)
    if value.type.tensor_type.elem_type in FLOATS:
        return "zeros" if dims else "NUMBER"
    return "ones" if len(dims) > 1 else "NUMBER"


def input_dims(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """Dimensions as declared: an int where fixed, a name or None where free."""
    dims = value.type.tensor_type.shape.dim
    return [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else (d.dim_param or None) for d in dims]


def tensor_outputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The outputs that are tensors; sequences, maps (of a ZipMap) and optionals are no features."""
    return [value for value in model.graph.output if value.type.WhichOneof("value") in (None, "tensor_type")]


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The input's first dimension when it is a number, None when it is dynamic."""
    shape = audio_input(model).type.tensor_type.shape.dim
    return (shape[0].dim_value or None) if len(shape) > 1 else None


def default_opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators that the model uses."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


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
