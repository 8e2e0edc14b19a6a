"""Samples as MP3, the one compressed format that every browser plays."""

import io

import numpy as np
import soundfile

RATE = 24_000  # Hz: keeps what is below 12 kHz


def can_encode() -> bool:
    """Whether this libsndfile writes MP3 (1.1 and newer)."""
    return "MP3" in soundfile.available_formats()


def mp3(samples: np.ndarray) -> bytes:
    """A whole MP3 file.

    Args:
        samples: float32 [n], mono, at `RATE`; what is outside -1..1 is clipped.

    Returns:
        Its bytes.
    """
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), RATE, format="MP3")
    return file.getvalue()
