"""Verifies that opening a graph changed nothing: the exposed model against the untouched one on seeded input."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx

from ...features import InputError
from ...features.spelling import counted
from ..blocks.architecture import Block
from ..graph.load import fixed_batch, tensor_outputs
from ..runtime.sessions import ORT_ERRORS, Input, audio_like, data_input, open_session, reason, run_chunks, together
from . import pooling as pools
from .expose import Exposed, unpooled
from .layouts import mixes_precisions

WINDOWS = 2  # of seeded noise that are compared
TOLERANCE = 1e-4  # relative L2
HALF_TOLERANCE = 5e-3  # graphs with float16 tensors: half a unit in its last place is 5e-4, and roundings add up
GROUP_BYTES = 256 << 20  # un-pooled taps held at once


@dataclass(frozen=True)
class Difference:
    """max_abs: largest absolute difference. rel_l2: ||a - b|| / ||b||, over all rows."""

    max_abs: float
    rel_l2: float

    @classmethod
    def between(cls, found: np.ndarray, wanted: np.ndarray) -> "Difference":
        a, b = found.astype(np.float64), wanted.astype(np.float64)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return cls(float("inf"), float("inf"))
        finite = np.isfinite(b)
        away, norm = a[finite] - b[finite], float(np.linalg.norm(b[finite]))
        return cls(float(np.max(np.abs(away), initial=0.0)), float(np.linalg.norm(away)) / (norm or 1.0))


@dataclass(frozen=True)
class Verification:
    """What was compared on random input, and how far apart it was.

    taps: each pooled tap against the untouched graph's whole tensor, pooled in float64, one window a call.
    outputs: each original output, recomputed by the exposed graph before pruning, against the untouched model.
    """

    taps: dict[str, Difference]
    outputs: dict[str, Difference]
    windows: int
    tolerance: float

    @classmethod
    def of(
        cls,
        model: onnx.ModelProto,
        taps: dict[str, Difference],
        outputs: dict[str, Difference],
        tolerance: float | None = None,
    ) -> "Verification":
        """InputError: a difference above the tolerance (None: 1e-4, or 5e-3 for graphs with float16 tensors)."""
        limit = tolerance or (HALF_TOLERANCE if mixes_precisions(model) else TOLERANCE)
        for name, difference in [*taps.items(), *outputs.items()]:
            if not difference.rel_l2 <= limit:
                raise InputError(
                    f"{name}: surgery changed it by {difference.rel_l2:.1e} relative L2, tolerance {limit:.0e}. "
                    "Does the model use random numbers, or mix the rows of a batch?"
                )
        return cls(taps, outputs, WINDOWS, limit)

    def to_json(self) -> dict:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict) -> "Verification":
        """The inverse of `to_json`."""
        parts = {p: {name: Difference(**d) for name, d in found[p].items()} for p in ("taps", "outputs")}
        return cls(parts["taps"], parts["outputs"], found["windows"], found["tolerance"])

    def __str__(self) -> str:
        tap, worst = max(self.taps.items(), key=lambda item: item[1].rel_l2)
        taps = f"{counted(len(self.taps), 'tap')} within {worst.rel_l2:.1e}"
        text = f"surgery verified on {counted(self.windows, 'random window')}: {taps} "
        text += f"relative L2 of an un-pooled run (worst {tap}, max abs {worst.max_abs:.1e})"
        if self.outputs:
            far = max(self.outputs.values(), key=lambda d: d.rel_l2)
            text += f"; original outputs within {far.rel_l2:.1e} (max abs {far.max_abs:.1e})"
        return text + f"; tolerance {self.tolerance:.0e}"


def compare_outputs(
    model: onnx.ModelProto, whole: Exposed, row: tuple[int, ...] | None = None
) -> dict[str, Difference]:
    """The original outputs, recomputed by an exposed model that kept them, against the untouched model."""
    session = open_session(model)
    spec = data_input(session)
    x = audio_like((WINDOWS, *(row or feed_shape(spec))), spec.dtype)
    names = [o.name for o in tensor_outputs(model)]
    chunk = together(spec)
    if chunk is None:  # as many windows a call as both can take
        chunk = fixed_batch(whole.model)
    wanted = gather(session, x, chunk, names)
    del session
    found = gather(open_session(whole.model), x, chunk, names)
    numeric = [np.issubdtype(array.dtype, np.number) for array in wanted]
    return {n: Difference.between(a, b) for n, a, b, number in zip(names, found, wanted, numeric) if number}


def compare_taps(model: onnx.ModelProto, exposed: Exposed, row: tuple[int, ...] | None = None) -> dict[str, Difference]:
    """Each pooled tap against the untouched graph's whole tensor, pooled in float64."""
    session = open_session(exposed.model)
    spec = data_input(session)
    x = audio_like((WINDOWS, *(row or feed_shape(spec))), spec.dtype)
    found = dict(zip(exposed.outputs, gather(session, x, together(spec), list(exposed.outputs.values()))))
    del session
    differences = {}
    for block, wanted in references(model, exposed, x):
        if not np.isfinite(wanted).all():
            raise InputError(
                f"tap {block.name}: the untouched model gives NaN or infinity on random input, wanted "
                "finite numbers. Do its weights hold NaN?"
            )
        ours = found[block.name]
        if ours.size != wanted.size:
            raise InputError(
                f"tap {block.name}: {ours.shape} for {len(x)} windows, wanted {wanted.shape}. Fixed batch?"
            )
        differences[block.name] = Difference.between(ours.reshape(wanted.shape), wanted)
    return differences


