"""Which windows of a recording make a row, and the row's probabilities from theirs.

    window = row    the row itself
    window < row    the fewest windows that cover the row, spread evenly from its start to its end
    window > row    one window with the row in its middle, moved as far as it must be to stay in the recording

Test-time shifts move every window by so many seconds. Outside the recording there is silence (zeros); a window that
lies there altogether has no say. A row's probabilities are the mean over its windows and shifts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...features import InputError, audio
from ...features.playback import AS_RECORDED, Playback
from ...features.windows import cut, normalise_file, normalise_windows
from .rows import count

LONGEST_ROW_S = 86_400  # a day: the windows of a row are all kept until the row is made


@dataclass(frozen=True)
class Placement:
    """row_s: seconds of a row. shifts: seconds. batch_size: windows that the predictor gets at a time, at most.

    The windows of a file are shared out evenly over its batches, and no batch holds windows of two files: so a file's
    numbers do not depend on which others there are, on who was faster, or on what was resumed.
    """

    row_s: float
    shifts: tuple[float, ...] = (0.0,)
    batch_size: int = 8

    def __post_init__(self):
        if not 0 < self.row_s < math.inf:
            raise InputError(f"rows of {self.row_s} s found, more than 0 wanted.")
        if self.row_s > LONGEST_ROW_S:
            raise InputError(f"`--row` must be at most {LONGEST_ROW_S:,} s, got {self.row_s:g}.")
        if not self.shifts or not all(math.isfinite(shift) for shift in self.shifts):
            raise InputError(f"test-time shifts {self.shifts} found, seconds such as 0,1,-1 wanted.")
        if self.batch_size < 1:
            raise InputError(f"batch size {self.batch_size} found, at least 1 wanted.")

    def row_samples(self, sample_rate: float) -> int:
        samples = round(self.row_s * sample_rate)
        if samples < 1:
            raise InputError(f"rows of {self.row_s} s found, at least one sample at {sample_rate} Hz wanted.")
        return samples

    def starts(self, n_samples: int, window_samples: int, sample_rate: float) -> np.ndarray:
        """int64 [rows, windows of a row x shifts], in samples; negative before the recording begins."""
        row = self.row_samples(sample_rate)
        begins = row * np.arange(count(n_samples, row), dtype=np.int64)[:, None]
        if window_samples > row:
            starts = np.clip(begins + (row - window_samples) // 2, 0, max(0, n_samples - window_samples))
        else:
            spread = np.linspace(0, row - window_samples, math.ceil(row / window_samples))
            starts = begins + np.round(spread).astype(np.int64)
        shifts = np.round(np.array(self.shifts) * sample_rate).astype(np.int64)
        return (starts[:, :, None] + shifts).reshape(len(starts), -1)


def probabilities(
    predictor,
    waveform: np.ndarray,
    placement: Placement,
    check: Callable[[], None],
    rate: float | None = None,
    stem: str = "",
) -> np.ndarray:
    """float32 [samples] -> float32 [rows, K]. `check` is called before every batch and may raise.

    rate: samples for a second of the recording, where it is not played as it was recorded. stem: the recording's name,
    which a predictor with `predict_recording` is told.
    """
    size = predictor.window_samples
    waveform = normalise_file(waveform, predictor.normalise)
    starts = placement.starts(len(waveform), size, rate or predictor.sample_rate)
    sounds = (starts < len(waveform)) & (starts + size > 0)
    sounds[~sounds.any(axis=1)] = True
    before = max(0, -int(starts.min()))
    if before:
        waveform = np.concatenate([np.zeros(before, np.float32), waveform])

    def windows(at: np.ndarray) -> np.ndarray:
        check()
        return normalise_windows(cut(waveform, at + before, size), predictor.normalise)

    if hasattr(predictor, "predict_recording"):
        each = _of_recording(predictor, windows, starts, len(placement.shifts), stem)
    else:
        distinct, which = np.unique(starts, return_inverse=True)
        some = np.array_split(distinct, math.ceil(len(distinct) / placement.batch_size))
        each = np.concatenate([predictor(windows(at)) for at in some])[which.reshape(starts.shape)]
    weights = (sounds / sounds.sum(axis=1, keepdims=True))[:, :, None]
    return (each * weights).sum(axis=1).astype(np.float32)


def _of_recording(predictor, windows, starts: np.ndarray, shifts: int, stem: str) -> np.ndarray:
    """[rows, windows of a row x shifts, K] of a predictor that reads a recording's windows in their order: those of
    each shift are such a sequence, each window in it once."""
    found = []
    for shift in range(shifts):
        distinct, which = np.unique(starts[:, shift::shifts], return_inverse=True)
        own = predictor.predict_recording(windows(distinct), stem)
        found.append(own[which.reshape(len(starts), -1)])
    return np.stack(found, axis=2).reshape(*starts.shape, -1)


def predict_file(
    predictor,
    path: Path,
    placement: Placement,
    check: Callable[[], None],
    warn: Callable[[str], None] | None = None,
    playback: Playback = AS_RECORDED,
    stem: str | None = None,
) -> tuple[np.ndarray, float]:
    """(float32 [rows, K], seconds of audio). InputError: the file cannot be used. warn: see `features.audio.read`.
    stem: the recording's name, that of the file where it is None."""
    rate = playback.rate(predictor.sample_rate)
    waveform = audio.read(path, predictor.sample_rate, warn=warn, partial=True, playback=playback)
    found = probabilities(predictor, waveform, placement, check, rate, path.stem if stem is None else stem)
    bad = ~np.isfinite(found).all(axis=1) | (found.min(axis=1) < 0) | (found.max(axis=1) > 1)
    if bad.any():
        raise InputError(f"{path}: predictions that are no probabilities in {bad.sum()} of {len(bad)} rows.")
    return found, len(waveform) / rate


def shifts_of(text: str) -> tuple[float, ...]:
    """The command's `0,1,-1`. InputError."""
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise InputError(f"--tta-shifts: {text!r} found, seconds such as 0,1,-1 wanted.") from None


def as_shifts(shifts: Sequence[float]) -> tuple[float, ...]:
    """Each once, in the order given."""
    return tuple(dict.fromkeys(float(shift) for shift in shifts))
