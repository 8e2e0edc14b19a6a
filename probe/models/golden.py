"""Windows to check a model on: golden ones, the same on every machine, and pieces of recordings."""

from pathlib import Path

import numpy as np

from ...features.audio import read
from ...features.files import check_exists
from ...features.recordings import read_recordings
from ...features.recordings.tables.text import TABLE_SUFFIXES

NAMES = ("tone", "chirp", "clicks", "noise")
FLOOR = 1e-3  # of noise below the rest: where a spectrum is empty, rounding alone would be compared


def golden_windows(sample_rate: int, samples: int) -> np.ndarray:
    """float32 [4, samples] made from formulas alone, the same everywhere; peaks of about 0.25 and below.

    A chord of steady tones, a chirp from 500 Hz to 8 kHz, clicks four times a second, and noise of a linear
    congruential generator.
    """
    t = np.arange(samples) / sample_rate
    seconds = samples / sample_rate
    tone = (
        0.1 * np.sin(2 * np.pi * 1000 * t) + 0.05 * np.sin(2 * np.pi * 3150 * t) + 0.02 * np.sin(2 * np.pi * 6300 * t)
    )
    top = min(8000.0, 0.45 * sample_rate)
    chirp = 0.2 * np.sin(2 * np.pi * (500 * t + (top - 500) * t**2 / (2 * seconds)))
    clicks = 0.25 * np.exp(-400 * (t % 0.25)) * np.sin(2 * np.pi * 2500 * (t % 0.25))
    noise = _noise(samples)
    return np.stack([*(x + FLOOR * noise for x in (tone, chirp, clicks)), 0.1 * noise]).astype(np.float32)


def _noise(samples: int) -> np.ndarray:
    """Between -1 and 1: the high bits of x -> 1664525 x + 1013904223 (mod 2^32)."""
    found = np.empty(samples, np.uint32)
    state = 1
    for i in range(samples):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
        found[i] = state
    return found.astype(np.float64) / 2**31 - 1


def recording_files(audio: Path | str) -> list[Path]:
    """The recordings of AUDIO: one file, or what a sweep takes. InputError: there are none."""
    path = Path(audio)
    check_exists(path, "recordings")
    single = path.is_file() and path.suffix.lower() not in TABLE_SUFFIXES
    return [path] if single else [clip.path for clip in read_recordings(path, labelled=path.is_file()).clips]


def recorded_windows(files: list[Path], sample_rate: int, samples: int, count: int = 8) -> np.ndarray:
    """float32 [n, samples]: the first window of up to `count` recordings, spread over all; short ones are padded."""
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, count).astype(int))]
    rows = [read(file, sample_rate)[:samples] for file in chosen]
    return np.stack([np.pad(row, (0, samples - len(row))) for row in rows]).astype(np.float32)
