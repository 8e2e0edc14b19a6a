"""The committed cases, and a few hundred random ones of a fixed seed: `make fuzz` runs on from there."""

import warnings
from random import Random

import numpy as np
import pytest

from birdprobe.features import InputError
from tests.fuzz import graph_checks
from tests.fuzz.models import change_model
from tests.fuzz.options import line
from tests.fuzz.pool import Worker
from tests.fuzz.quick import QUICK
from tests.fuzz.targets import CORPUS, TARGETS


def attempt(run, case, world, folder) -> bool:
    """Whether a case was refused; any other exception is a failure."""
    folder.mkdir()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run(case, world, folder)
        return False
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return True


@pytest.mark.parametrize("name", QUICK)
def test_random_changes_are_refused_or_read(name, tmp_path):
    cases, target = QUICK[name]
    (tmp_path / "world").mkdir()
    seeds, rng = target.seeds(tmp_path / "world"), Random(0)
    refused = 0
    for i in range(cases):
        case = target.change(rng.choice(seeds), rng, seeds)
        refused += attempt(target.run, case, tmp_path / "world", tmp_path / str(i))
    assert cases / 5 < refused  # the changes reach the checks


def test_changed_graphs_are_refused_or_opened(tmp_path):
    target, rng = QUICK["onnx"][1], Random(1)
    seeds = target.seeds(tmp_path)
    for i in range(60):
        attempt(target.run, change_model(rng.choice(seeds), rng, seeds), tmp_path, tmp_path / str(i))


@pytest.mark.parametrize(
    "path", sorted(CORPUS.glob("onnx/*")) + sorted(CORPUS.glob("audio/*")), ids=lambda path: path.name
)
def test_what_was_found_before_stays_cured(path, tmp_path):
    attempt(TARGETS[path.parent.name].run, path.read_bytes(), tmp_path, tmp_path / "case")


@pytest.mark.parametrize("seed", range(6))
def test_taps_of_random_graphs_are_the_untouched_graphs_own_tensors(seed, tmp_path):
    graph_checks.check(seed, tmp_path)


def test_a_wrong_tap_would_be_noticed(tmp_path, monkeypatch):
    right = graph_checks.pooled
    monkeypatch.setattr(graph_checks, "pooled", lambda raw, axis, rule: right(raw, axis, rule) * np.float32(1.01))
    with pytest.raises(AssertionError, match="off by"):
        graph_checks.check(0, tmp_path)


def test_random_command_lines_are_always_the_same():
    one, other = ([line(rng) for _ in range(20)] for rng in (Random(3), Random(3)))
    assert one == other and len(set(one)) > 10


@pytest.mark.slow
def test_every_target_for_a_moment(tmp_path):
    """Through real workers: the committed cases, and a dozen new ones of each target."""
    from tests.fuzz.__main__ import make_world
    from tests.fuzz.targets import seeds

    world, rng, finds = make_world(tmp_path), Random(0), []
    worker = Worker(world)
    for name in TARGETS:
        kept = seeds(name, world)
        if name in ("onnx", "csv", "json", "safetensors"):  # refused whole, their changes would never be reached
            whole = [worker.run(name, case) for case in TARGETS[name].seeds(world)]
            assert all(found["end"] == "passed" for found in whole), (name, whole)
        new = [TARGETS[name].change(rng.choice(kept) if kept else b"", rng, kept) for _ in range(12)]
        committed = [path.read_bytes() for path in (CORPUS / name).glob("*")]
        finds += [(name, found) for case in (*committed, *new) if (found := worker.run(name, case))["end"] == "find"]
    worker.stop()
    assert not finds, finds
