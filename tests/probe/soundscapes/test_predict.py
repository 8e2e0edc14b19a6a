"""Soundscapes in, a valid submission out, on a small backbone: the same bytes however it came to be."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from birdprobe.analysis import predictions
from birdprobe.features import InputError, audio
from birdprobe.features.playback import Playback
from birdprobe.heads.fuse import fuse
from birdprobe.heads.head_predictor import find_model
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.probe.assets import WREN
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import predict
from birdprobe.probe.soundscapes.journal import read
from birdprobe.probe.soundscapes.predictor import read_labels
from birdprobe.probe.soundscapes.predictor.onnx_file import activated
from tests.heads.test_fuse import opened
from tests.heads.untrained import LABELS, make_run, two_steps
from tests.tiny import SAMPLE_RATE, tiny_backbone

CLASSES = [f"species {i}" for i in range(7)]
TOKENS = ("block_00", "block_02")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """model.onnx (seven classes), labels.txt, and sounds/: five files of 6 s, one of 3.5 s at another rate."""
    folder = tmp_path_factory.mktemp("predict")
    tiny_backbone(folder / "model.onnx")
    (folder / "labels.txt").write_text("\n".join(CLASSES) + "\n")
    sounds = folder / "sounds"
    sounds.mkdir()
    rng = np.random.default_rng(0)
    for i in range(5):
        write(sounds / f"r{i}.wav", rng.normal(0, 0.1, 6 * SAMPLE_RATE))
    write(sounds / "short.flac", rng.normal(0, 0.1, 56_000), 16_000)
    return folder


@pytest.fixture(scope="module")
def predictor(place):
    return open_predictor(place / "model.onnx", labels=place / "labels.txt", sample_rate=SAMPLE_RATE)


def write(path: Path, wave: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    soundfile.write(path, np.clip(wave, -1, 1), rate)
    return path


def about(out: Path) -> dict:
    return json.loads(out.with_suffix(".json").read_text())


def test_rows_are_the_models_own_numbers(place, predictor, tmp_path):
    out = tmp_path / "deep" / "submission.csv"
    done = predict(predictor, place / "sounds", out, command="birdprobe predict ...")
    table = predictions.read_predictions(out)
    assert list(table.columns) == CLASSES
    lengths = {**{f"r{i}": 6 for i in range(5)}, "short": 4}
    assert list(table.index) == [f"{stem}_{s}" for stem, n in lengths.items() for s in range(1, n + 1)]
    backbone = Backbone.open(place / "model.onnx", "logits", sample_rate=SAMPLE_RATE)
    for stem, suffix in (("r3", ".wav"), ("short", ".flac")):
        wave = audio.read(place / "sounds" / f"{stem}{suffix}", SAMPLE_RATE)
        wave = np.pad(wave, (0, -len(wave) % SAMPLE_RATE)).reshape(-1, SAMPLE_RATE)
        logits = backbone(wave)["logits"].astype(np.float64)
        np.testing.assert_allclose(table.loc[table.index.str.startswith(stem)], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert (done.rows, done.files, done.resumed, done.fallback_rows, done.stopped) == (34, 6, 0, (), False)
    assert done.minutes_audio == pytest.approx(33.5 / 60) and done.rate > 0
    said = about(out)
    assert said["command"] == "birdprobe predict ..." and said["fallback_rows"] == [] and not said["stopped"]
    assert said["predictor"]["identity"] == predictor.identity
    assert sorted(path.name for path in out.parent.iterdir()) == ["submission.csv", "submission.json"]


@pytest.mark.parametrize("options", [{}, {"row_s": 2.0, "shifts": (0, 0.25, -0.25)}, {"batch_size": 4, "row_s": 0.7}])
def test_same_bytes_for_any_number_of_workers_and_when_resumed(place, predictor, tmp_path, options):
    one, many, resumed = (tmp_path / f"{name}.csv" for name in ("one", "many", "resumed"))
    predict(predictor, place / "sounds", one, workers=1, **options)
    predict(predictor, place / "sounds", many, workers=5, **options)
    assert one.read_bytes() == many.read_bytes()
    part = tmp_path / "resumed.csv.part"

    class Killed(Exception):
        pass

    class Dying:
        """The same predictor, on a machine that goes down once a file is done."""

        def __getattr__(self, name):
            return getattr(predictor, name)

        def __call__(self, windows):
            if read(part)[1]:
                raise Killed
            time.sleep(0.05)
            return predictor(windows)

    with pytest.raises(Killed):
        predict(Dying(), place / "sounds", resumed, workers=2, **options)
    assert not resumed.exists()
    there = len(read(part)[1])
    assert 0 < there < 6
    done = predict(predictor, place / "sounds", resumed, **options)
    assert done.resumed == there
    assert resumed.read_bytes() == one.read_bytes()
    assert not part.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_a_killed_process_is_resumed(place, predictor, tmp_path):
    sounds, out = tmp_path / "sounds", tmp_path / "out.csv"
    sounds.mkdir()
    rng = np.random.default_rng(1)
    for i in range(40):
        write(sounds / f"f{i:02d}.wav", rng.normal(0, 0.1, 20 * SAMPLE_RATE))
    code = (
        "import sys; from birdprobe.probe.soundscapes import *\n"
        "model, labels, sounds, out = sys.argv[1:]\n"
        f"predictor = open_onnx(model, labels=labels, sample_rate={SAMPLE_RATE})\n"
        "predict(predictor, sounds, out, shifts=[i / 50 for i in range(20)])\n"
    )
    arguments = [place / "model.onnx", place / "labels.txt", sounds, out]
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=Path(__file__).parents[3])
    part, deadline = tmp_path / "out.csv.part", time.monotonic() + 60
    try:
        while len(read(part)[1]) < 3 and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    there = len(read(part)[1])
    assert 3 <= there < 40
    done = predict(predictor, sounds, out, shifts=[i / 50 for i in range(20)])
    assert done.resumed == there
    predict(predictor, sounds, tmp_path / "again.csv", shifts=[i / 50 for i in range(20)])
    assert out.read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_files_that_do_not_decode_cost_fallback_rows(place, predictor, tmp_path):
    sounds, said = tmp_path / "sounds", []
    sounds.mkdir()
    for i in (1, 2):
        os.link(place / "sounds" / f"r{i}.wav", sounds / f"r{i}.wav")
    write(sounds / "silent.wav", np.zeros(4 * SAMPLE_RATE))
    (sounds / "broken.ogg").write_bytes(b"OggS and no more")
    done = predict(predictor, sounds, tmp_path / "out.csv", say=said.append)
    table = predictions.read_predictions(tmp_path / "out.csv")
    rows = [f"broken_{s}" for s in range(1, 7)] + [f"silent_{s}" for s in range(1, 5)]  # as most have, as its header
    assert list(done.fallback_rows) == rows == about(tmp_path / "out.csv")["fallback_rows"]
    mean = table.drop(rows).mean()
    np.testing.assert_allclose(table.loc[rows], np.tile(mean, (10, 1)), rtol=1e-6)
    assert [one.file for one in done.skipped] == ["broken.ogg", "silent.wav"]
    assert "silent" in done.skipped[1].reason
    assert sum(line.startswith("warning:") for line in said) == 3 and "10 of 22 rows are fallback" in said[-1]
    assert "10 of them fallback" in str(done)


def test_implausible_headers_cost_fallback_rows_and_no_more(place, predictor, tmp_path):
    sounds, said = tmp_path / "sounds", []
    sounds.mkdir()
    os.link(place / "sounds" / "r1.wav", sounds / "r1.wav")
    write(sounds / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE))
    data = (sounds / "a.wav").read_bytes()
    for name, at, content in (("slow", 24, (2).to_bytes(4, "little")), ("wide", 22, (1025).to_bytes(2, "little"))):
        (sounds / f"{name}.wav").write_bytes(data[:at] + content + data[at + len(content) :])
    done = predict(predictor, sounds, tmp_path / "out.csv", say=said.append)
    assert [one.file for one in done.skipped] == ["slow.wav", "wide.wav"]
    usual = max(sum(row.startswith(f"{stem}_") for row in table_rows(tmp_path / "out.csv")) for stem in ("r1", "a"))
    assert len(done.fallback_rows) == 2 * usual  # and not thousands, which 2 Hz would make of two seconds


def table_rows(path):
    return list(predictions.read_predictions(path).index)


def test_no_file_that_can_be_used_is_an_error(predictor, tmp_path):
    write(tmp_path / "silent.wav", np.zeros(SAMPLE_RATE))
    with pytest.raises(InputError, match=r"none of the 1 soundscapes can be used. The first: .*silent"):
        predict(predictor, tmp_path, tmp_path / "out.csv")
    assert not list(tmp_path.glob("out*"))


def test_a_spent_budget_still_writes_a_valid_file_and_goes_on_later(place, predictor, tmp_path):
    out, said = tmp_path / "out.csv", []
    options = {"workers": 1, "say": said.append}
    done = predict(predictor, place / "sounds", out, budget_minutes=0, **options)
    table = predictions.read_predictions(out)
    assert done.stopped and len(done.fallback_rows) == len(table) == 34 and (table == 0).all(axis=None)
    assert about(out)["stopped"] and any("stopped before the budget" in line for line in said)

    class Slow:
        """Slower by so much that the budget runs out under way: it ends 1 s from now."""

        def __getattr__(self, name):
            return getattr(predictor, name)

        def __call__(self, windows):
            time.sleep(0.3)
            return predictor(windows)

    started = time.monotonic() - 59 + 2.1  # 2 s are kept back for writing
    done = predict(Slow(), place / "sounds", out, budget_minutes=1, started=started, **options)
    assert done.stopped and 0 < len(done.fallback_rows) < 34
    assert predictions.read_predictions(out).drop(list(done.fallback_rows)).gt(0).all(axis=None)
    done = predict(predictor, place / "sounds", out, **options)
    assert not done.stopped and done.resumed > 0
    predict(predictor, place / "sounds", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    with pytest.raises(InputError, match="exists, expected a new file"):
        predict(predictor, place / "sounds", out)


def test_an_unfinished_result_that_somebody_changed_is_kept(place, predictor, tmp_path):
    out = tmp_path / "out.csv"
    predict(predictor, place / "sounds", out, budget_minutes=0)
    out.write_text("mine now")
    with pytest.raises(InputError, match="exists, expected a new file"):
        predict(predictor, place / "sounds", out)
    assert out.read_text() == "mine now"


def test_another_command_does_not_go_on_with_the_rows_of_this_one(place, predictor, tmp_path):
    out = tmp_path / "out.csv"
    predict(predictor, place / "sounds", out, budget_minutes=0)
    with pytest.raises(InputError, match=r"row_s 1.0, 2.0 wanted"):
        predict(predictor, place / "sounds", out, row_s=2)
    with pytest.raises(InputError, match=r"shifts \[0.0\], \[0.0, 1.0\] wanted"):
        predict(predictor, place / "sounds", out, shifts=(0, 1))
    assert len(predictions.read(out)) == 34


def test_columns_in_the_taxonomys_order(place, predictor, tmp_path):
    said = []
    classes = ["species 3", "1595929", "species 0"]
    done = predict(predictor, place / "sounds", tmp_path / "out.csv", classes=classes, say=said.append)
    table = predictions.read_predictions(tmp_path / "out.csv")
    predict(predictor, place / "sounds", tmp_path / "all.csv")
    whole = predictions.read_predictions(tmp_path / "all.csv")
    assert list(table.columns) == classes and (table["1595929"] == 0).all()
    pd.testing.assert_frame_equal(table[["species 3", "species 0"]], whole[["species 3", "species 0"]])
    assert done.lacking == ("1595929",) and len(done.dropped) == 5
    assert "1595929" in said[0] and "5 classes left out" in said[1]
    with pytest.raises(InputError, match="none of the model's 7"):
        predict(predictor, place / "sounds", tmp_path / "x.csv", classes=["a", "b"])


def test_a_sample_submission_gives_rows_and_columns(place, predictor, tmp_path):
    ids = ["r2_3", "r0_1", "r0_2", "gone_1", "r2_99"]
    sample = pd.DataFrame(np.nan, index=pd.Index(ids, name="row_id"), columns=["species 1", "species 5"])
    sample.to_csv(tmp_path / "sample.csv")
    said = []
    options = {"sample_submission": tmp_path / "sample.csv", "say": said.append}
    done = predict(predictor, place / "sounds", tmp_path / "out.csv", **options)
    table = predictions.read_predictions(tmp_path / "out.csv")
    predict(predictor, place / "sounds", tmp_path / "all.csv")
    whole = predictions.read_predictions(tmp_path / "all.csv")
    assert list(table.index) == ids and list(table.columns) == ["species 1", "species 5"]
    pd.testing.assert_frame_equal(table.iloc[:3], whole.loc[ids[:3], list(table.columns)])
    assert done.fallback_rows == ("gone_1", "r2_99") and done.files == 2
    np.testing.assert_allclose(table.loc["gone_1"], table.iloc[:3].mean(), rtol=1e-6)
    assert any("1 soundscapes of the sample submission are missing (the first gone)" in line for line in said)
    assert any("4 soundscapes are not in the sample" in line for line in said)
    assert any("9 predicted rows are not in the sample" in line for line in said)
    with pytest.raises(InputError, match="columns"):
        predict(predictor, place / "sounds", tmp_path / "x.csv", classes=["species 1"], **options)
    sample.rename(index=lambda name: "x" + name).to_csv(tmp_path / "sample.csv")
    with pytest.raises(InputError, match="none of the 6 soundscapes among them"):
        predict(predictor, place / "sounds", tmp_path / "x.csv", **options)


# --- predictors -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(place):
    backbone = opened(place / "model.onnx", TOKENS, sample_rate=SAMPLE_RATE)
    return make_run(place / "run", backbone, TOKENS, folds=2), backbone


@pytest.fixture(scope="module")
def fused(place, run):
    return fuse(run[0], place / "model.onnx", place / "fused.onnx").path


def test_a_run_its_fused_file_and_two_steps_agree(place, run, fused, tmp_path):
    folder, backbone = run
    model = place / "model.onnx"
    windows = np.random.default_rng(3).normal(0, 0.1, (5, SAMPLE_RATE)).astype(np.float32)
    of_run, wanted = open_predictor(folder, model), two_steps(folder, backbone, windows)
    fused = open_predictor(fused)
    np.testing.assert_allclose(of_run(windows), wanted, atol=1e-6)
    np.testing.assert_allclose(fused(windows), wanted, atol=1e-5)
    for one in (of_run, fused):
        assert (one.labels, one.sample_rate, one.window_samples, one.normalise) == (LABELS, 8000, 8000, "none")
    np.testing.assert_allclose(
        open_predictor(folder, model, fold=1)(windows), two_steps(folder, backbone, windows, fold=1), atol=1e-6
    )
    a, b = tmp_path / "run.csv", tmp_path / "fused.csv"
    predict(of_run, place / "sounds", a)
    predict(fused, place / "sounds", b, workers=3)
    np.testing.assert_allclose(predictions.read(a), predictions.read(b), atol=1e-5)
    identities = [of_run.identity, fused.identity, open_predictor(folder, model, fold=1).identity]
    assert len(set(identities)) == 3 and open_predictor(folder, model).identity == of_run.identity


def test_a_run_finds_the_model_of_its_store(place, run, tmp_path):
    from birdprobe.features.store import FeatureStore, StoreKey
    from birdprobe.heads.ensemble import load_members

    folder, _ = run
    key = load_members(folder).description.store_key
    assert isinstance(key, StoreKey)
    with pytest.raises(InputError, match=r"expected a backbone of sha256 .*Give it with --model"):
        open_predictor(folder)
    FeatureStore.create(place / "f.h5", key, dict.fromkeys(key.taps, (16,)), {"model": "model.onnx"}).close()
    (folder / "config.json").write_text(json.dumps({"stores": [{"path": "f.h5"}]}))
    assert find_model(folder, key) == place / "model.onnx"
    other = tiny_backbone(tmp_path / "other.onnx", seed=5)
    with pytest.raises(InputError, match=r"other\.onnx: expected the model of"):
        open_predictor(folder, other)


def test_wren_is_found_where_it_is_bundled(tmp_path):
    backbone = opened(WREN, ("block_04",))
    found = open_predictor(make_run(tmp_path / "run", backbone, ("block_04",), "linear", folds=1))
    assert found.backbone.path == WREN and found.normalise == "peak"
    with found.at_work():
        assert found(np.zeros((1, found.window_samples), np.float32)).shape == (1, 3)


def test_labels_make_any_classifier_a_predictor(place, predictor, tmp_path):
    windows = np.random.default_rng(3).normal(0, 0.1, (3, SAMPLE_RATE)).astype(np.float32)
    options = {"labels": place / "labels.txt", "sample_rate": SAMPLE_RATE}
    soft = open_predictor(place / "model.onnx", activation="softmax", **options)
    raw = open_predictor(place / "model.onnx", activation="none", **options)
    np.testing.assert_allclose(soft(windows).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(predictor(windows), 1 / (1 + np.exp(-raw(windows))), atol=1e-6)
    assert len({soft.identity, raw.identity, predictor.identity}) == 3
    with pytest.raises(InputError, match="no probabilities"):  # scores taken for probabilities
        predict(raw, place / "sounds", tmp_path / "out.csv")


def test_activations_do_not_overflow():
    scores = np.array([[-2000.0, 0.0, 2000.0]], np.float32)
    np.testing.assert_allclose(activated(scores, "sigmoid"), [[0, 0.5, 1]])
    np.testing.assert_allclose(activated(scores, "softmax"), [[0, 0, 1]])


def test_bad_predictors_are_one_line(place, run, tmp_path):
    model, labels = place / "model.onnx", place / "labels.txt"
    with pytest.raises(InputError, match=r"metadata without labels, sample_rate, .* not fused by birdprobe"):
        open_predictor(model)
    with pytest.raises(InputError, match="no such file or folder"):
        open_predictor(tmp_path / "gone.onnx")
    with pytest.raises(InputError, match="go with the folder of a training"):
        open_predictor(model, head="attention")
    with pytest.raises(InputError, match="a run knows its labels"):
        open_predictor(run[0], model, labels=labels)
    with pytest.raises(InputError, match="--sample-rate"):
        open_predictor(model, labels=labels)
    short = tmp_path / "short.txt"
    short.write_text("a\nb\n")
    with pytest.raises(InputError, match=r"2 labels found, one output .* as wide wanted .*label 7"):
        open_predictor(model, labels=short, sample_rate=SAMPLE_RATE)
    with pytest.raises(InputError, match="activation 'tanh'"):
        open_predictor(model, labels=labels, activation="tanh", sample_rate=SAMPLE_RATE)
    for text, words in (("a\nb\na\n", "'a' on lines 1 and 3"), ("", "nothing"), ("a\n\nb\n", "an empty line")):
        short.write_text(text)
        with pytest.raises(InputError, match=words):
            read_labels(short)


def test_a_fused_file_needs_no_torch(place, fused, tmp_path):
    code = (
        "import sys; from birdprobe.probe.soundscapes import *\n"
        "predict(open_onnx(sys.argv[1]), sys.argv[2], sys.argv[3])\n"
        "print(sorted({'torch', 'sklearn', 'umap', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(fused), str(place / "sounds"), str(tmp_path / "out.csv")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stdout


def test_slower_playback_counts_in_the_recordings_seconds(place, predictor, tmp_path):
    played = Playback.parse(0.5, "500,")
    done = predict(predictor, place / "sounds" / "r0.wav", tmp_path / "p.csv", playback=played, progress=False)
    table = predictions.read_predictions(tmp_path / "p.csv")
    assert done.rows == 12 and list(table.index[:3]) == ["r0_0.5", "r0_1", "r0_1.5"]
    assert about(tmp_path / "p.csv")["speed"] == 0.5 and about(tmp_path / "p.csv")["bandpass"] == "500,"
    heard = audio.read(place / "sounds" / "r0.wav", SAMPLE_RATE, playback=played)
    assert len(heard) == 12 * SAMPLE_RATE
    wanted = predictor(heard.reshape(12, SAMPLE_RATE))
    np.testing.assert_allclose(table.to_numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_what_was_trained_slower_is_played_slower_and_says_so_when_fused(place, tmp_path):
    model = place / "model.onnx"
    backbone = Backbone.open(model, sample_rate=SAMPLE_RATE, threads=1)
    run = make_run(tmp_path, backbone, TOKENS, speed=0.5, bandpass="500,")
    assert open_predictor(run, model).playback == Playback.parse(0.5, "500,")
    fused = fuse(run, model, tmp_path / "fused.onnx").path
    assert open_predictor(fused).playback == Playback.parse(0.5, "500,")
    sound = write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE))
    with pytest.raises(InputError, match=r"it was trained at speed 0\.5, bandpass 500,\. Leave both out"):
        predict(open_predictor(fused), sound, tmp_path / "p.csv", playback=Playback.parse(0.1), progress=False)
