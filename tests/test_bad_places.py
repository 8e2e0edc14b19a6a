"""Places that cannot be read or written, and options that no run can follow: one line, at once, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from birdprobe.analysis import predictions
from birdprobe.features import InputError
from birdprobe.features.files import check_new, check_regular
from birdprobe.features.recordings.tables.text import read_table
from birdprobe.probe.api import extract
from birdprobe.probe.cli.app import app
from birdprobe.probe.extraction.clip_batches import _WindowBatches
from birdprobe.probe.soundscapes.placement import Placement
from birdprobe.probe.sweep.settings import Settings
from birdprobe.probe.sweep.sweep import sweep
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

GIVEN = {"sample_rate": SAMPLE_RATE, "progress": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    tiny_backbone(folder / "m.onnx")
    tiny_dataset(folder / "clips")
    extract(folder / "m.onnx", folder / "clips", folder / "s.h5", **GIVEN)
    return folder


def birdprobe(*words, before: str = "") -> tuple[int, str]:
    """In a process of its own, as a user runs it; `before`: Python to run first."""
    code = (
        f"import sys; {before or 'pass'}\nfrom birdprobe.probe.cli.app import main\nsys.argv[0] = 'birdprobe'; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def one_line(text: str) -> bool:
    return "Traceback" not in text and len([line for line in text.splitlines() if line.startswith("birdprobe: ")]) == 1


@pytest.mark.parametrize("command", ["info", "score", "extract", "blend", "figures", "blocks", "output"])
def test_a_pipe_is_not_waited_for(made, tmp_path, command):
    os.mkfifo(tmp_path / "pipe.csv")
    words = {
        "info": ("store", "info", tmp_path / "pipe.csv"),
        "extract": ("extract", made / "m.onnx", tmp_path / "pipe.csv", "-o", tmp_path / "o.h5"),
        "score": ("score", tmp_path / "pipe.csv", tmp_path / "pipe.csv"),
        "blend": ("blend", tmp_path / "pipe.csv", "-o", tmp_path / "o.csv"),
        "output": ("store", "export", made / "s.h5", f"--output={tmp_path / 'pipe.csv'}"),
    }.get(command, (command, tmp_path / "pipe.csv"))
    code, text = birdprobe(*words)
    assert code == 1 and one_line(text) and "expected a file, got a pipe" in text
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]


def test_a_pipe_among_the_clips_is_one_skipped_file(made, tmp_path):
    tiny_dataset(tmp_path / "clips", classes=2)
    os.mkfifo(tmp_path / "clips" / "species 0" / "pipe.wav")
    done = extract(made / "m.onnx", tmp_path / "clips", tmp_path / "s.h5", **GIVEN)
    assert [(one.file, "a pipe" in one.reason) for one in done.skipped] == [("species 0/pipe.wav", True)]
    for read in (check_regular, predictions.read):
        with pytest.raises(InputError, match="a pipe"):
            read(tmp_path / "clips" / "species 0" / "pipe.wav")


@pytest.mark.parametrize("limit", [2048, 65_536])
@pytest.mark.parametrize("command", ["extract", "export", "sweep"])
def test_a_disk_that_is_full(made, tmp_path, command, limit):
    """A limit on the size of files gives the same errors as a full disk, at any byte that one likes."""
    words = {
        "extract": ("extract", made / "m.onnx", made / "clips", "-o", tmp_path / "o.h5", "--sample-rate", 8000),
        "export": ("store", "export", made / "s.h5", "-o", tmp_path / "o.npz"),
        "sweep": ("sweep", made / "m.onnx", made / "clips", "-o", tmp_path / "o", "--sample-rate", 8000, "--no-timing"),
    }[command]
    if command == "export" and limit > 2048:
        pytest.skip("fits")
    code, text = birdprobe(*words, before=f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit},) * 2)")
    assert code == 1 and one_line(text) and "no space left on the disk" in text, text
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left in ([], ["o.h5"], ["config.json", "features.h5"])  # an unfinished store is resumed, a sweep's is marked
    if left == ["config.json", "features.h5"]:
        assert json.loads((tmp_path / "o" / "config.json").read_text())["unfinished"]


@pytest.mark.parametrize(
    ("output", "said"),
    [("m.onnx/o.h5", "a parent folder"), ("x" * 300 + ".h5", "too long"), ("clips", "a folder")],
)
def test_outputs_are_refused_before_the_model_is_opened(made, output, said):
    lines = []
    with pytest.raises(InputError, match=said):
        extract(made / "m.onnx", made / "clips", made / output, log=lines.append, **GIVEN)
    assert not lines


OUTPUTS = {
    "extract": ("m.onnx", "clips"),
    "sweep": ("m.onnx", "clips"),
    "train": ("s.h5",),
    "fuse": ("nowhere", "m.onnx"),
    "predict": ("nowhere", "clips"),
    "events": ("nowhere", "clips"),
    "kernel": ("nowhere",),
    "blend": ("nowhere.csv",),
    "export": ("nowhere",),
    "finetune": ("clips",),
    "compare": ("nowhere", "nowhere"),
    "paper": ("nowhere",),
    "convert": ("nowhere.tflite",),
    "randomise": ("m.onnx",),
    "experiment": ("priors", "nowhere"),
    "store export": ("s.h5",),
    "demo": (),
}


@pytest.mark.parametrize("command", OUTPUTS)
def test_an_output_that_cannot_be_written_is_the_first_thing_said(made, command):
    """/proc takes no files, not even from the superuser."""
    words = [str(made / word) for word in OUTPUTS[command]]
    done = CliRunner().invoke(app, [*command.split(), *words, "-o", "/proc/nope/out.csv"])
    assert isinstance(done.exception, InputError), done.output
    assert str(done.exception).startswith("/proc/nope/out.csv: no permission to write there")


@pytest.mark.parametrize("command", sorted({*OUTPUTS, "demo --competition"} - {"finetune", "paper", "experiment"}))
def test_an_output_that_is_a_dangling_link_is_called_so_and_stays(made, tmp_path, command):
    link = tmp_path / ("o.csv" if command in ("blend", "predict", "events") else "o.onnx")
    link.symlink_to(tmp_path / "nowhere")
    words = [str(made / word) for word in OUTPUTS.get(command, ())]
    if command == "store export":
        words += ["--format", "csv"]
    flag = () if command == "demo --competition" else ("-o",)
    done = CliRunner().invoke(app, [*command.split(), *words, *flag, str(link)])
    assert isinstance(done.exception, InputError), done.output
    assert str(done.exception).startswith(f"{link}: ") and "a dangling symbolic link" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == [link.name] and link.is_symlink()


def test_an_output_that_can_be_written_is_left_as_it_was(tmp_path):
    check_new(tmp_path / "a" / "b.csv", overwrite=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("read", [predictions.read, read_table])
def test_a_cell_without_an_end(tmp_path, read):
    path = tmp_path / "long.csv"
    path.write_text(f"row_id,{'x' * 140_000}\na_5,0\n")
    with pytest.raises(InputError, match=r"long\.csv: not a readable CSV: a cell longer than 131,072 characters"):
        read(path)


RANGE, TYPE = "`--seed` must be a whole number from 0 to", "`seed` must be a whole number, got"


@pytest.mark.parametrize(("seed", "said"), [(-1, RANGE), (2**32, RANGE), (1.5, TYPE), (True, TYPE)])
def test_seeds_that_no_generator_takes(made, tmp_path, seed, said):
    with pytest.raises(InputError, match=said):
        extract(made / "m.onnx", made / "clips", tmp_path / "o.h5", seed=seed, **GIVEN)
    with pytest.raises(InputError, match=said):
        Settings(seed=seed).check()


@pytest.mark.parametrize("window_s", [float("nan"), float("inf"), -1.0, 0.0, 1e9])
def test_windows_of_no_length(made, tmp_path, window_s):
    with pytest.raises(InputError, match="`--window` must be above 0 s and at most 3,600 s"):
        extract(made / "m.onnx", made / "clips", tmp_path / "o.h5", window_s=window_s, **GIVEN)


def test_options_that_no_run_can_follow(made, tmp_path):
    with pytest.raises(InputError, match=r"`--row` must be at most 86,400 s, got 1e\+09"):
        Placement(1e9)
    with pytest.raises(InputError, match="`--batch-size` must be at most 65536, got 9223372036854775808"):
        extract(made / "m.onnx", made / "clips", tmp_path / "o.h5", batch_size=2**63, **GIVEN)
    with pytest.raises(InputError, match="`--batch-size` must leave room in memory, got 65536 windows"):
        _WindowBatches(SimpleNamespace(window_samples=2**40), 65536)
    lines = []
    with pytest.raises(InputError, match="k = 100, but only 14 training rows"):
        sweep(made / "m.onnx", made / "clips", tmp_path / "o", k=100, log=lines.append, **GIVEN)
    assert not any("opening" in line for line in lines) and not (tmp_path / "o").exists()


def test_a_table_of_100000_columns(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("row_id," + ",".join(f"c{i}" for i in range(100_000)) + "\na_5" + ",0" * 100_000 + "\n")
    with pytest.raises(InputError, match="100,000 class columns found, expected at most 50,000"):
        predictions.read(path)
    code, text = birdprobe("extract", tmp_path / "m.onnx", path, "-o", tmp_path / "o.h5")
    assert code == 1 and "100,001 columns, expected at most 20,000" in text


NO_CACHE = "import numba.core.caching; numba.core.caching.CacheImpl._locator_classes = []"  # as on a read-only disk


@pytest.mark.slow
def test_a_sweep_where_no_cache_can_be_written(made, tmp_path):
    words = ("sweep", made / "m.onnx", made / "clips", "-o", tmp_path / "run", "--sample-rate", 8000, "--no-timing")
    words += ("--projection", "umap")
    code, text = birdprobe(*words, before=NO_CACHE)
    assert code == 0, text
    assert "UMAP cannot be loaded" in text and "PCA's" in text
    assert {"ranking.csv", "report.html", "projection.csv"} <= {path.name for path in (tmp_path / "run").iterdir()}


def test_pictures_cannot_lose_the_results(made, tmp_path, monkeypatch):
    from birdprobe.figures import gallery

    def fail(run):
        raise OSError("no font")

    monkeypatch.setitem(gallery.FIGURES, "depth", fail)
    lines = []
    run = sweep(made / "m.onnx", made / "clips", tmp_path / "run", projection="pca", log=lines.append, **GIVEN)
    assert any("figure depth could not be drawn (OSError: no font)" in line for line in lines)
    assert run.report.is_file() and np.isfinite(run.ranking["knn"]).all()
    assert (Path(run.path) / "figures" / "classes.png").is_file()
