"""The matrices of a front end, in float64: windows, windowed Fourier transforms, mel filters, smoothing, resizing."""

import warnings
from typing import Literal

import librosa
import numpy as np

from .frontend import FrontEnd


def window_of(kind: str, length: int) -> np.ndarray:
    """[length]; hann and hamming are periodic, hann-symmetric and povey (Kaldi's) are not."""
    if kind == "rectangular":
        return np.ones(length)
    phase = 2 * np.pi * np.arange(length) / (length if kind in ("hann", "hamming") else max(length - 1, 1))
    if kind == "hamming":
        return 0.54 - 0.46 * np.cos(phase)
    hann = 0.5 - 0.5 * np.cos(phase)
    return hann**0.85 if kind == "povey" else hann


def transform(front: FrontEnd, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Real, imaginary) parts [bins, span] of the Fourier transform of one frame.

    What Kaldi does to a frame first is linear too, and part of the matrix: offset off, pre-emphasis, window.
    """
    at = np.arange(front.span)
    window = window_of(front.window, front.win)
    if front.span > front.win:  # in the middle, as librosa and torch put it
        left = (front.span - front.win) // 2
        window = np.pad(window, (left, front.span - front.win - left))
    angle = -2 * np.pi * (bins[:, None] * at % front.n_fft) / front.n_fft
    parts = []
    for wave in (np.cos(angle), np.sin(angle)):
        rows = wave * window * front.gain
        if front.preemphasis:  # y[0] = (1 - p) x[0], y[i] = x[i] - p x[i - 1]
            shifted = np.pad(rows[:, 1:], ((0, 0), (0, 1)))
            shifted[:, 0] += rows[:, 0]
            rows = rows - front.preemphasis * shifted
        if front.remove_dc:
            rows = rows - rows.mean(axis=1, keepdims=True)
        parts.append(rows)
    return parts[0], parts[1]


def filters(front: FrontEnd) -> tuple[np.ndarray, np.ndarray]:
    """(Filter bank [rows, bins] or identity, the bins that it reads)."""
    if front.kind == "stft":
        bins = np.array(front.bins)
        return np.eye(len(bins)), bins[::-1] if front.flip else bins
    bank = kaldi_filters(front) if front.scale == "kaldi" else _librosa_filters(front)
    used = np.flatnonzero(bank.any(axis=0))
    bank = bank[:, used]
    return bank[::-1] if front.flip else bank, used


def _librosa_filters(front: FrontEnd) -> np.ndarray:
    norm: Literal["slaney"] | None = "slaney" if front.norm == "slaney" else None
    htk = front.scale == "htk"
    low, high = front.fmin, front.fmax
    with warnings.catch_warnings():  # bands narrower than a bin are empty, as published (torchaudio's defaults)
        warnings.filterwarnings("ignore", "Empty filters")
        return librosa.filters.mel(
            sr=front.rate, n_fft=front.n_fft, n_mels=front.n_mels, fmin=low, fmax=high, htk=htk, norm=norm, dtype=float
        )


def kaldi_filters(front: FrontEnd) -> np.ndarray:
    """Triangles that are straight in mel; the Nyquist bin weighs nothing. In float32, as Kaldi computes them: a bin on
    a triangle's edge has a weight that is mostly rounding."""

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return np.float32(1127.0) * np.log(np.float32(1.0) + np.float32(hz) / np.float32(700.0))

    low, high = mel(front.fmin), mel(front.fmax)
    edges = low + np.arange(front.n_mels + 2, dtype=np.float32) * ((high - low) / np.float32(front.n_mels + 1))
    at = mel(np.arange(front.n_fft // 2 + 1) * (front.rate / front.n_fft))[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bank = np.maximum(0.0, np.minimum((at - left) / (centre - left), (right - at) / (right - centre)))
    bank[-1] = 0.0
    return bank.T.astype(np.float64)


def smoothing(frames: int, constant: float) -> tuple[np.ndarray, np.ndarray]:
    """([frames, frames], [frames]) with y = x @ matrix + start: PCEN's y[t] = (1 - b) y[t - 1] + b x[t], y[-1] = 1.

    Source: librosa 0.11, pcen and scipy's lfilter_zi; `constant` is the time constant in frames.
    """
    b = (np.sqrt(1 + 4 * constant**2) - 1) / (2 * constant**2)
    lag = np.arange(frames)[None, :] - np.arange(frames)[:, None]
    return np.where(lag >= 0, b * (1 - b) ** np.maximum(lag, 0), 0.0), (1 - b) ** np.arange(1, frames + 1)


def resizing(before: int, after: int) -> np.ndarray:
    """[after, before]: linear interpolation with pixel centres at half, as torch's interpolate does it."""
    at = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, None)
    low = np.minimum(np.floor(at).astype(int), before - 1)
    high, share = np.minimum(low + 1, before - 1), at - low
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after), low), 1 - share)
    np.add.at(matrix, (np.arange(after), high), share)
    return matrix
