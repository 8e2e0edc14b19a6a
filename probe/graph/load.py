"""Reads an ONNX file: its weights beside it, its faults, its one audio input and its outputs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto
from onnx.inliner import inline_local_functions

from ...features import InputError
from ...features.files import check_file
from .external_data import read_external_data
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
        values = " ".join(f"--input {value.name}=zeros" for value in required[1:])
        more = f"; give the others values, such as {values}" if values else ""
        raise InputError(
            f"{place}: {len(required)} required inputs ({described or 'none'}); wanted exactly one, the audio window"
            + more
        )
    if required[0].type.tensor_type.elem_type not in FLOATS:
        number = required[0].type.tensor_type.elem_type
        kind = dict(zip(TensorProto.DataType.values(), TensorProto.DataType.keys())).get(number, f"type {number}")
        raise InputError(
            f"{place}: input {described} holds {kind}; wanted floating-point audio. Is this a text or token model?"
        )
    return required[0]


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
