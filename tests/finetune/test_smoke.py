"""The smoke training of real members: every stage at a small size; and what a kill does to it."""

import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.finetune import checkpoint
from birdprobe.finetune.training.train import train
from tests import pebble

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread():
    """So that sums are in the same order in every process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_smoke_needs_nothing_and_passes_every_stage(tmp_path):
    run, said = tmp_path / "run", []
    trained = train("birdmae-large", None, run, smoke=True, log=said.append)
    model, description = checkpoint.load(trained.best)
    assert description.member == "birdmae-tiny" and list(trained.log["epoch"]) == [1, 2]  # frozen, then full
    assert model(torch.zeros(1, 160000)).shape == (1, 2)
    train("birdmae-large", None, run, smoke=True, fold=1)  # the second fold of the same made-up songs
    table, truth = (predictions.read(run / "oof" / f"{name}.csv") for name in ("birdmae-tiny", "truth"))
    assert table.shape == (20, 2) and list(table.index) == list(truth.index) and truth.sum().sum() == 20
    with pytest.raises(InputError, match=r"expected recordings, got none. Only --smoke can do without"):
        train("birdmae-tiny", None, tmp_path / "other")
    with pytest.raises(InputError, match=r"smoke: expected True, as the run has, got False"):
        train("birdmae-tiny", pebble.read_recordings(run / "smoke-audio"), run, fold=2, overwrite=True)


@pytest.mark.slow
def test_accelerate_launches_it_from_a_folder_of_other_packages(tmp_path):
    for room in ("analysis", "features"):
        (tmp_path / f"{room}.py").write_text("raise SystemExit('not this one')")
    command = ["-m", "accelerate.commands.launch", "--cpu", "-m", "birdprobe", "finetune", "birdmae-large"]
    done = subprocess.run(
        [sys.executable, *command, "-o", "run", "--smoke"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("run/fold0/best.json: epoch ")


@pytest.mark.slow
@pytest.mark.parametrize("member", ["birdmae-tiny", "efficientnet-b1", "sed-b0"])
def test_a_killed_member_ends_with_the_weights_of_one_that_was_not(member, tmp_path):
    audio = pebble.write_audio(tmp_path / "audio")
    command = [sys.executable, "-m", "tests.pebble", str(audio), str(tmp_path / "killed"), "3", member]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    said = []
    for run in ("killed", "whole"):
        train(member, pebble.read_audio(audio), tmp_path / run, smoke=True, log=said.append)
    assert sum("going on at step 2 of 4" in line for line in said) == 1
    for name in ("last", "best"):
        killed, whole = (load_file(tmp_path / run / "fold0" / f"{name}.safetensors") for run in ("killed", "whole"))
        assert all(torch.equal(killed[key], whole[key]) for key in whole)
    logs = [
        pd.read_csv(tmp_path / run / "fold0" / "log.csv")[["step", "lr", "loss", "cmap"]] for run in ("killed", "whole")
    ]
    pd.testing.assert_frame_equal(*logs, check_exact=True)
