"""Fixed windows: where they start in a recording, how they are cut, padded and scaled.

A window is the backbone's input: window_samples samples. Starts are int64 sample indices, sorted. Whatever does not
fill a window is padded with zeros at its end.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from . import InputError

NORMALISATIONS = ("none", "peak", "file-peak")
PEAK = 0.25  # perch-hoplite's target_peak
TAIL = 0.01  # codecs pad a recording by a few milliseconds; that is no window of its own


@dataclass(frozen=True)
class Selection:
    """Which windows of a recording are used: all (the grid), center, first, random:N or energy:N.

    hop_s: seconds from one window of the grid to the next; None: back to back, and then `overlap` says by which part of
    a window they overlap. `all:hop=2.5` and `all:overlap=0.5` in words.
    """

    rule: str
    count: int | None = None
    hop_s: float | None = None
    overlap: float = 0.0

    @classmethod
    def parse(cls, text: str, hop_s: float | None = None, overlap: float | None = None) -> "Selection":
        """From the command line's words. str() gives the same words back. Raises InputError."""
        rule, colon, number = text.strip().partition(":")
        if rule == "all" and (hop_s is not None or overlap is not None or "=" in number):
            return cls("all", None, *_spacing(text, number, hop_s, overlap))
        if hop_s is not None or overlap is not None:
            raise InputError(f"--hop and --overlap space the windows of `--select all`, got `--select {text}`.")
        if rule in ("all", "center", "first") and not colon:
            return cls(rule)
        if rule in ("random", "energy") and number.isascii() and number.isdigit() and int(number) > 0:
            return cls(rule, int(number))
        raise InputError(
            f"--select: expected all, center, first, random:N or energy:N with N of at least 1, got '{text}'."
        )

    def __str__(self) -> str:
        if self.hop_s is not None:
            return f"{self.rule}:hop={self.hop_s:g}"
        if self.overlap:
            return f"{self.rule}:overlap={self.overlap:g}"
        return self.rule if self.count is None else f"{self.rule}:{self.count}"

    def spaced(self, window_s: float) -> "Selection":
        """The same with the hop in seconds, and none where windows lie back to back: one name for one grid."""
        hop = self.hop_s if self.hop_s is not None else round(window_s * (1 - self.overlap), 6)
        return replace(self, hop_s=None if self.rule != "all" or hop == window_s else hop, overlap=0.0)


def _spacing(text: str, words: str, hop_s: float | None, overlap: float | None) -> tuple[float | None, float]:
    """(hop in seconds, overlap) of the grid, from `hop=2.5`, `overlap=0.5` or the options."""
    name, _, number = words.partition("=")
    given = [value for value in (hop_s, overlap) if value is not None]
    try:
        if words:
            given.append(float(number))
            hop_s, overlap = (given[-1], None) if name == "hop" else (None, given[-1])
    except ValueError:
        given = []
    if len(given) != 1 or name not in ("", "hop", "overlap"):
        raise InputError(
            f"--select: expected all with either --hop SECONDS or --overlap PART, or all:hop=SECONDS, got '{text}'."
        )
    if hop_s is not None and not 0 < hop_s < math.inf:
        raise InputError(f"--hop: expected seconds above 0, got {hop_s:g}.")
    if overlap is not None and not 0 <= overlap < 1:
        raise InputError(f"--overlap: expected a part of a window from 0 to less than 1, got {overlap:g}.")
    return hop_s, overlap or 0.0


def grid(n_samples: int, window_samples: int, hop: int | None = None) -> np.ndarray:
    """Starts, int64 [windows], of windows over the whole recording, `hop` samples apart (None: back to back).

    The last window is padded. It is the first that reaches the end, but for a tail under 1 % of a window.
    """
    hop = window_samples if hop is None else max(1, hop)
    starts = np.arange(0, n_samples, hop, dtype=np.int64)
    covered = np.maximum(starts, starts - hop + window_samples)  # by the windows before
    return starts[(starts == 0) | (n_samples - covered >= TAIL * window_samples)]


