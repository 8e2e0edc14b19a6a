"""A fused file of the tiny backbone, and a competition of a few soundscapes."""

import pytest

from birdprobe.heads.fuse import fuse
from birdprobe.probe.runtime.backbone import Backbone
from tests.heads.kaggle.material import NAMES, sample, sing
from tests.heads.untrained import make_run
from tests.tiny import tiny_backbone


@pytest.fixture(scope="session")
def fused(tmp_path_factory):
    """A fused file of the tiny backbone: one second at 8 kHz, three classes. Only read."""
    folder = tmp_path_factory.mktemp("fused")
    backbone = Backbone.open(tiny_backbone(folder / "tiny.onnx"), "block_00,block_02", sample_rate=8000)
    run = make_run(folder / "run", backbone, ("block_00", "block_02"), folds=2)
    return fuse(run, folder / "tiny.onnx", folder / "fused.onnx").path


@pytest.fixture
def competition(tmp_path):
    """Three test soundscapes of 6 s and two of training; a sample with one class more, in another order."""
    for seed, name in enumerate(NAMES):
        sing(tmp_path / "comp" / "test_soundscapes" / f"{name}.ogg", seed=seed)
    for seed in (1, 2):
        sing(tmp_path / "comp" / "train_soundscapes" / f"BC2026_Train_000{seed}_S01_20260512_050000.ogg", seed=seed + 9)
    sample(tmp_path / "comp", NAMES)
    return tmp_path / "comp"
