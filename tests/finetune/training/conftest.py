"""Pebble and its recordings."""

import pytest
import torch

from birdprobe.finetune.models import members
from tests import pebble


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return pebble.write_audio(tmp_path_factory.mktemp("audio") / "tones")


@pytest.fixture(scope="module")
def recordings(audio):
    return pebble.read_audio(audio)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Pebble is a member; one thread, so that sums are in the same order in every process."""
    monkeypatch.setitem(members.MEMBERS, "pebble", pebble.PEBBLE)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
