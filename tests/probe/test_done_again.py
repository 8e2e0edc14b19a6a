"""The same call again: a finished run is handed back, anything else is refused with what differs."""

import json
import os
import shutil

import pandas as pd
import pytest
import soundfile

from birdprobe.features import InputError
from birdprobe.features.store import FeatureStore
from birdprobe.probe.api import extract
from birdprobe.probe.sweep.compare import compare
from birdprobe.probe.sweep.sweep import sweep
from tests.probe.compare.material import SETTINGS, copy_of
from tests.probe.test_cli import birdprobe, one_line
from tests.tiny import tiny_backbone, tiny_dataset

HOW = SETTINGS | {"readout": "knn,linear"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two models, labelled clips, a sweep of each model with its test, and their comparison."""
    world = tmp_path_factory.mktemp("again")
    tiny_dataset(world / "audio")
    test = tiny_dataset(tmp_path_factory.mktemp("test"), clips=3, seed=1)
    (world / "where").write_text(str(test))
    for seed, name in enumerate(("robin", "wren")):
        model = tiny_backbone(world / f"{name}.onnx", seed)
        sweep(model, world / "audio", world / f"{name}-run", test=test, **HOW)
    compare([world / "robin-run", world / "wren-run"], world / "compared", draw=False, progress=False)
    return world


@pytest.fixture
def place(world, tmp_path):
    """A copy of it that a test may change."""
    shutil.copytree(world, tmp_path / "place")
    return tmp_path / "place"


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def sweep_again(place, said, **given):
    given = {"test": (place / "where").read_text()} | given
    return sweep(place / "robin.onnx", place / "audio", place / "robin-run", log=said.append, **HOW | given)


def test_the_same_sweep_is_handed_back_and_nothing_is_written(place):
    before, said = state(place / "robin-run"), []
    found = sweep_again(place, said)
    assert said == [f"{place / 'robin-run'}: already done, nothing is computed; --overwrite runs it again."]
    assert found.path == place / "robin-run" and len(found.ranking) == 6
    assert state(place / "robin-run") == before
    sweep_again(place, said, overwrite=True)
    assert "ranking" in said


def change_clip(place):
    samples, rate = soundfile.read(file := place / "audio" / "species 1" / "G100-0.wav")
    soundfile.write(file, samples[::-1], rate)


def relabel(place):
    (place / "audio" / "species 1" / "G100-0.wav").rename(place / "audio" / "species 0" / "G100-0.wav")


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        (lambda place: None, {"k": 3}, "k: 5 there, 3 asked for"),
        (lambda place: None, {"test": None}, "made with --test"),
        (lambda place: None, {"window_s": 0.5}, "window_s: 1.0 there, 0.5 asked for"),
        (lambda place: tiny_backbone(place / "robin.onnx", 5), {}, "made with another model than"),
        (change_clip, {}, "G100-0.wav had other contents of the same size"),
        (relabel, {}, "18 clips, 18 wanted"),
        (lambda place: (place / "where").write_text(str(place / "audio")), {}, "test.h5 made from 9 clips, 18 wanted"),
        (lambda place: (place / "robin-run" / "readouts.csv").unlink(), {}, "readouts.csv is missing"),
        (lambda place: (place / "robin-run" / "features.h5").unlink(), {}, "features.h5 is missing"),
        (lambda place: (place / "robin-run" / "config.json").write_text('{"format": "birdprobe/sweep"}'), {}, "no settings"),
        (
            lambda place: shutil.copy(place / "wren-run" / "features.h5", place / "robin-run" / "features.h5"), {},
            "features.h5 is of another model",
        ),
    ],
)  # fmt: skip
def test_another_sweep_is_refused_and_says_what_differs(place, change, given, said):
    change(place)
    before = state(place / "robin-run")
    with pytest.raises(
        InputError, match=r"expected a new folder, got a finished run \(.*\)\. Use --overwrite"
    ) as raised:
        sweep_again(place, [], **given)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert state(place / "robin-run") == before


def test_touched_and_moved_audio_is_the_same_audio(place):
    shutil.move(place / "audio", place / "moved")
    os.utime(place / "moved" / "species 1" / "G100-0.wav", (1, 1))
    shutil.move(place / "moved", place / "audio")
    sweep_again(place, said := [])
    assert len(said) == 1


def test_a_clip_that_can_be_read_by_now_is_another_sweep(place):
    broken = place / "audio" / "species 1" / "G100-0.wav"
    whole = broken.read_bytes()
    broken.write_bytes(b"no audio at all")
    sweep_again(place, [], overwrite=True)
    assert len(sweep_again(place, []).skipped) == 1
    broken.write_bytes(whole)
    with pytest.raises(InputError, match="could not be read then can be now"):
        sweep_again(place, [])


def test_the_same_comparison_is_handed_back(place):
    runs, out = [place / "robin-run", place / "wren-run"], place / "compared"
    before, said = state(out), []
    found = compare(runs, out, draw=False, log=said.append)
    assert len(said) == 1 and "already done" in said[0] and state(out) == before
    fresh = compare(runs, progress=False)
    pd.testing.assert_frame_equal(found.table, fresh.table, rtol=1e-5)
    pd.testing.assert_frame_equal(found.taps, fresh.taps, rtol=1e-5)
    assert found.answer == fresh.answer and found.summary == fresh.summary
    for given, told in (({"seed": 1}, "seed: 0 there, 1 asked for"), ({"readout": "knn"}, "readout: all there")):
        with pytest.raises(InputError, match=rf"got a finished comparison \({told}"):
            compare(runs, out, progress=False, **given)
    with pytest.raises(InputError, match="of another run than"):
        compare(runs[::-1], out, progress=False)


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("readouts.csv", "model,tap", "a,b", "readouts.csv: lacks column model, tap"),
        ("readouts.csv", "knn,", "knn,oops", "readouts.csv: something else than numbers in it"),
        ("ranking.csv", "model,tap", "a,b", "ranking.csv: lacks column model, tap"),
        ("ranking.csv", "block_00,0", "block_00,0.5", "ranking.csv: something else than numbers in it"),
        ("answer.json", '"lines": [', '"lines": 3, "old": [', "answer.json: lines: expected a list"),
        ("answer.json", '"note"', '"no"', "answer.json: no note"),
        ("config.json", '"warnings": []', '"warnings": [1]', "config.json: warnings[0]: expected text"),
    ],
)
def test_a_damaged_comparison_is_told_in_one_line(place, file, old, new, told):
    text = (place / "compared" / file).read_text()
    assert old in text
    (place / "compared" / file).write_text(text.replace(old, new))
    with pytest.raises(InputError) as raised:
        repr(compare([place / "robin-run", place / "wren-run"], place / "compared", draw=False, progress=False))
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_a_comparison_of_models_named_by_numbers_is_handed_back_as_it_was(place):
    for old, new in (("robin", "1"), ("wren", "NA")):
        config = place / f"{old}-run" / "config.json"
        config.write_text(config.read_text().replace(f"{old}.onnx", f"{new}.onnx"))
    runs, out = [place / "robin-run", place / "wren-run"], place / "numbers"
    fresh = compare(runs, out, draw=False, progress=False)
    found = compare(runs, out, draw=False, progress=False)
    assert repr(found) == repr(fresh) and list(found.taps["model"].unique()) == ["1", "NA"]


def test_settings_that_were_emptied_by_hand_do_not_stop_the_same_sweep(place):
    config = json.loads((place / "robin-run" / "config.json").read_text())
    (place / "robin-run" / "config.json").write_text(json.dumps(config | {"asked": None}))
    sweep_again(place, said := [])
    assert len(said) == 1


def test_a_comparison_with_a_store_that_has_changed_is_another(place):
    store = copy_of(place / "wren-run", place / "other") / "features.h5"
    compare([place / "robin-run", store], place / "both", draw=False, progress=False)
    compare([place / "robin-run", store], place / "both", draw=False, progress=False)
    extract(place / "robin.onnx", place / "audio", store, sample_rate=8000, window_s=1.0, overwrite=True,
            progress=False)  # fmt: skip
    with FeatureStore.open(store) as changed:
        assert changed.complete
    with pytest.raises(InputError, match=rf"of another run than {store}, or of what it was before"):
        compare([place / "robin-run", store], place / "both", draw=False, progress=False)


def test_the_same_commands_again_say_so_and_end_well(place):
    compared = ("compare", place / "robin-run", place / "wren-run", "-o", place / "compared")
    done = birdprobe(*compared)
    assert done.returncode == 0 and done.stderr.splitlines() == [
        f"{place / 'compared'}: already done, nothing is computed; --overwrite runs it again."
    ]
    assert "Without training" in done.stdout
    assert "got a finished comparison (seed: 0 there, 1 asked for)" in one_line(birdprobe(*compared, "--seed", "1"))
    stored = ("extract", place / "robin.onnx", place / "audio", "-o", place / "f.h5", "--sample-rate", "8000")
    assert "already done" not in birdprobe(*stored).stderr
    done = birdprobe(*stored)
    assert done.returncode == 0 and f"{place / 'f.h5'}: already done, nothing is computed" in done.stderr
