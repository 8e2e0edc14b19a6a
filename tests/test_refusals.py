"""For any failure of any command, every file that was there before is there after, byte for byte, and no new one is."""

import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

from tests import pebble
from tests.fuzz.options import WORKING
from tests.refusals import RESUMED, attempt, bad_calls, cut_short, full_disk, lost, prepare
from tests.tiny import tiny_backbone, tiny_dataset
from tests.world import CLASSES, make_world, tree, write_sounds, write_tables

LIGHT = ("blocks", "extract", "store", "blend", "score")  # commands that need neither torch nor a sweep
TAKES_THE_PLACE = ("extract", "fuse", "predict", "export", "store", "blend")  # of any file, with --overwrite


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """What those commands read, made in a second or two."""
    world = tmp_path_factory.mktemp("light")
    tiny_backbone(world / "m.onnx", classes=len(CLASSES))
    tiny_dataset(world / "clips", classes=2, clips=2)
    write_tables(world)
    write_sounds(world / "sounds")
    rows = pd.Index([f"r0_20260101_060000_{i}" for i in (1, 2, 3)], name="row_id")
    for name, seed in (("a", 0), ("b", 1)):
        table = np.random.default_rng(seed).uniform(size=(len(rows), len(CLASSES)))
        pd.DataFrame(table, rows, CLASSES).to_csv(world / f"{name}.csv")
    pd.DataFrame(np.eye(len(CLASSES), dtype=int), rows, CLASSES).to_csv(world / "truth.csv")
    assert attempt(("extract", "{w}/m.onnx", "{w}/clips", "-o", "{w}/s.h5", "--sample-rate", "8000"), world) == 0
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("whole") / "world")


def refuse_everything(world, folder, commands) -> int:
    """Every bad call of these commands, each on a copy of its own; how many were refused."""
    pebble.register()
    refused, faults = 0, []
    for what, words, broken in bad_calls():
        if words[0] not in commands:
            continue
        here = prepare(world, folder / "w")
        if broken:
            cut_short(here / broken.removeprefix("{w}/"))
        before = tree(here)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = attempt(words, here)
        if code:
            refused += 1
            faults += [f"{words[0]}, {what}: {fault}" for fault in lost(before, here)]
        else:  # it replaced what it was told to, and nothing else
            replaces = words[0] in TAKES_THE_PLACE and "--overwrite" in what
            kept = {name: text for name, text in before.items() if name.startswith("theirs/")}
            gone = [name for name, text in kept.items() if tree(here).get(name) != text]
            assert gone in ([], ["theirs/notes.txt"]) if replaces else not gone, (what, words, gone)
        shutil.rmtree(here)
    assert not faults, faults
    return refused


def test_bad_calls_of_light_commands_lose_nothing(light, tmp_path):
    assert refuse_everything(light, tmp_path, LIGHT) > 60


@pytest.mark.slow
def test_bad_calls_of_all_commands_lose_nothing(world, tmp_path):
    assert refuse_everything(world, tmp_path, {words[0] for words in WORKING}) > 240


def fill_the_disk(world, folder, words, most: int) -> int:
    """A full disk at each of the first `most` files that a command makes; how often it failed of that."""
    pebble.register()
    failed = 0
    for n in range(1, most + 1):
        here = prepare(world, folder / "w")
        before = tree(here)
        with warnings.catch_warnings(), full_disk(here, n) as disk:
            warnings.simplefilter("ignore")
            code = attempt(words, here)
        shorter = disk.count < n
        if code:
            failed += 1
            faults = lost(before, here)
            if words[0] in RESUMED:  # what was done is kept: the same command goes on, and then nothing else is there
                faults = [fault for fault in faults if "left behind" not in fault]
                assert attempt(words, here) == 0, f"{words[0]}, no space at file {n}: it does not go on"
                faults += [name for name in tree(here).keys() - before.keys() if "/." in f"/{name}"]
            assert not faults, f"{words[0]}, no space at file {n}: {faults}"
        shutil.rmtree(here)
        if shorter:
            break
    return failed


@pytest.mark.parametrize("words", [words for words in WORKING if words[0] in LIGHT and "-o" in words], ids=" ".join)
def test_a_full_disk_loses_nothing(light, tmp_path, words):
    if "{w}/manifest.csv" in words:
        pytest.skip("the same writes as for a folder")
    assert fill_the_disk(light, tmp_path, words, 4) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("words", [words for words in WORKING if "-o" in words and words[0] != "demo"], ids=" ".join)
def test_a_full_disk_at_every_file_loses_nothing(world, tmp_path, words):
    assert fill_the_disk(world, tmp_path, words, 60) >= 1 or "{w}/nope" in words
