"""A training goes on after a kill as if nothing had been, and never loses what is there."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.finetune import checkpoint
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.models import members
from birdprobe.finetune.training import fold_training as training_module
from birdprobe.finetune.training import resume
from birdprobe.finetune.training.loop import Loop
from birdprobe.finetune.training.train import train
from tests import pebble
from tests.finetune.training.test_train import log_without_times, same, weights
from tests.pebble import settings

ROOT = Path(__file__).resolve().parents[3]


CHANGES = {"state_every_s": 0.0, "ema": 0.9, "accumulate": 3}


def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(audio, recordings, tmp_path):
    step = 8  # in the third of four epochs of three steps
    command = [sys.executable, "-m", "tests.pebble", str(audio), str(tmp_path / "killed"), str(step), repr(CHANGES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert resume.load(tmp_path / "killed" / "fold0" / "state").facts["step"] == step - 1
    said = []
    train("pebble", recordings, tmp_path / "killed", settings(**CHANGES), resume=True, log=said.append)
    assert "going on at step 7 of 12" in said
    train("pebble", recordings, tmp_path / "whole", settings(**CHANGES))
    for name in ("last", "best"):
        assert same(weights(tmp_path / "killed", name), weights(tmp_path / "whole", name))
    assert log_without_times(tmp_path / "killed").equals(log_without_times(tmp_path / "whole"))
    assert (tmp_path / "killed/oof/fold0.csv").read_text() == (tmp_path / "whole/oof/fold0.csv").read_text()


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("module", "function", "call"),
    [
        (Loop, "train_step", 1),
        (Loop, "train_step", 6),  # the last step of an epoch
        (training_module.HeldOut, "predict", 2),
        (training_module.checkpoint, "save", 1),
        (training_module.checkpoint, "save", 4),  # between best and last, or after it
        (training_module.resume, "save", 5),
        (training_module.results, "write_log", 2),
        (training_module.results, "write_oof", 1),
        (training_module.resume, "clear", 2),
    ],
    ids=lambda value: str(value) if isinstance(value, str | int) else "",
)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_resumes_wherever_it_was_stopped(recordings, tmp_path, whole, monkeypatch, module, function, call, after):
    real, calls = getattr(module, function), []

    def stops(*args, **kwargs):
        calls.append(1)
        if len(calls) == call and not after:
            raise Killed
        result = real(*args, **kwargs)
        if len(calls) == call:
            raise Killed
        return result

    with monkeypatch.context() as patched:
        patched.setattr(module, function, stops)
        with pytest.raises(Killed):
            train("pebble", recordings, tmp_path / "run", settings(epochs=3, frozen_epochs=1, state_every_s=0.0))
    if function != "clear" or not after:  # then everything was done
        train("pebble", recordings, tmp_path / "run", settings(epochs=3, frozen_epochs=1, state_every_s=0.0))
    assert same(weights(tmp_path / "run"), weights(whole))
    assert same(weights(tmp_path / "run", "best"), weights(whole, "best"))
    assert log_without_times(tmp_path / "run").equals(log_without_times(whole))
    assert sorted(path.name for path in (tmp_path / "run" / "fold0").iterdir()) == [
        *("best.json", "best.safetensors", "last.json", "last.safetensors", "log.csv")
    ]


@pytest.fixture(scope="module")
def whole(recordings, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pebble.register()
    train("pebble", recordings, run, settings(epochs=3, frozen_epochs=1))
    members.MEMBERS.pop("pebble")
    torch.set_num_threads(threads)
    return run


def test_folds_share_one_configuration(recordings, tmp_path):
    run = tmp_path / "run"
    train("pebble", recordings, run, settings(epochs=1))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for changes, match in (
        ({"epochs": 2}, r"config.json: epochs: expected 1, as the run has, got 2. One run is one configuration"),
        ({"epochs": 1, "seed": 1}, r"data.sha256: expected .*, as the run has, got"),
        ({"epochs": 1, "augment": Augment.none()}, "augment.remove_mean: expected True, as the run has, got False"),
        ({"epochs": 1, "options": {"width": 9}}, "options.width: expected None, as the run has, got 9"),
    ):
        with pytest.raises(InputError, match=match):
            train("pebble", recordings, run, settings(**changes), fold=1)
    with pytest.raises(InputError, match="fold0: expected no finished fold, got one"):
        train("pebble", recordings, run, settings(epochs=1))
    with pytest.raises(InputError, match=r"fold1: expected an unfinished fold, got none"):
        train("pebble", recordings, run, settings(epochs=1), fold=1, resume=True)
    with pytest.raises(InputError, match=r"`--fold` must be one of 0 to 2 .*got 3"):
        train("pebble", recordings, run, settings(epochs=1), fold=3)
    with pytest.raises(InputError, match="no such file"):  # and a slip costs nothing, with --overwrite neither
        train("pebble", recordings, run, settings(epochs=1), init=tmp_path / "no", overwrite=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    # what only changes how fast it goes may differ
    train("pebble", recordings, run, settings(epochs=1, threads=1, cache="off"), fold=1)
    train("pebble", recordings, run, settings(epochs=1), fold=2)
    assert {path: path.read_bytes() for path in before if "fold0" in str(path)}.items() <= before.items()
    assert list(checkpoint.of_run(run)) == [0, 1, 2]
    table, truth = (predictions.read(run / "oof" / f"{name}.csv") for name in ("pebble", "truth"))
    assert len(table) == 3 * len(recordings.clips) and list(table.index) == list(truth.index)
    assert table.index.is_unique
    # an unfinished run of other settings is not gone on with
    with pytest.raises(InputError, match="epochs: expected 1, as the run has, got 5"):
        train("pebble", recordings, run, settings(epochs=5), fold=1, overwrite=True)  # 0 and 2 would not fit
    train("pebble", recordings, run, settings(epochs=1), fold=1, overwrite=True)


def test_an_unfinished_fold_is_not_lost_by_mistake(recordings, tmp_path, monkeypatch):
    def stops(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(training_module.results, "write_log", stops)
        train("pebble", recordings, tmp_path / "run", settings())
    with pytest.raises(InputError, match=r"expected no unfinished fold, got one. --resume to go on with it, --over"):
        train("pebble", recordings, tmp_path / "run", settings(), resume=False)
    with pytest.raises(InputError, match=r"learning_rate: expected 0.02, as the run has, got 0.5"):
        train("pebble", recordings, tmp_path / "run", settings(learning_rate=0.5))
    weights_file = next((tmp_path / "run" / "fold0" / "state").glob("step-*"))
    content = weights_file.read_bytes()
    weights_file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match=r"expected sha256 .*, got .*. --overwrite begins the fold anew"):
        train("pebble", recordings, tmp_path / "run", settings())
    train("pebble", recordings, tmp_path / "run", settings(), overwrite=True)


def test_refuses_folders_of_other_commands(recordings, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "ranking.csv").touch()
    with pytest.raises(InputError, match=r"sweep: expected a new folder, got other files \(ranking.csv\)"):
        train("pebble", recordings, tmp_path / "sweep", settings())
    (tmp_path / "sweep" / "config.json").write_text('{"format": "birdprobe/sweep"}')
    with pytest.raises(InputError, match="expected 'birdprobe/finetune' or another folder, got 'birdprobe/sweep'"):
        train("pebble", recordings, tmp_path / "sweep", settings(), overwrite=True)
    (tmp_path / "other" / "fold3").mkdir(parents=True)
    (tmp_path / "other" / "fold3" / "x").touch()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no member in it, so not written by `birdprobe finetune`"):
        train("pebble", recordings, tmp_path / "other", settings(), overwrite=True)


def test_files_of_others_and_links_are_left_alone(recordings, tmp_path):
    run = tmp_path / "run"
    train("pebble", recordings, run, settings(epochs=1))
    about = json.loads((run / "config.json").read_text())
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert about["format"] == "birdprobe/finetune"
    assert set(about["files"]) == there - {"config.json"} | {"fold0/throughput.json"}
    (run / "fold1").mkdir()
    (run / "fold1" / "log.csv").write_text("mine")
    with pytest.raises(InputError, match=r"log.csv: exists and was not written by `birdprobe finetune`"):
        train("pebble", recordings, run, settings(epochs=1), fold=1, overwrite=True)
    assert (run / "fold1" / "log.csv").read_text() == "mine"
    (run / "fold1" / "log.csv").unlink()
    (run / "fold1" / "best.safetensors").symlink_to(run / "fold0" / "best.safetensors")
    with pytest.raises(InputError, match=r"best.safetensors: a symbolic link found where results go"):
        train("pebble", recordings, run, settings(epochs=1), fold=1)


def test_a_run_of_an_earlier_edition_goes_on(recordings, tmp_path):
    """It has another format, no list of files, and the peaks of its clips beside its folds."""
    run = tmp_path / "run"
    train("pebble", recordings, run, settings(epochs=1))
    about = json.loads((run / "config.json").read_text())
    del about["files"]
    (run / "config.json").write_text(json.dumps(about | {"format": "birdprobe members 1"}))
    (run / "peaks.json").write_text("{}")
    with pytest.raises(InputError, match="fold0: expected no finished fold, got one"):
        train("pebble", recordings, run, settings(epochs=1))
    train("pebble", recordings, run, settings(epochs=1), fold=1)
    about = json.loads((run / "config.json").read_text())
    assert about["format"] == "birdprobe/finetune"
    assert {"fold0/best.json", "fold1/best.json", "oof/fold0.csv", "peaks.json"} <= set(about["files"])
    train("pebble", recordings, run, settings(epochs=1), overwrite=True)
    assert list(checkpoint.of_run(run)) == [0, 1]


def test_states_and_the_last_weights_are_written_when_due_and_not_each_epoch(recordings, tmp_path, monkeypatch):
    written = []
    for module, function in ((training_module.resume, "save"), (training_module.checkpoint, "save")):
        real = getattr(module, function)
        heard = lambda *args, real=real, **more: (written.append(Path(args[0]).name), real(*args, **more))  # noqa: E731
        monkeypatch.setattr(module, function, heard)
    train("pebble", recordings, tmp_path / "run", settings(epochs=5))
    assert written.count("state") == 1 and written.count("last") == 1 and written[-1] == "last"
    scores = pd.read_csv(tmp_path / "run" / "fold0" / "log.csv")["macro_auc"]
    assert written.count("best") == (scores > scores.cummax().shift(fill_value=-1.0)).sum()
