"""A tiny model, forty clips of noise, and the store of one uninterrupted extraction."""

import pytest

from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from tests.probe.extraction.material import ALL, make
from tests.tiny import SAMPLE_RATE, tiny_backbone


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def backbone(model):
    return Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    return make(tmp_path_factory.mktemp("audio"), 40)


@pytest.fixture(scope="session")
def reference(backbone, recordings, tmp_path_factory):
    """A store from one uninterrupted extraction."""
    path = tmp_path_factory.mktemp("reference") / "features.h5"
    extract(backbone, recordings, path, selection=ALL)
    return path
