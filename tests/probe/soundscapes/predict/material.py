"""Sounds, and what lies beside a submission."""

import json
from pathlib import Path

import numpy as np
import soundfile

from birdprobe.analysis import predictions
from tests.tiny import SAMPLE_RATE

CLASSES = [f"species {i}" for i in range(7)]
TOKENS = ("block_00", "block_02")


def write(path: Path, wave: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    soundfile.write(path, np.clip(wave, -1, 1), rate)
    return path


def about(out: Path) -> dict:
    return json.loads(out.with_suffix(".json").read_text())


def table_rows(path):
    return list(predictions.read_predictions(path).index)
