"""Soundscapes in, a valid submission out, on a small backbone: the same bytes however it came to be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import predictions
from birdprobe.features import InputError, audio
from birdprobe.features.playback import Playback
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import predict
from birdprobe.probe.soundscapes.journal import read
from tests.probe.soundscapes.predict.material import CLASSES, about, table_rows, write
from tests.tiny import SAMPLE_RATE


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
    child = subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=Path(__file__).parents[4])
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
    assert "no prediction" in said[-1] and "2 files could not be used" in said[-1]
    assert said[-1].endswith(f"see fallback_rows and skipped in {tmp_path / 'out.json'}")


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
    assert any("1 soundscape of the sample submission is missing (the first gone)" in line for line in said)
    assert any("4 soundscapes are not in the sample" in line for line in said)
    assert any("9 predicted rows are not in the sample" in line for line in said)
    with pytest.raises(InputError, match="columns"):
        predict(predictor, place / "sounds", tmp_path / "x.csv", classes=["species 1"], **options)
    sample.rename(index=lambda name: "x" + name).to_csv(tmp_path / "sample.csv")
    with pytest.raises(InputError, match="none of the 6 soundscapes among them"):
        predict(predictor, place / "sounds", tmp_path / "x.csv", **options)


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


@pytest.mark.parametrize("out", ["", ".", ".."])
def test_a_result_without_a_name_is_refused(place, predictor, out):
    with pytest.raises(InputError, match="expected the name of a file, got a folder"):
        predict(predictor, place / "sounds", Path(out))
