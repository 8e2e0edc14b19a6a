"""The command as a user meets it: a whole sweep, and every kind of bad input as one line and exit 1."""

import contextlib
import io
import json
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
from onnx import TensorProto, helper

from birdprobe.features.store import FeatureStore
from birdprobe.probe.cli.app import main
from tests.graphs import Nodes
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

COLUMNS = (
    *("tap", "index", "stage", "dim", "knn", "knn_lo", "knn_hi", "p_best", "vs_last", "vs_last_lo", "vs_last_hi"),
    *("vs_last_p", "linear", "logme", "ms_per_window", "ms_spread"),
)
OPTIONS = ("--sample-rate", "8000", "--window", "1", "--folds", "3", "--projection", "pca")
GROUPS = ("--group-regex", r"^(G\d+)-")


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def birdprobe(*args) -> Done:
    """The command's entry point in this process; what is not an exit is a bug and fails the test with its traceback."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["birdprobe", *map(str, args)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
    return Done(code, out.getvalue(), err.getvalue())


def one_line(done) -> str:
    """The single line that a refusal prints; progress lines before it are allowed, a traceback is not."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("birdprobe: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_backbone(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    return tiny_dataset(tmp_path_factory.mktemp("audio"))


@pytest.fixture(scope="module")
def swept(model, audio, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    done = birdprobe("sweep", model, audio, "-o", run, *OPTIONS, *GROUPS)
    assert done.returncode == 0, done.stderr
    return run, done


def test_sweep_writes_the_whole_run_folder(swept):
    run, done = swept
    table = pd.read_csv(run / "ranking.csv")
    assert list(table.columns) == list(COLUMNS)
    assert list(table["tap"]) == ["block_00", "block_01", "block_02", "block_03", "embedding", "logits"]
    config = json.loads((run / "config.json").read_text())
    assert config["grouping"] != "none" and config["audio"]["groups"] == 9
    assert config["answer"]["best"] in set(table["tap"])
    for name in ("features.h5", "ranking.md", "projection.csv", "report.html"):
        assert (run / name).stat().st_size > 0
    for name in ("depth", "architecture", "trajectories", "classes"):
        assert (run / "figures" / f"{name}.png").exists()
    assert "report.html" in done.stdout and "block_03" in done.stdout
    assert all(line in done.stdout for line in config["conclusion"]["lines"])
    for name in ("label_free.csv", "cka.csv", "readouts.csv", "answer.json"):
        assert (run / name).stat().st_size > 0


def test_sweep_agrees_with_its_own_predictions(swept):
    run, _ = swept
    table = pd.read_csv(run / "ranking.csv").set_index("tap")
    predictions = pd.read_csv(run / "predictions.csv")
    for tap in table.index:
        assert (predictions[tap] == predictions["label"]).mean() == pytest.approx(table.loc[tap, "knn"], abs=1e-5)


def test_finished_run_is_refused_without_overwrite(swept, model, audio):
    run, _ = swept
    before = (run / "ranking.csv").read_bytes()
    assert "--overwrite" in one_line(birdprobe("sweep", model, audio, "-o", run, *OPTIONS, *GROUPS, "--k", "3"))
    assert (run / "ranking.csv").read_bytes() == before
    done = birdprobe("sweep", model, audio, "-o", run, *OPTIONS, *GROUPS)
    assert done.returncode == 0 and "already done" in done.stderr and "Report: " in done.stdout
    assert (run / "ranking.csv").read_bytes() == before


def test_strangers_files_are_never_taken_for_a_run(model, audio, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert "thesis.txt" in one_line(birdprobe("sweep", model, audio, "-o", tmp_path, *OPTIONS))
    assert birdprobe("sweep", model, audio, "-o", tmp_path, *OPTIONS, "--overwrite").returncode == 0
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_blocks_names_every_tap_whole_where_there_is_no_terminal(tmp_path):
    x, names = "audio", ["a_tensor_with_quite_a_long_name_" * 4 + str(i) for i in range(12)]
    nodes = Nodes()
    for i, name in enumerate(names):
        x = nodes.add("Relu", nodes.add("Conv", x, nodes.random(4, 4 if i else 1, 3), pads=[1, 1]), name=name)
    path = tmp_path / "long.onnx"
    onnx.save(nodes.model({"audio": ["n", 1, 8000]}, {x: ["n", 4, 8000]}), path)
    out = birdprobe("blocks", path).stdout
    assert "…" not in out and "block_10" in out and names[5] in out


def test_blocks_json_keeps_its_contract(model):
    found = json.loads(birdprobe("blocks", model, "--json").stdout)
    assert len(found["blocks"]) == 4
    assert {"index", "name", "kind", "stage", "channels", "map", "tensor", "macs"} <= set(found["blocks"][0])
    assert {"name", "shape"} <= set(found["outputs"][0]) and found["inputs"]


def test_not_an_onnx_file(tmp_path, audio):
    (tmp_path / "model.onnx").write_text("<html>404</html>")
    assert "model.onnx" in one_line(birdprobe("sweep", tmp_path / "model.onnx", audio, "-o", tmp_path / "r", *OPTIONS))
    assert "nowhere.onnx" in one_line(birdprobe("blocks", tmp_path / "nowhere.onnx"))


def test_truncated_onnx(model, tmp_path, audio):
    whole = model.read_bytes()
    for keep in (len(whole) // 2, len(whole) - 200):
        (tmp_path / "cut.onnx").write_bytes(whole[:keep])
        assert "cut.onnx" in one_line(birdprobe("sweep", tmp_path / "cut.onnx", audio, "-o", tmp_path / "r", *OPTIONS))


def test_model_with_several_inputs(tmp_path, audio):
    ins = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 8000]) for n in ("left", "right")]
    outs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["b", 8000])]
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "two", ins, outs)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "two.onnx"
    )
    line = one_line(birdprobe("sweep", tmp_path / "two.onnx", audio, "-o", tmp_path / "r", *OPTIONS))
    assert "left" in line and "right" in line


