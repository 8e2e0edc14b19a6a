"""The passes that rewrite an opened graph for speed, in order: each proven where it is used, switched off by its name.

transforms: DFT and STFT operators become constant products and strided convolutions (spectral_operators).
chains: linear chains of constants become one matrix, with their framing one strided convolution (frontend_folding).
scales: scales of the last axis are applied behind the Transpose that makes it a plane's number (channel_scales).
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import onnx

from ...features import InputError
from ..runtime.sessions import audio_like, data_input, open_session, together
from .channel_scales import move_scales
from .expose import Rewrite, rebuild
from .frontend_folding import fold_chains
from .spectral_operators import replace_transforms
from .verify import Difference, feed_shape, gather


class Pass(NamedTuple):
    """run: (model, shape of one window) -> the model rewritten, or why it is not ("": nothing to say).

    tolerance: relative L2 between what the rewritten tensors hold before and after, on two seeded windows.
    """

    name: str
    run: Callable[[onnx.ModelProto, tuple[int, ...] | None], Rewrite | str]
    tolerance: float


# transforms: ONNX Runtime's own DFT of 640 points is 3.5e-5 from float64 sums, ours 3e-7
PASSES = (
    Pass("transforms", replace_transforms, 1e-4),
    Pass("chains", fold_chains, 1e-5),
    Pass("scales", move_scales, 1e-6),
)
NAMES = tuple(one.name for one in PASSES)


class Folded(NamedTuple):
    """A model after the passes, what was done in words, and the passes that changed it."""

    model: onnx.ModelProto
    note: str
    passes: tuple[str, ...]


def check_names(without: Collection[str]) -> tuple[str, ...]:
    """The passes that are switched off, in order.

    Raises:
        InputError: a name that no pass has.
    """
    unknown = [name for name in without if name not in NAMES]
    if unknown:
        raise InputError(f"passes to switch off must be one of {', '.join(NAMES)}, got {unknown[0]!r}.")
    return tuple(name for name in NAMES if name in without)


def fold(
    model: onnx.ModelProto,
    row: tuple[int, ...] | None = None,
    proven: Collection[str] | None = None,
    without: Collection[str] = (),
) -> Folded:
    """The model, never changed in place, after every pass that held what it promises, else as it was.

    row: the shape of one window where the input's length is dynamic. proven: the passes that held for this file before:
    they alone run, unchecked. without: the passes to leave out.
    """
    off, notes, done = check_names(without), [], []
    for one in PASSES:
        if one.name in off or (proven is not None and one.name not in proven):
            continue
        try:
            found = one.run(model, row)
            away = 0.0
            if isinstance(found, Rewrite) and proven is None:
                away = difference(model, found.model, found.tensors, row)
        except InputError as error:
            found = f"{one.name} left as they were ({error})"
        if not isinstance(found, Rewrite):
            notes += [found] if found else []
        elif away > one.tolerance:
            notes.append(f"{one.name} left as they were (folded, they are {away:.1e} relative L2 away)")
        else:
            model = found.model
            notes.append(f"{found.what}, equal within {away:.1e}")
            done.append(one.name)
    told = ["front end: " + "; ".join(notes)] if notes else []
    told += [f"passes switched off: {', '.join(off)}"] if off else []
    return Folded(model, "; ".join(told), tuple(done))


def difference(
    model: onnx.ModelProto, rewritten: onnx.ModelProto, tensors: Sequence[str], row: tuple[int, ...] | None
) -> float:
    """The worst relative L2 difference of some tensors, on two seeded windows."""
    infos = [onnx.ValueInfoProto(name=name) for name in tensors]
    results = []
    for each in (model, rewritten):
        session = open_session(rebuild(each, each.graph.node, infos))
        spec = data_input(session)
        x = audio_like((2, *(row or feed_shape(spec))), spec.dtype)
        results.append(gather(session, x, together(spec)))
    return max(Difference.between(ours, theirs).rel_l2 for theirs, ours in zip(*results))
