"""Three sounds that differ in what a few frames of a spectrogram show, wherever they lie: tones, sweeps and clicks.

A network that pools over frequency cannot tell one steady tone from another; these it can.
"""

from pathlib import Path

import numpy as np
import soundfile

from birdprobe.features.recordings import read_recordings

RATE = 32_000
KINDS = ("clicks", "sweeps", "tones")


def sound(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """float64 [samples], amplitude about 0.3."""
    time = np.arange(round(seconds * RATE)) / RATE
    if kind == "clicks":
        return 0.5 * rng.standard_normal(len(time)) * (time * rng.uniform(9, 11) % 1 < 0.08)
    pitch = rng.uniform(1500, 6000)
    if kind == "tones":
        return 0.3 * np.sin(2 * np.pi * pitch * time)
    sweep = pitch + 4000 * (time * rng.uniform(3.5, 4.5) % 1)  # Hz
    return 0.3 * np.sin(2 * np.pi * np.cumsum(sweep) / RATE)


def recording(events: list[tuple[str, float, float]], seconds: float, seed: int) -> np.ndarray:
    """float32 [samples] of faint noise with sounds from onset to offset (seconds)."""
    rng = np.random.default_rng(seed)
    wave = 0.01 * rng.standard_normal(round(seconds * RATE))
    for kind, onset, offset in events:
        start = round(onset * RATE)
        heard = sound(kind, offset - onset, rng)
        wave[start : start + len(heard)] += heard
    return wave.astype(np.float32)


def write(folder: Path, n: int, seconds: float = 5.0, seed: int = 0) -> Path:
    """n clips of each kind in class folders, in each one sound of 1.5 s to 3 s; a group is two clips."""
    rng = np.random.default_rng(seed)
    for k, kind in enumerate(KINDS):
        (folder / kind).mkdir(parents=True)
        for i in range(n):
            length = rng.uniform(1.5, 3.0)
            onset = rng.uniform(0, seconds - length)
            wave = recording([(kind, onset, onset + length)], seconds, 1000 * seed + 100 * k + i)
            soundfile.write(folder / kind / f"G{k}{i // 2}-{i}.wav", wave, RATE)
    return folder


def read(folder: Path):
    return read_recordings(folder, group_regex=r"^(G\d+)-")
