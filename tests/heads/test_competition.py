"""README's competition sequence at small size: clips and soundscapes through Wren to heads of three sources."""

import json

import pandas as pd
import pytest

from birdprobe.probe.demo import WREN
from tests.probe.test_cli import birdprobe

TAPS = ("--taps", "21,24,25")


def done(*args):
    run = birdprobe(*args)
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.slow
def test_the_published_protocol_runs_over_three_sources(tmp_path):
    comp = tmp_path / "comp"
    done("demo", "--competition", comp, "--species", 12, "--clips", 6, "--soundscapes", 9)
    done("extract", WREN, comp, "-o", tmp_path / "focal.h5", *TAPS)
    labels = done("extract", WREN, comp / "train_soundscapes_labels.csv", "-o", tmp_path / "soundscapes.h5", *TAPS)
    assert "list a window again" in labels.stderr  # every row of the real table occurs twice
    done("extract", WREN, comp / "train_soundscapes", "-o", tmp_path / "windows.h5", "--unlabelled", *TAPS)
    stores = (tmp_path / "focal.h5", tmp_path / "soundscapes.h5")
    settings = (*TAPS, "--taxonomy", comp / "taxonomy.csv", "--fold-by", "file", "--folds", 3, "--epochs", 8)
    done("train", *stores, "-o", tmp_path / "teacher", *settings)
    student = done(
        *("train", *stores, tmp_path / "windows.h5", "-o", tmp_path / "student", *settings),
        *("--pseudo-from", tmp_path / "teacher"),
    )
    assert "out-of-fold scores" in student.stderr
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert set(config["windows"]) == {"focal", "soundscape", "pseudo"}
    assert config["settings"]["fractions"] == [0.75, 0.15, 0.1]
    assert config["labels"] == list(pd.read_csv(comp / "taxonomy.csv", dtype=str)["primary_label"])
    truth = pd.read_csv(comp / "train_soundscapes_labels.csv").drop_duplicates()
    oof = pd.read_csv(tmp_path / "student" / "oof" / "attention.csv")
    assert len(oof["row_id"].unique()) == len(oof) == len(truth)  # each window predicted once
