"""The training loop: it learns, and does what its settings say."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from birdprobe.analysis import metrics, predictions
from birdprobe.features import InputError
from birdprobe.finetune import checkpoint
from birdprobe.finetune.data.augment import Augment
from birdprobe.finetune.models import members
from birdprobe.finetune.training import fold_training as training_module
from birdprobe.finetune.training import results
from birdprobe.finetune.training.loop import Loop
from birdprobe.finetune.training.train import train
from tests import pebble
from tests.pebble import settings

ROOT = Path(__file__).resolve().parents[3]


def weights(run, name="last", fold=0):
    return load_file(run / f"fold{fold}" / f"{name}.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def log_without_times(run):
    return pd.read_csv(run / "fold0" / "log.csv").drop(columns=["seconds", "clips_per_s"])


def test_learns_and_writes_what_it_says(recordings, tmp_path):
    said = []
    trained = train("pebble", recordings, tmp_path / "run", settings(epochs=12), log=said.append)
    log = pd.read_csv(tmp_path / "run" / "fold0" / "log.csv")
    assert tuple(log.columns) == results.LOG and list(log["epoch"]) == list(range(1, 13))
    assert log["loss"].iloc[-6:].mean() < 0.9 * log["loss"].iloc[0]
    assert trained.log["accuracy"].iloc[-1] > 0.8  # chance is 1/3
    assert any("12/12" in line for line in said)
    # the best checkpoint is that of the best epoch, and describes itself
    model, description = checkpoint.load(trained.best, labels=("tone0", "tone1", "tone2"))
    assert description.epoch == log["epoch"][log["macro_auc"].argmax()] and description.fold == 0
    assert description.metrics["macro_auc"] == pytest.approx(log["macro_auc"].max())
    assert description.init == {"source": "random"} and description.settings["recipe"]["epochs"] == 12
    assert checkpoint.describe(tmp_path / "run" / "fold0" / "last", checkpoint.Description).epoch == 12
    # what it predicted is what its best weights predict, and scores as it says
    table = predictions.read(tmp_path / "run" / "oof" / "fold0.csv")
    truth = predictions.read(tmp_path / "run" / "oof" / "truth-fold0.csv")
    assert list(table.index) == list(truth.index) and table.index[0].startswith("G")
    held = {clip.name.split("/")[1].removesuffix(".wav") for clip in recordings.clips}
    assert {name.rsplit("_", 1)[0] for name in table.index} < held and len(table) == 3 * 12  # 12 clips of 0.5 s
    clips = table.groupby(lambda name: name.rsplit("_", 1)[0])
    logits = np.log(table / (1 - table)).groupby(lambda name: name.rsplit("_", 1)[0]).mean()
    assert metrics.macro_auc(clips_truth(truth), logits.to_numpy()) == pytest.approx(trained.metrics["macro_auc"])
    assert len(clips) == 12 and not (tmp_path / "run" / "fold0" / "state").exists()
    window = torch.zeros(2, description.window_samples)
    assert model(window).shape == (2, 3)


def clips_truth(truth):
    return truth.groupby(lambda name: name.rsplit("_", 1)[0]).max().to_numpy() > 0


def test_the_caller_s_random_numbers_are_left_alone(recordings, tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train("pebble", recordings, tmp_path / "run", settings(epochs=1))
    assert torch.equal(torch.rand(3), wanted)


def test_pieces_of_a_batch_give_the_gradient_of_the_whole(recordings, tmp_path):
    plain = {"drop_path": 0.0, "options": {"norm": False}, "epochs": 2}  # what sees pieces one by one
    for pieces in (1, 3):
        train("pebble", recordings, tmp_path / str(pieces), settings(accumulate=pieces, **plain))
    whole, parts = weights(tmp_path / "1"), weights(tmp_path / "3")
    assert all(torch.allclose(whole[name], parts[name], rtol=1e-4, atol=1e-5) for name in whole)


def test_only_the_head_learns_while_the_rest_is_frozen(audio, recordings, tmp_path):
    begun = tmp_path / "begun" / "fold0" / "last.safetensors"
    train("pebble", recordings, tmp_path / "begun", settings(epochs=1))
    train("pebble", recordings, tmp_path / "run", settings(epochs=2, frozen_epochs=2), init=begun)
    before, after = load_file(begun), weights(tmp_path / "run")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias"}  # running statistics stay, too
    init = checkpoint.describe(tmp_path / "run" / "fold0" / "best", checkpoint.Description).init
    assert init["source"] == "file" and init["sha256"] == checkpoint.sha256(begun)
    # of random weights nothing is frozen, and that is said
    trained = train("pebble", recordings, tmp_path / "random", settings(epochs=1, frozen_epochs=1))
    assert any("1 frozen epochs left out" in line for line in trained.warnings)


def test_the_average_is_what_is_kept(recordings, tmp_path):
    seen = []

    class Watched(Loop):
        def train_step(self, *args):
            loss = super().train_step(*args)
            seen.append(self.network.head.bias.detach().clone())
            return loss

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_module, "Loop", Watched)
        train("pebble", recordings, tmp_path / "run", settings(epochs=2, ema=0.9))
    torch.manual_seed(0)
    first = members.assemble(pebble.PEBBLE, 3).network.head.bias.detach()
    average = first
    for step, now in enumerate(seen):
        average = torch.lerp(average, now, 1 - min(0.9, (1 + step) / (10 + step)))
    assert torch.allclose(weights(tmp_path / "run")["head.bias"], average, atol=1e-6)


def test_what_goes_wrong_beside_the_training_ends_it(recordings, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise InputError("no space left on the disk")

    monkeypatch.setattr(training_module.checkpoint, "save", full)
    with pytest.raises(InputError, match="no space left on the disk"):
        train("pebble", recordings, tmp_path / "run", settings(epochs=2))


def test_a_training_that_explodes_says_so(recordings, tmp_path):
    with pytest.raises(InputError, match=r"epoch 1: expected a finite loss, got nan. A lower --lr"):
        train("pebble", recordings, tmp_path / "run", settings(learning_rate=1e30, clip_norm=0.0))


def test_clips_without_birds_are_mixed_in(audio, recordings, tmp_path):
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    (quiet / "a.wav").write_bytes((audio / "tone0" / "G00-0.wav").read_bytes())
    every = Augment(nocall_p=1.0)  # all batches are silence about the classes
    trained = train("pebble", recordings, tmp_path / "run", settings(augment=every), background=quiet)
    assert trained.log["loss"].iloc[-1] < 0.5 and not trained.warnings
    model, _ = checkpoint.load(trained.run / "fold0" / "last")
    assert model(torch.randn(4, 6400)).sigmoid().mean() < 0.4
    with pytest.raises(
        InputError, match=r"--background .*: expected a folder of recordings without birds, got no audio"
    ):
        train("pebble", recordings, tmp_path / "b", settings(), background=tmp_path / "nothing")


def test_reads_a_taxonomy_s_classes(recordings, tmp_path):
    labels = ("zebra", "tone2", "tone0", "tone1")
    trained = train("pebble", recordings, tmp_path / "run", settings(epochs=1), labels=labels)
    assert checkpoint.describe(trained.best, checkpoint.Description).labels == labels
    truth = predictions.read(tmp_path / "run" / "oof" / "truth.csv")
    assert tuple(truth.columns) == labels and truth["zebra"].sum() == 0 and truth["tone0"].sum() == 12


@pytest.mark.slow
def test_two_processes_train_as_one(audio, recordings, tmp_path):
    # no dropout, no batch norm, no chance: then only the order of sums differs
    plain = {"drop_path": 0.0, "options": {"norm": False}}
    train("pebble", recordings, tmp_path / "begun", settings(epochs=1, **plain))  # so that there is something to freeze
    begun = tmp_path / "begun" / "fold0" / "last.safetensors"
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, torch\n"
        "from accelerate import Accelerator\n"
        "from pathlib import Path\n"
        "from birdprobe.finetune.data.augment import Augment\n"
        "from birdprobe.finetune.training.train import train\n"
        "from tests import pebble\n"
        "torch.set_num_threads(1)\n"
        "pebble.register()\n"
        "assert Accelerator(cpu=True).num_processes == int(sys.argv[2])\n"
        f"s = pebble.settings(augment=Augment.none(), epochs=3, frozen_epochs=1, **{plain!r})\n"
        f"audio, begun = Path({str(audio)!r}), Path({str(begun)!r})\n"
        "train('pebble', pebble.read_audio(audio), Path(sys.argv[1]), s, init=begun)\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]  # accelerate's own makes one on a CPU
    for n in ("1", "2"):
        command = [*launch, "--nproc_per_node", n, str(script), str(tmp_path / n), n]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
    logs = [log_without_times(tmp_path / n) for n in ("1", "2")]
    np.testing.assert_allclose(logs[0].to_numpy(float), logs[1].to_numpy(float), rtol=1e-3)
    tables = [predictions.read(tmp_path / n / "oof" / "fold0.csv") for n in ("1", "2")]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3)