def select(waveform: np.ndarray, sample_rate: int, window_s: float, selection: Selection, seed: int = 0) -> np.ndarray:
    """Starts, int64 [windows], sorted and distinct, of the windows that a Selection picks from float32 [samples].

    A recording no longer than a window gives one window for every rule. random:N draws from the seed alone, so a seed
    made from the clip's identity gives the same windows in any order of processing; energy:N needs no seed, and gives
    fewer than N windows where it finds fewer peaks, but never none.
    """
    n, window = len(waveform), round(window_s * sample_rate)
    if selection.rule == "all" or n == 0:
        hop_s = selection.spaced(window_s).hop_s
        return grid(n, window, None if hop_s is None else round(hop_s * sample_rate))
    room = max(0, n - window)  # the last start that needs no padding
    wanted = selection.count or 1  # only random and energy have a count
    if selection.rule == "first" or room == 0:
        return np.zeros(1, dtype=np.int64)
    if selection.rule == "center":
        return np.array([room // 2], dtype=np.int64)
    if selection.rule == "random":
        count = min(wanted, room + 1)
        return np.sort(np.random.default_rng(seed).choice(room + 1, size=count, replace=False)).astype(np.int64)
    if selection.rule == "energy":
        return _energy_starts(waveform, sample_rate, window, wanted)
    raise ValueError(f"no such rule: {selection.rule}")


def cut(waveform: np.ndarray, starts: np.ndarray, window_samples: int) -> np.ndarray:
    """The windows, float32 [len(starts), window_samples], zeros where the recording ends inside one."""
    windows = np.zeros((len(starts), window_samples), dtype=np.float32)
    for row, start in zip(windows, starts):
        piece = waveform[start : start + window_samples]
        row[: len(piece)] = piece
    return windows


def normalise_file(waveform: np.ndarray, rule: str) -> np.ndarray:
    """For "file-peak", the recording [samples] scaled to a peak of 1; else unchanged."""
    peak = np.abs(waveform).max(initial=0.0)
    return waveform / peak if _known(rule) == "file-peak" and peak > 0 else waveform


def normalise_windows(windows: np.ndarray, rule: str) -> np.ndarray:
    """For "peak", each window of [N, samples] less its mean, at a peak of 0.25 (as perch-hoplite); else unchanged."""
    if _known(rule) != "peak":
        return windows
    mean = windows.mean(axis=1, keepdims=True)
    centred = windows - mean  # the one copy: few passes over it, since decoding threads share these cores
    peak = np.maximum(centred.max(axis=1, keepdims=True, initial=0), -centred.min(axis=1, keepdims=True, initial=0))
    rounding = 1e-6 * (peak + np.abs(mean))  # a constant window stays flat
    centred *= np.where(peak > rounding, PEAK / np.maximum(peak, 1e-30), 0)
    return centred.astype(np.float32, copy=False)


def _known(rule: str) -> str:
    if rule not in NORMALISATIONS:
        raise InputError(f"--normalise: expected one of {', '.join(NORMALISATIONS)}, got '{rule}'.")
    return rule


# Energy peaks, after the window selection in Perch's public training code (Ghani et al. 2023 and Perch 2.0): STFT of
# 0.08 s, 100 frames a second, 160 mels from 60 Hz to 10 kHz, log, denoising, wavelet peaks above 1.5 x the local mean.
FRAME_S, FRAMES_PER_S, MELS, LOW_HZ, HIGH_HZ = 0.08, 100, 160, 60.0, 10_000.0
LOG_FLOOR, LOG_SCALE = 1e-2, 0.1
NOISE_Z = 0.75  # a mel value this many noise deviations above the noise is signal
PEAK_WIDTHS = np.arange(50, 200, 15)  # frames: calls and phrases of 0.5 to 2 s
PEAK_MARGIN, PEAK_RATIO = 30, 1.5  # a maximum within 0.3 s has to exceed 1.5 x the mean of ...
LOCAL = 1500  # ... the 15 s on either side
MINUTE = 6000  # frames


def _energy_starts(waveform: np.ndarray, sample_rate: int, window: int, count: int) -> np.ndarray:
    room = len(waveform) - window
    curve = _energy_curve(waveform, sample_rate)
    peaks = _peaks(curve)
    strongest_first = peaks[np.argsort(-curve[peaks], kind="stable")]
    hop = round(sample_rate / FRAMES_PER_S)
    starts = dict.fromkeys(np.clip(strongest_first * hop - window // 2, 0, room).tolist())  # distinct, in order
    if not starts:  # nothing stands out: the window with the highest energy, on a 10 ms grid
        energy = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
        offsets = np.arange(0, room + 1, max(hop, 1))
        starts = {int(offsets[np.argmax(energy[offsets + window] - energy[offsets])]): None}
    return np.array(sorted(list(starts)[:count]), dtype=np.int64)


def _energy_curve(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Denoised log-mel energy summed over frequency, float [frames], frame i centred on sample i * hop."""
    from scipy import fft, signal  # predicting needs neither

    hop, length = round(sample_rate / FRAMES_PER_S), round(FRAME_S * sample_rate)
    padded = np.pad(waveform.astype(np.float32, copy=False), length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]  # [frames, length], a view
    taper = signal.get_window("hann", length).astype(np.float32)
    matrix = _mel_matrix(sample_rate, length)
    mel = np.concatenate(  # blocks of 5 s, because the frames overlap eightfold
        [np.abs(fft.rfft(frames[i : i + 500] * taper, axis=1)) @ matrix for i in range(0, len(frames), 500)]
    )
    log_mel = LOG_SCALE * np.log(np.maximum(mel, LOG_FLOOR))  # [frames, mels]
    return _denoise(log_mel).sum(axis=1)


@lru_cache(maxsize=4)
def _mel_matrix(sample_rate: int, length: int) -> np.ndarray:
    """Triangles on the HTK mel scale, float32 [length // 2 + 1, MELS]. (librosa's costs seconds to import.)"""
    low, high, bins = _mel(LOW_HZ), _mel(min(HIGH_HZ, sample_rate / 2)), _mel(np.fft.rfftfreq(length, 1 / sample_rate))
    return triangles(bins, np.linspace(low, high, MELS + 2)).astype(np.float32)


def triangles(at: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Filters [len(at), len(edges) - 2] of peak 1: filter m rises from edges[m] to [m + 1], falls to [m + 2].

    Straight on the axis that `at` (the bins) and `edges` are given on: Kaldi's triangles are straight in mel, those of
    librosa and torchaudio in Hz.
    """
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (at[:, None] - low) / (centre - low), (high - at[:, None]) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling))


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + np.asarray(hz) / 700.0)


def _denoise(log_mel: np.ndarray) -> np.ndarray:
    """How far each value rises above its mel's noise, zero for noise: [frames, mels] -> the same.

    The noise's mean and deviation are those of a mel's values once the extreme ones are left out.
    """
    quiet = log_mel - log_mel.mean(axis=0) < 2 * NOISE_Z * log_mel.std(axis=0)
    weight = quiet / np.maximum(quiet.sum(axis=0), 1)
    noise = (weight * log_mel).sum(axis=0)
    deviation = np.sqrt((weight * np.square(log_mel - noise)).sum(axis=0))
    above = log_mel - noise
    return np.where(above >= NOISE_Z * deviation, above, 0.0)


def _peaks(curve: np.ndarray) -> np.ndarray:
    """Frames, int [peaks], where a wavelet of call length fits and the curve stands above its surroundings."""
    if len(curve) < PEAK_WIDTHS[0] or curve.max() <= 0:
        return np.zeros(0, dtype=np.int64)
    total = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    kept = []
    for peak in _wavelet_peaks(curve):
        low, high = max(0, peak - LOCAL), min(len(curve), peak + LOCAL)
        local_mean = (total[high] - total[low]) / (high - low)
        if curve[max(0, peak - PEAK_MARGIN) : peak + PEAK_MARGIN].max() >= PEAK_RATIO * local_mean:
            kept.append(peak)
    return np.array(kept, dtype=np.int64)


def _wavelet_peaks(curve: np.ndarray) -> list[int]:
    """scipy's find_peaks_cwt minute by minute with 10 s of margin, because its cost grows with the length's square."""
    from scipy import signal

    found = []
    for start in range(0, len(curve), MINUTE):
        low = max(0, start - MINUTE // 6)
        peaks = low + signal.find_peaks_cwt(curve[low : start + MINUTE + MINUTE // 6], PEAK_WIDTHS)
        found += [int(peak) for peak in peaks if start <= peak < start + MINUTE]
    return found
