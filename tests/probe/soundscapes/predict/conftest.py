"""A small model, five soundscapes and a shorter one."""

import numpy as np
import pytest

from birdprobe.heads.soundscapes import open_predictor
from tests.probe.soundscapes.predict.material import CLASSES, write
from tests.tiny import SAMPLE_RATE, tiny_backbone


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """model.onnx (seven classes), labels.txt, and sounds/: five files of 6 s, one of 3.5 s at another rate."""
    folder = tmp_path_factory.mktemp("predict")
    tiny_backbone(folder / "model.onnx")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    sounds = folder / "sounds"
    sounds.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        write(sounds / f"r{i}.wav", rng.normal(0, 0.1, 6 * SAMPLE_RATE))
    write(sounds / "short.flac", rng.normal(0, 0.1, 56_000), 16_000)
    return folder


@pytest.fixture(scope="session")
def predictor(place):
    return open_predictor(place / "model.onnx", labels=place / "labels.txt", sample_rate=SAMPLE_RATE)
