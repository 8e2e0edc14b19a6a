"""What libsndfile cannot open, through audioread: ffmpeg, Core Audio or GStreamer, where there is one."""

from pathlib import Path

import numpy as np

from .. import InputError
from .headers import check_plausible


def decode_elsewhere(path: Path, reason: str) -> tuple[np.ndarray, int]:
    """Decode a whole file with the first program that can: float32 [frames], the channels' mean, and its rate in Hz.

    reason: why libsndfile cannot. InputError: nothing here can decode it, or its header is implausible.
    """
    try:
        from audioread import DecodeError, available_backends
    except ImportError:
        backends = []
    else:  # not its readers of WAV, AIFF and AU from the standard library, which believe any header
        backends = [backend for backend in available_backends() if backend.__name__ != "RawAudioFile"]
    for backend in backends:
        try:
            opened = backend(str(path))
        except (DecodeError, OSError, EOFError, ValueError):
            continue
        with opened as file:
            check_plausible(path, file.samplerate, file.channels)
            samples = np.frombuffer(b"".join(file), "<i2").reshape(-1, file.channels)
            return samples.mean(axis=1, dtype=np.float32) / np.float32(32768), int(file.samplerate)
    hint = "" if backends else " Not audio, or a format that needs ffmpeg?"
    raise InputError(f"{path}: undecodable ({reason}).{hint}")
