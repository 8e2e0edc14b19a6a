"""A killed command is repeated and gives what an undisturbed one gives; `python -m tests.kills` does this for hours."""

import signal
from random import Random

import pandas as pd
import pytest

from tests.kills import COMMANDS, Kill, Series, differences, run
from tests.tiny import tiny_backbone, tiny_dataset
from tests.world import CLASSES, make_world, write_sounds, write_tables


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A model, clips, soundscapes and labels: what extract and predict take."""
    world = tmp_path_factory.mktemp("world")
    tiny_backbone(world / "m.onnx", classes=len(CLASSES))
    tiny_dataset(world / "clips", classes=2, clips=4)
    write_tables(world)
    write_sounds(world / "sounds")
    return world


def test_a_few_kills_of_extract(small, tmp_path):
    series = Series("extract", small, tmp_path)
    out = tmp_path / "same-place"
    for at in (3, 4):  # while the store is begun, and again while it is gone on with
        assert run("extract", small, out, Kill(signal.SIGKILL, at, False)).returncode == -signal.SIGKILL
    assert run("extract", small, out).returncode == 0
    assert differences(series.wanted, out) == []


def test_differences_are_noticed(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        pd.DataFrame({"x": [1.0], "seconds": [len(name)]}).to_csv(tmp_path / name / "t.csv", index=False)
        (tmp_path / name / "c.json").write_text(f'{{"seconds": {ord(name)}, "x": [1]}}')
    assert differences(tmp_path / "a", tmp_path / "b") == []
    (tmp_path / "b" / "c.json").write_text('{"seconds": 1, "x": [2]}')
    (tmp_path / "b" / ".x.lock").write_text("")
    (tmp_path / "a" / "gone").write_text("")
    assert differences(tmp_path / "a", tmp_path / "b") == [
        "gone is missing",
        ".x.lock is left behind",
        "c.json differs",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_kills_of_every_command(name, world, tmp_path):
    series, rng, struck = Series(name, world, tmp_path), Random(0), 0
    for _ in range(3):
        faults, kills = series.kill(rng)
        struck += kills
        assert faults == []
    assert struck


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("whole") / "world")
    tiny_dataset(made / "many", clips=32, seconds=0.5)
    return made
