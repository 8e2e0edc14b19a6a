"""ONNX Runtime sessions: the one room that opens and feeds them.

Every session runs with ORT_ENABLE_ALL: only that level applies the blocked convolution layout (any lower one runs an
EfficientNet at a third of the speed).
"""

import contextlib
import ctypes
import math
import re
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from ...features import InputError
from .providers import CPU, Device

if TYPE_CHECKING:  # running a file needs ONNX Runtime alone, as on Kaggle
    import onnx

ORT_ERRORS = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)
INLINE_LIMIT = 1_900_000_000  # bytes; a serialised protobuf must stay below 2 GiB
EXTERNAL_MIN = 1024  # bytes; smaller tensors stay in the graph, where shape arithmetic needs them
SIGNATURE = re.compile(r"\S+\.(?:cc|h):\d+ \S+::.*?\)\s+(?=\S)")  # file, line and function that raised
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
}


@dataclass(frozen=True)
class Input:
    """A session's data input. `batch` is its fixed first dimension, None when that is dynamic."""

    name: str
    shape: tuple[int | None, ...]
    dtype: type

    @property
    def batch(self) -> int | None:
        return self.shape[0] if self.shape else None


def weight_bytes(model: "onnx.ModelProto") -> int:
    """Bytes of the initializers' contents; counted here because ByteSize fails above 2 GiB."""
    import onnx

    return sum(
        math.prod(t.dims) * onnx.helper.tensor_dtype_to_np_dtype(t.data_type).itemsize for t in model.graph.initializer
    )


def skeleton(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy without nodes, weights, inputs, outputs and value_info: versions, domains, functions and metadata."""
    import onnx

    copy = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            copy.graph.name = value.name
        elif field.name in ("opset_import", "functions", "metadata_props"):
            getattr(copy, field.name).extend(value)
        elif field.name != "training_info":
            setattr(copy, field.name, value)
    return copy


def save(model: "onnx.ModelProto", path: Path) -> None:
    """Write `path` with its large weights beside it in `path.data`, one tensor at a time (no second copy in memory)."""
    import onnx

    graph = skeleton(model)
    graph.graph.node.extend(model.graph.node)
    graph.graph.input.extend(model.graph.input)
    graph.graph.output.extend(model.graph.output)
    graph.graph.sparse_initializer.extend(model.graph.sparse_initializer)
    data = path.with_name(path.name + ".data")
    with data.open("wb") as file:
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) < EXTERNAL_MIN:
                graph.graph.initializer.append(tensor)
                continue
            stub = graph.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
            stub.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", len(tensor.raw_data))):
                stub.external_data.add(key=key, value=str(value))
            file.write(tensor.raw_data)
    path.write_bytes(graph.SerializeToString())


def quiet_options(optimised: bool = True) -> ort.SessionOptions:
    """Options of a session that says nothing: its warnings (unused initializers, layout advice) are no use to users."""
    options, levels = ort.SessionOptions(), ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimised else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return options


def start(
    model: "onnx.ModelProto | Path", options: ort.SessionOptions, providers: list, inline_limit: int = INLINE_LIMIT
) -> ort.InferenceSession:
    """A session; of a model above `inline_limit` bytes of weights through a temporary file with external data."""
    if isinstance(model, Path):
        return ort.InferenceSession(str(model), options, providers=providers)
    if weight_bytes(model) < inline_limit:
        return ort.InferenceSession(model.SerializeToString(), options, providers=providers)
    with tempfile.TemporaryDirectory(prefix="birdprobe-") as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        return ort.InferenceSession(str(path), options, providers=providers)


def open_session(
    model: "onnx.ModelProto | Path",
    threads: int | None = None,
    spinning: bool = True,
    inline_limit: int = INLINE_LIMIT,
    device: Device = CPU,
    profile: Path | None = None,
) -> ort.InferenceSession:
    """Open a model in ONNX Runtime on `device` with `threads` intra-op threads (None: one per core).

    `spinning=False` keeps the session's threads from burning cores between calls. `inline_limit`: see `start`.
    `profile`: the beginning of a file name; the session then writes what each node took, see `cost`. InputError: ONNX
    Runtime refuses the model.
    """
    options = quiet_options()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # integer kernels fused out of QDQ pairs round by what reads the tensors between: a tap would change the network
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
        options.optimized_model_filepath = str(profile.with_suffix(".onnx"))
        # the graph alone is wanted: a model above 2 GiB could not be written in one piece
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", profile.with_suffix(".data").name
        )
    try:
        return start(model, options, device.providers(), inline_limit)
    except ORT_ERRORS as error:
        refused = f"ONNX Runtime {ort.__version__} cannot open"
        what = f"{model}: {refused} it" if isinstance(model, Path) else f"{refused} the model"
        raise InputError(f"{what}: {reason(error)}") from error


def release_memory() -> None:
    """Give freed memory back to the system: glibc would keep the copies of the weights that opening a model made
    (2.2 instead of 0.9 GB after opening a 400 MB file). Does nothing where there is no such call."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def reason(error: Exception) -> str:
    """ONNX Runtime's message in one line, without the C++ signature that it begins with."""
    text = " ".join(str(error).split()) or "no reason given"
    return textwrap.shorten(SIGNATURE.sub("", text), 600, placeholder=" ...")


def data_input(session: ort.InferenceSession) -> Input:
    """The one required input (graph.load has refused models with several)."""
    node = session.get_inputs()[0]
    if node.type not in DTYPES:
        raise InputError(f"input {node.name}: found {node.type}, wanted a tensor of numbers")
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in node.shape)
    return Input(node.name, shape, DTYPES[node.type])


def audio_like(shape: Sequence[int], dtype: type = np.float32, seed: int = 0) -> np.ndarray:
    """Seeded noise and three tones at about -20 dBFS: loud enough that a log-mel front end sees structure."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0.0, 0.05, size=tuple(shape))
    phase = np.linspace(0.0, 1.0, shape[-1], endpoint=False)
    for cycles in rng.uniform(0.01, 0.2, size=3) * shape[-1]:
        x += 0.05 * np.sin(2 * np.pi * cycles * phase)
    return x.astype(dtype)


def run_chunks(
    session: ort.InferenceSession, x: np.ndarray, chunk: int | None, outputs: Sequence[str] | None = None
) -> Iterator[list[np.ndarray]]:
    """Run rows x [N, ...] `chunk` at a time (None: all at once; 0: the input has no batch axis, one row a call).

    A short last chunk is filled up with copies of its last row, which are cut off the outputs again.
    """
    name = session.get_inputs()[0].name
    names = list(outputs) if outputs is not None else None
    if chunk == 0:
        for row in x:
            yield session.run(names, {name: row})
        return
    step = chunk or len(x)
    for start in range(0, len(x), step):
        part = x[start : start + step]
        missing = step - len(part)
        fed = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part
        results = session.run(names, {name: np.ascontiguousarray(fed)})
        yield [r[: len(part)] if r.shape[:1] == (step,) else r for r in results] if missing else results


def together(spec: Input) -> int | None:
    """Windows a call, for `run_chunks`: all at once where the batch is dynamic."""
    return 0 if len(spec.shape) == 1 else spec.batch
