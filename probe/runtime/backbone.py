"""A frozen backbone, opened at its taps: float32 windows in, one pooled vector a tap out.

Backbone.open finds the blocks, exposes the chosen taps, folds the front end, verifies the result against the untouched
file, and keeps one ONNX Runtime session. probe/runtime/input_spec.py knows what to feed it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from ...features import InputError, files
from ..blocks.architecture import Architecture, Block
from ..blocks.detection import find_blocks
from ..graph.external_data import data_files
from ..graph.load import load, read_file
from ..models.contracts import completed
from ..models.registry import resolve
from ..surgery.batch_axis import free_batch, pin_batch
from ..surgery.expose import Exposed, expose
from ..surgery.frontend_folding import fold as fold_front
from ..surgery.pooling import Pooling, parse_all, readings
from ..surgery.verify import Verification, compare_outputs, compare_taps
from .input_spec import declared, read_input_spec, row_of, waveform_shape
from .sessions import ORT_ERRORS, data_input, open_session, reason, release_memory, run_chunks, together


@dataclass(frozen=True, repr=False)
class Backbone:
    """See the module. Calling it is thread-safe; the model's weights live in the session only.

    blocks: the block that each tap reads, under the tap's name. dims: tap -> dimensions of one pooled row. pooling: the
    rules' text. folding: what was done to the front end.
    batch: windows a call that the graph is fixed to, None where it takes any number. threads: of the session, None for
    one per core.
    """

    path: Path
    sha256: str
    preset: str | None
    sample_rate: int  # Hz
    window_samples: int
    normalise: str
    pooling: str
    blocks: dict[str, Block]
    dims: dict[str, tuple[int, ...]]
    architecture: Architecture
    verification: Verification
    folding: str
    batch: int | None
    threads: int | None
    _row: tuple[int, ...] = field(compare=False)
    _dtype: type = field(compare=False)
    _outputs: tuple[str, ...] = field(compare=False)
    _session: ort.InferenceSession = field(compare=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        taps: str = "all",
        pooling: str = "mean",
        sample_rate: int | None = None,
        window_s: float | None = None,
        normalise: str | None = None,
        threads: int | None = None,
        fold: bool = True,
        spinning: bool = False,
    ) -> "Backbone":
        """Open `path`, or a model's name, at `taps` (the command's syntax, such as "all", "-4", "3,7-9,embedding").

        pooling: one rule or several, comma-separated; under several a tap is `block_17/max`, and may be asked for so.
        threads: intra-op threads of the session (None: one per core). fold=False leaves the front end as it is.
        spinning=True lets its threads burn a core between calls: faster only where nothing else wants the cores, such
        as decoding, other sessions or other callers.
        InputError: a file that cannot be opened, unknown taps, missing or contradicting sample rate and window, a
        model that takes no waveform, or surgery that changes numbers.
        """
        path = resolve(path)
        model = load(path)
        sample_rate, window_s, normalise = completed(model, path, sample_rate, window_s, normalise)
        input_spec = read_input_spec(model, path.name, sample_rate, window_s, normalise)
        shape = waveform_shape(model, path.name, input_spec.window_samples)
        architecture = find_blocks(model, shape)
        blocks, names = select_readings(architecture, taps, pooling)
        exposed, verification, note = prepare(model, blocks, pooling, fold, row_of(shape), names)
        del model
        session = open_session(exposed.model, threads, spinning)
        spec = data_input(session)
        backbone = cls(
            path=path,
            sha256=sha256(path),
            preset=input_spec.preset,
            sample_rate=input_spec.sample_rate,
            window_samples=input_spec.window_samples,
            normalise=input_spec.normalise,
            pooling=",".join(map(str, parse_all(pooling))),
            blocks={block.name: block for block in exposed.taps},
            dims=exposed.dims,
            architecture=architecture,
            verification=verification,
            folding=note,
            batch=together(spec),
            threads=threads,
            _row=row_of(shape),
            _dtype=spec.dtype,
            _outputs=tuple(exposed.outputs.values()),
            _session=session,
        )
        del exposed
        release_memory()
        return backbone

    @property
    def taps(self) -> tuple[str, ...]:
        """Tap names in graph order."""
        return tuple(self.blocks)

    @property
    def window_s(self) -> float:
        return self.window_samples / self.sample_rate

    @property
    def model(self) -> onnx.ModelProto:
        """The untouched model, read from the file again: a backbone at work does not hold its weights twice."""
        return load(self.path)

    def __call__(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """windows [N, window_samples] -> {tap: float32 [N, *dims[tap]]}, any N.

        InputError: windows of another length, or a tap that is not finite (float16 overflow, NaN in the audio).
        """
        n = len(windows)
        if windows.ndim != 2 or windows.shape[1] != self.window_samples:
            raise InputError(f"{self.path.name}: windows {windows.shape}, wanted [N, {self.window_samples}]")
        if n == 0:
            return {tap: np.zeros((0, *self.dims[tap]), np.float32) for tap in self.taps}
        x: np.ndarray = np.ascontiguousarray(windows, self._dtype).reshape(n, *self._row)
        try:
            runs = list(run_chunks(self._session, x, self.batch, self._outputs))
        except ORT_ERRORS as error:
            raise InputError(f"{self.path.name}: ONNX Runtime fails on {n} windows: {reason(error)}") from error
        features = {}
        for tap, parts in zip(self.taps, zip(*runs)):
            joined = parts[0] if len(parts) == 1 else np.concatenate([p.reshape(-1, *self.dims[tap]) for p in parts])
            features[tap] = joined.reshape(n, *self.dims[tap])
            if not np.isfinite(features[tap]).all():
                rows = np.flatnonzero(~np.isfinite(features[tap]).reshape(n, -1).all(axis=1))
                raise InputError(
                    f"{self.path.name}, tap {tap}: NaN or infinity in {len(rows)} of {n} windows (first: {rows[0]}). "
                    "float16 overflow, or NaN in the audio?"
                )
        return features

    def __repr__(self) -> str:
        kind = self.preset or "no preset"
        return (
            f"Backbone({self.path.name}, {kind}: {self.window_s:g} s at {self.sample_rate} Hz, normalise "
            f"{self.normalise}, {len(self.taps)} taps {self.taps[0]}..{self.taps[-1]}, pooled by {self.pooling})"
        )


def select_readings(architecture: Architecture, taps: str, pooling: str) -> tuple[list[Block], tuple[str, ...]]:
    """(The blocks to expose, the taps to read of them). taps: as `Architecture.select` takes, or `block_17/max`."""
    poolings = parse_all(pooling)
    every = [reading.tap for reading in readings(list(architecture.taps.values()), poolings)]
    parts = [part.strip() for part in taps.split(",") if part.strip()]
    exact = {part for part in parts if "/" in part and part in every}
    plain = ",".join(part for part in parts if part not in exact)
    blocks = [architecture.taps[name] for name in (architecture.select(plain) if plain or not exact else ())]
    names = exact | {reading.tap for reading in readings(blocks, poolings)}
    wanted = {block.name for block in blocks} | {name.partition("/")[0] for name in exact}
    return [block for name, block in architecture.taps.items() if name in wanted], tuple(n for n in every if n in names)


def build(
    candidate: onnx.ModelProto,
    taps: Sequence[Block],
    pooling: str | Pooling,
    fold: bool,
    row: tuple[int, ...],
) -> tuple[Exposed, str]:
    """Expose (the original outputs kept, so that they can be compared) and fold; and a note on the folding."""
    whole = expose(candidate, taps, pooling, keep_outputs=True)
    if not fold:
        return whole, "front end: folding is off"
    folded, note = fold_front(whole.model, row)
    return whole.holding(folded), note


def prepare(
    model: onnx.ModelProto,
    taps: Sequence[Block],
    pooling: str | Pooling,
    fold: bool,
    row: tuple[int, ...],
    names: Collection[str] | None = None,
    threads: int | None = None,
) -> tuple[Exposed, Verification, str]:
    """(The exposed model ready to run, its verification, a note on the folding); batched where the graph can.

    row: the shape of one window, without the batch axis. names: the only taps to keep, where a block is read in several
    ways. InputError: verification fails, even at one window a call.
    """
    failed: InputError | None = None
    for candidate in candidates(model):
        try:
            whole, note = build(candidate, taps, pooling, fold, row)
            outputs = compare_outputs(model, whole, row, threads=threads)
            exposed = whole.pruned(names)
            del whole
            return exposed, Verification.of(model, compare_taps(model, exposed, row, threads=threads), outputs), note
        except InputError as error:
            failed = error
    assert failed is not None  # there is at least one candidate
    raise failed


def candidates(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The model for any number of windows a call, then for the number that it is known to take.

    A fixed batch may be freed; a batch declared dynamic may still have one window built in (in its reshapes).
    """
    freed = free_batch(model)
    if freed is not None:
        yield freed
        yield model
    else:
        yield model
        if len(declared(model)) > 1:
            yield pin_batch(model)


def sha256(path: Path) -> str:
    """Of the file's bytes, followed by those of its external data files in the order of their names, if it has any."""
    model = read_file(path)
    return files.sha256(path, *data_files(model, path))
