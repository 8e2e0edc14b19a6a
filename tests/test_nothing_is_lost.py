"""Whatever fails, every file that was there before is there after, byte for byte."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from birdprobe.features import InputError
from birdprobe.probe.cli.app import app
from tests.tiny import tiny_backbone, tiny_dataset


def birdprobe(*words) -> tuple[int, str]:
    rate = ["--sample-rate", "8000"] if words[0] in ("sweep", "extract") else []
    done = CliRunner().invoke(app, [*(str(word) for word in words), *rate])
    if done.exception is not None and not isinstance(done.exception, SystemExit | InputError):
        raise done.exception
    return done.exit_code, f"{done.output} {done.exception or ''}"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file, links by where they point."""
    return {
        str(path.relative_to(folder)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, clips, clips that are broken, a finished sweep and a store."""
    folder = tmp_path_factory.mktemp("made")
    tiny_backbone(folder / "m.onnx")
    tiny_dataset(folder / "clips")
    shutil.copytree(folder / "clips", folder / "broken")
    for path in (folder / "broken").rglob("*.wav"):
        soundfile.write(path, np.zeros(0, np.float32), 8000)
    code, text = birdprobe("sweep", folder / "m.onnx", folder / "clips", "-o", folder / "run", "--projection", "pca")
    assert code == 0, text
    assert birdprobe("extract", folder / "m.onnx", folder / "clips", "-o", folder / "s.h5")[0] == 0
    return folder


@pytest.fixture
def work(made, tmp_path):
    shutil.copytree(made, tmp_path / "work", dirs_exist_ok=True)
    return tmp_path / "work"


SWEEPS = {
    "no model": ("nope.onnx", "clips"),
    "no such tap": ("m.onnx", "clips", "--taps", "block_99"),
    "too many folds": ("m.onnx", "clips", "--folds", "30"),
    "k of 0": ("m.onnx", "clips", "--k", "0"),
    "broken audio": ("m.onnx", "broken"),
    "no audio": ("m.onnx", "nowhere"),
}


@pytest.mark.parametrize("words", SWEEPS.values(), ids=SWEEPS)
def test_a_failing_sweep(work, words):
    before = tree(work)
    code, text = birdprobe("sweep", work / words[0], work / words[1], "-o", work / "run", "--overwrite", *words[2:])
    assert code != 0, text
    assert tree(work) == before


@pytest.mark.parametrize("words", [("m.onnx", "broken"), ("nope.onnx", "clips"), ("m.onnx", "clips", "--taps", "99")])
def test_a_failing_extract(work, words):
    before = tree(work)
    code, _ = birdprobe("extract", work / words[0], work / words[1], "-o", work / "s.h5", "--overwrite", *words[2:])
    assert code != 0
    assert tree(work) == before


def test_another_sweep_takes_the_place_of_a_finished_one(work):
    (work / "run" / "figures" / "thesis.png").write_text("theirs")
    (work / "run" / "notes.txt").write_text("theirs")
    words = ("sweep", work / "m.onnx", work / "clips", "-o", work / "run", "--taps", "block_01,embedding")
    assert birdprobe(*words)[0] == 1
    code, text = birdprobe(*words, "--overwrite")
    assert code == 0, text
    after = tree(work / "run")
    assert after["figures/thesis.png"] == after["notes.txt"] == b"theirs"
    config = json.loads(after["config.json"])
    assert config["format"] == "birdprobe/sweep"
    assert {*config["files"], "config.json", "features.h5", "figures/thesis.png", "notes.txt"} == set(after)


@pytest.mark.parametrize(
    "name", ["report.html", "predictions.csv", "figures/depth.png", "config.json", "features.h5", "control.h5"]
)
def test_a_sweep_into_somebody_elses_folder(work, name):
    place = work / "proj" / name
    place.parent.mkdir(parents=True)
    place.write_text("theirs")
    before = tree(work)
    code, text = birdprobe("sweep", work / "m.onnx", work / "clips", "-o", work / "proj", "--overwrite", "--control")
    assert code == 1 and "proj" in text
    assert tree(work) == before


def test_a_sweep_replaces_only_stores_that_a_sweep_began(work):
    (work / "proj").mkdir()
    shutil.copy(work / "s.h5", work / "proj" / "features.h5")  # somebody's own, of all taps
    before, words = tree(work), ("sweep", work / "m.onnx", work / "clips", "-o", work / "proj", "--taps", "-1")
    code, text = birdprobe(*words, "--overwrite")
    assert code == 1 and "features.h5: taps" in text
    assert tree(work) == before
    config = {"format": "birdprobe/sweep", "unfinished": True, "files": []}  # what a killed sweep leaves
    (work / "proj" / "config.json").write_text(json.dumps(config))
    assert birdprobe(*words, "--overwrite", "--projection", "pca")[0] == 0
    assert json.loads((work / "proj" / "config.json").read_text())["files"]


def test_a_killed_sweep_is_known_as_a_sweep(work, monkeypatch):
    from birdprobe.probe.sweep import sweep

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "rank_cached", killed)
    words = ("sweep", work / "m.onnx", work / "clips", "-o", work / "new", "--projection", "pca")
    assert birdprobe(*words)[0] == 130
    assert json.loads((work / "new" / "config.json").read_text())["unfinished"]
    monkeypatch.undo()
    assert birdprobe(*words, "--taps", "-1", "--overwrite")[0] == 0


def test_a_sweep_into_a_folder_of_pictures_leaves_them(work):
    (work / "proj" / "figures").mkdir(parents=True)
    (work / "proj" / "figures" / "thesis.png").write_text("theirs")
    before = tree(work)
    assert birdprobe("sweep", work / "m.onnx", work / "clips", "-o", work / "proj")[0] == 1
    assert tree(work) == before


def test_figures_that_are_a_link(work):
    (work / "run" / "figures").rename(work / "theirs")
    (work / "run" / "figures").symlink_to(work / "theirs")
    before = tree(work)
    code, _ = birdprobe("sweep", work / "m.onnx", work / "clips", "-o", work / "run", "--overwrite")
    assert code == 1
    assert birdprobe("figures", work / "run")[0] == 1
    assert tree(work) == before


@pytest.mark.parametrize("command", ["train", "kernel", "paper"])
def test_commands_on_another_ones_folder(work, command):
    before = tree(work)
    source = {"train": work / "s.h5", "kernel": work / "m.onnx", "paper": work / "run"}[command]
    (work / "index.json").write_text('{"theirs": 1}')
    out = work if command == "paper" else work / "run"
    before = tree(work)
    code, text = birdprobe(command, *(["--run"] if command == "paper" else []), source, "-o", out, "--overwrite")
    assert code == 1, text
    assert tree(work) == before


@pytest.fixture
def members(tmp_path):
    rows = pd.Index([f"file_{i}" for i in range(5, 30, 5)], name="row_id")
    for name, seed in (("a", 0), ("b", 1)):
        values = np.random.default_rng(seed).uniform(size=(len(rows), 2))
        pd.DataFrame(values, rows, ["x", "y"]).to_csv(tmp_path / f"{name}.csv")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "there", "overwrite"),
    [
        ("o.csv", "o.json", False),
        ("o.json", "o.json", False),
        ("o.json", "other", True),
        ("a.csv", "other", True),
        ("o.csv/p.csv", "o.csv", True),
    ],
)
def test_a_blend_refuses_what_it_would_replace(members, output, there, overwrite):
    (members / there).write_text("theirs")
    before = tree(members)
    words = ("blend", members / "a.csv", members / "b.csv", "-o", members / output)
    code, text = birdprobe(*words, *(["--overwrite"] if overwrite else []))
    assert code == 1, text
    assert tree(members) == before


def test_a_blend_checks_its_comparison_too(members):
    shutil.copy(members / "a.csv", members / "truth.csv")
    truth = pd.read_csv(members / "truth.csv", index_col=0).round().astype(int)
    truth.to_csv(members / "truth.csv")
    (members / "q-comparison.png").write_text("theirs")
    before = tree(members)
    code, _ = birdprobe("blend", members / "a.csv", "-o", members / "q.csv", "--truth", members / "truth.csv")
    assert code == 1
    assert tree(members) == before


def test_a_blend_leaves_the_journal_of_a_killed_prediction(members):
    (members / "j.csv.part").write_text("journal")
    assert birdprobe("blend", members / "a.csv", "-o", members / "j.csv")[0] == 0
    assert (members / "j.csv.part").read_text() == "journal"


def test_an_export_does_not_write_through_a_dangling_link(work):
    (work / "out.csv").symlink_to(work / "theirs")
    before = tree(work)
    assert birdprobe("store", "export", work / "s.h5", "-o", work / "out.csv")[0] == 1
    assert tree(work) == before
    code, text = birdprobe("store", "export", work / "s.h5", "-o", work / "out.csv", "--overwrite")
    assert code == 0, text
    assert not (work / "theirs").exists()
