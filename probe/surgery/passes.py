"""The passes that rewrite an opened graph for speed, in order: each proven where it is used, switched off by its name.

transforms: DFT and STFT operators become constant products and strided convolutions (spectral_operators).
bins: spectrum bins that no mel band reads are not computed (unread_bins).
chains: linear chains of constants become one matrix, with their framing one strided convolution (linear_chains).
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import onnx

from ...features import InputError
from .frontend_folding import fold_chains, fold_transforms
from .unread_bins import drop_unread


class Pass(NamedTuple):
    """run: (model, shape of one window, whether it was proven before) -> (the model rewritten or itself, a note)."""

    name: str
    run: Callable[[onnx.ModelProto, tuple[int, ...] | None, bool], tuple[onnx.ModelProto, str]]


PASSES = (Pass("transforms", fold_transforms), Pass("bins", drop_unread), Pass("chains", fold_chains))
NAMES = tuple(one.name for one in PASSES)


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
    proven: bool = False,
    without: Collection[str] = (),
) -> tuple[onnx.ModelProto, str]:
    """(A folded model, a note that says what was done), or (the model itself, a note) where there is nothing to fold.

    row: the shape of one window where the input's length is dynamic. Each pass is checked on two seeded windows and
    undone where it changed a number that it must not. `proven` skips that, for a file that passed it before. `without`:
    the passes to leave out.
    """
    off, notes = check_names(without), []
    for one in PASSES:
        if one.name not in off:
            model, note = one.run(model, row, proven)
            notes += [note] if note else []
    notes += [f"passes switched off: {', '.join(off)}"] if off else []
    return model, "; ".join(notes)