def references(model: onnx.ModelProto, exposed: Exposed, x: np.ndarray) -> Iterator[tuple[Block, np.ndarray]]:
    """Each tap [N, *dims] in float64 from the untouched graph's whole tensors, a bounded group of taps at a time."""
    raw_model, raw_names = unpooled(model, exposed.taps)
    rules = {tap.block.name: tap.pooling for tap in exposed.read}
    session = open_session(raw_model)
    del raw_model  # a second copy of the weights
    chunk = own_chunk(data_input(session))
    for group in groups(tuple(tap.place for tap in exposed.read)):
        rows: dict[str, list[np.ndarray]] = {block.name: [] for block in group}
        for results in run_chunks(session, x, chunk, [raw_names[block.name] for block in group]):
            for block, raw in zip(group, results):
                if raw.ndim != len(block.shape):
                    raise InputError(f"tap {block.name}: found {raw.shape}, wanted {block.shape}. Dynamic rank?")
                rows[block.name].append(np.atleast_1d(pools.pooled(raw, block, rules[block.name])))
        for block in group:
            found, wanted = np.concatenate(rows[block.name]), (len(x), *exposed.dims[block.name])
            if found.size != math.prod(wanted):
                raise InputError(f"tap {block.name}: found {found.shape}, wanted {wanted}. Does its size change?")
            yield block, found.reshape(wanted)


def groups(taps: tuple[Block, ...], limit: int = GROUP_BYTES) -> Iterator[list[Block]]:
    """Taps in order, in groups whose un-pooled tensors (one float32 window) stay below `limit` bytes."""
    group: list[Block] = []
    held = 0
    for block in taps:
        size = 4 * int(np.prod(block.shape))
        if group and held + size > limit:
            yield group
            group, held = [], 0
        group.append(block)
        held += size
    yield group


def feed_shape(spec: Input) -> tuple[int, ...]:
    """One row of the input without its batch axis. InputError: a dimension that no file states."""
    row = spec.shape[1:] if len(spec.shape) > 1 else spec.shape
    if None in row:
        raise InputError(f"input {spec.name}: found a dynamic length {list(spec.shape)}, wanted a window length")
    return tuple(size for size in row if size is not None)


def own_chunk(spec: Input) -> int:
    """Windows a call for a reference run: the fixed batch, else one by one; 0 where there is no batch axis."""
    return 1 if (chunk := together(spec)) is None else chunk


def gather(session, x: np.ndarray, chunk: int | None, outputs: list[str] | None = None) -> list[np.ndarray]:
    """Run all rows and join them. InputError: the graph cannot run them, as when its reshapes assume one window."""
    try:
        runs = list(run_chunks(session, x, chunk, outputs))
    except ORT_ERRORS as error:
        raise InputError(f"the model fails on {len(x)} windows at once: {reason(error)}") from error
    return [_joined(rows, len(x), chunk) for rows in zip(*runs)]


def _joined(parts: Sequence[np.ndarray], n: int, chunk: int | None) -> np.ndarray:
    """One output's parts along its batch axis; stacked where it has none (a constant, a learned temperature)."""
    if chunk == 0 or any(part.ndim == 0 for part in parts) or sum(len(part) for part in parts) != n:
        return np.stack(parts)
    return np.concatenate(parts)