def test_empty_folder(model, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in one_line(birdprobe("sweep", model, tmp_path / "empty", "-o", tmp_path / "r", *OPTIONS))


def test_class_with_fewer_clips_than_folds(model, tmp_path):
    audio = tiny_dataset(tmp_path / "audio", clips=4)
    options = [*OPTIONS, "--folds", "5"]
    line = one_line(birdprobe("sweep", model, audio, "-o", tmp_path / "r", *options))
    assert (
        f"{audio}: got 0 of 3 classes with 5 clips or more" in line and "--folds" in line and "Try `--folds 4`?" in line
    )


def test_bad_audio_is_skipped_counted_and_listed(model, tmp_path):
    audio = tiny_dataset(tmp_path / "audio", clips=8)
    place = audio / "species 0"
    good = (place / "G0-0.wav").read_bytes()
    (place / "G90-truncated.wav").write_bytes(good[: len(good) // 2])
    (place / "G91-empty.wav").write_bytes(b"")
    soundfile.write(place / "G92-silent.wav", np.zeros(9000, np.float32), SAMPLE_RATE)
    soundfile.write(place / "G93-nan.wav", np.full(9000, np.nan, np.float32), SAMPLE_RATE, subtype="FLOAT")
    (place / "G94-text.wav").write_text("not audio")
    done = birdprobe("sweep", model, audio, "-o", tmp_path / "r", *OPTIONS, *GROUPS)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert len(config["skipped"]) == 5 and config["audio"]["clips"] == 24
    assert (
        "5 clips could not be used: 'species 0/G90-truncated.wav', " in done.stderr and " and 2 more; " in done.stderr
    )
    page = (tmp_path / "r" / "report.html").read_text()
    for name in ("truncated", "empty", "silent", "nan", "text"):
        assert any(name in s["file"] for s in config["skipped"]) and f"-{name}.wav" in page


def test_store_of_another_model(model, audio, tmp_path):
    other = tiny_backbone(tmp_path / "other.onnx", seed=1)
    store = tmp_path / "features.h5"
    flags = ("--sample-rate", "8000", "--window", "1")
    assert birdprobe("extract", model, audio, "-o", store, *flags).returncode == 0
    before = store.read_bytes()
    assert "model_sha256" in one_line(birdprobe("extract", other, audio, "-o", store, *flags))
    assert store.read_bytes() == before


def test_store_commands(model, audio, tmp_path):
    store = tmp_path / "features.h5"
    flags = ("--sample-rate", "8000", "--window", "1", "--taps", "-1,embedding")
    assert birdprobe("extract", model, audio, "-o", store, *flags).returncode == 0
    assert "block_03" in birdprobe("store", "info", store).stdout
    assert birdprobe("store", "check", store).returncode == 0
    assert birdprobe("store", "export", store, "-o", tmp_path / "out.npz").returncode == 0
    arrays = np.load(tmp_path / "out.npz", allow_pickle=False)
    assert {"block_03", "embedding"} <= set(arrays) and "block_00" not in arrays
    assert "out.npz" in one_line(birdprobe("store", "export", store, "-o", tmp_path / "out.npz"))
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(arrays["embedding"])
    with FeatureStore.open(store) as opened:
        np.testing.assert_array_equal(opened.read("embedding"), arrays["embedding"])


def test_full_disk_is_one_line_and_the_store_resumes(model, tmp_path):
    audio = tiny_dataset(tmp_path / "audio", clips=10, seconds=4)
    flags = ("--sample-rate", "8000", "--window", "1")
    command = ("extract", model, audio, "-o", tmp_path / "features.h5", *flags)

    def small_files():  # writes past this size fail with EFBIG, as a quota does
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    program = [sys.executable, "-B", "-c", "from birdprobe.probe.cli.app import main; main()", *map(str, command)]
    here = Path(__file__).parents[2]
    line = one_line(subprocess.run(program, preexec_fn=small_files, cwd=here, capture_output=True, text=True))
    assert "features.h5" in line
    assert birdprobe(*command).returncode == 0
    assert birdprobe("store", "check", tmp_path / "features.h5").returncode == 0


def test_labels_that_differ_only_by_case_are_warned_of(model, tmp_path):
    audio = tiny_dataset(tmp_path / "audio")
    shutil.copytree(audio / "species 1", audio / "Species 1")
    done = birdprobe("sweep", model, audio, "-o", tmp_path / "r", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert "Species 1" in done.stderr and "species 1" in done.stderr


def test_unknown_tap_and_unknown_window_rule(model, audio, tmp_path):
    flags = ("-o", tmp_path / "r", *OPTIONS)
    assert "block_99" in one_line(birdprobe("sweep", model, audio, *flags, "--taps", "block_99"))
    assert "sometimes" in one_line(birdprobe("sweep", model, audio, *flags, "--select", "sometimes"))


def test_usage_errors_exit_with_2():
    assert birdprobe("sweep").returncode == 2
    assert birdprobe("swep").returncode == 2
