"""Three sweeps of two small models, and the comparison of two of them."""

import pytest

from birdprobe.probe.sweep.compare import compare
from birdprobe.probe.sweep.result import SweepResult
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.compare.material import SETTINGS
from tests.tiny import tiny_backbone, tiny_dataset


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """Models, clips and sweeps: robin and wren on the same clips, robin again with other windows and scaling."""
    place = tmp_path_factory.mktemp("compare")
    audio = tiny_dataset(place / "audio")
    robin, wren = (tiny_backbone(place / f"{name}.onnx", seed) for seed, name in enumerate(("robin", "wren")))
    sweep(robin, audio, place / "robin", **SETTINGS)
    sweep(wren, audio, place / "dunnock", **SETTINGS)
    sweep(robin, audio, place / "robin-peak", normalise="peak", select="energy:1", **SETTINGS)
    return place


@pytest.fixture(scope="session")
def compared(place):
    return compare([place / "robin", SweepResult(place / "dunnock")], place / "compared", seed=1, draw=False)
