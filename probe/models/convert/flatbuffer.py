"""What a TensorFlow Lite file holds, as plain records: tensors, operators and their options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....features import InputError

NUMPY: dict[str, type] = {
    "FLOAT32": np.float32,
    "FLOAT16": np.float16,
    "FLOAT64": np.float64,
    "INT32": np.int32,
    "INT64": np.int64,
}
NUMPY |= {"BOOL": np.bool_, "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tensor:
    """shape: as recorded, 1 where it is not known before a run; dynamic: which of its dimensions are free."""

    name: str
    kind: str  # FLOAT32, INT32, COMPLEX64, ...
    shape: tuple[int, ...]
    dynamic: tuple[int, ...]
    data: np.ndarray | None
    quantised: bool

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class Operator:
    """kind: the name in the schema, `CUSTOM:NAME` of a custom one. inputs: tensor numbers, -1 where one is left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any  # the schema's accessor object, or None

    def option(self, name: str, default: Any = 0) -> Any:
        return getattr(self.options, name)() if self.options is not None else default


@dataclass(frozen=True, eq=False)
class LiteGraph:
    """The first subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(path: Path) -> LiteGraph:
    """Read a TensorFlow Lite file.

    InputError: no such file, another format, a damaged one, several subgraphs; or the package `tflite` is missing.
    """
    try:
        import tflite
    except ModuleNotFoundError:
        raise InputError(
            f"{path}: reading TensorFlow Lite needs the packages tflite and flatbuffers: "
            "pip install 'birdprobe[convert]'"
        ) from None
    if not path.is_file():
        raise InputError(f"{path}: no such file, a .tflite file wanted.")
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise InputError(f"{path}: no TensorFlow Lite file (its identifier TFL3 is missing). Another format?")
    try:
        model = tflite.Model.GetRootAs(content, 0)
        if model.SubgraphsLength() != 1:
            raise InputError(f"{path}: {model.SubgraphsLength()} subgraphs found, one wanted (no control flow).")
        graph = model.Subgraphs(0)
        produced = {int(j) for i in range(graph.OperatorsLength()) for j in graph.Operators(i).OutputsAsNumpy()}
        fed = tuple(int(i) for i in graph.InputsAsNumpy())
        return LiteGraph(
            tuple(_tensor(tflite, model, graph, i, {*produced, *fed}) for i in range(graph.TensorsLength())),
            tuple(_operator(tflite, model, graph.Operators(i)) for i in range(graph.OperatorsLength())),
            fed,
            tuple(int(i) for i in graph.OutputsAsNumpy()),
        )
    except InputError:
        raise
    except (
        Exception
    ) as error:  # flatbuffers reads whatever lies there: struct.error, IndexError, UnicodeDecodeError, ...
        raise InputError(f"{path}: damaged ({type(error).__name__}). Is the download incomplete?") from None


def _names(of: type) -> dict[int, str]:
    return {value: name for name, value in vars(of).items() if isinstance(value, int)}


def _tensor(tflite: Any, model: Any, graph: Any, index: int, computed: set[int]) -> Tensor:
    found = graph.Tensors(index)
    kind = _names(tflite.TensorType)[found.Type()]
    shape = tuple(int(n) for n in found.ShapeAsNumpy()) if found.ShapeLength() else ()
    signature = tuple(int(n) for n in found.ShapeSignatureAsNumpy()) if found.ShapeSignatureLength() else shape
    buffer = model.Buffers(found.Buffer())
    data: np.ndarray | None = None
    if buffer.DataLength():
        data = np.frombuffer(buffer.DataAsNumpy().tobytes(), NUMPY[kind]).reshape(shape) if kind in NUMPY else None
    elif index not in computed and kind in NUMPY:
        data = np.zeros(shape, NUMPY[kind])  # an empty list, such as the shape of a scalar
    quantisation = found.Quantization()
    quantised = quantisation is not None and quantisation.ScaleLength() > 0 and kind in ("INT8", "UINT8", "INT16")
    dynamic = tuple(i for i, n in enumerate(signature) if n < 0)
    return Tensor((found.Name() or b"").decode() or f"tensor_{index}", kind, shape, dynamic, data, quantised)


def _operator(tflite: Any, model: Any, found: Any) -> Operator:
    code = model.OperatorCodes(found.OpcodeIndex())
    kind = _names(tflite.BuiltinOperator)[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    if kind == "CUSTOM":
        kind = f"CUSTOM:{(code.CustomCode() or b'?').decode()}"
    options, table = None, found.BuiltinOptions()
    name = _names(tflite.BuiltinOptions).get(found.BuiltinOptionsType(), "NONE")
    if table is not None and name != "NONE":
        options = getattr(tflite, name)()
        options.Init(table.Bytes, table.Pos)
    fed, made = (tuple(int(i) for i in array) for array in (found.InputsAsNumpy(), found.OutputsAsNumpy()))
    return Operator(kind, fed, made, options)
