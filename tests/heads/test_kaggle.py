"""The kernel's notebook: one real module, equal to the project's own path, valid whatever happens, offline."""

import ast
import json
import sys
import time
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient
from onnx import TensorProto, helper

from birdprobe.analysis.postprocess import file_confidence, site_hour, taxonomic, temporal
from birdprobe.analysis.predictions.table import faults, read
from birdprobe.features import InputError, audio, windows
from birdprobe.heads.fuse import fuse
from birdprobe.heads.kaggle import notebook, offline, write
from birdprobe.heads.kaggle.package import pack_prior
from birdprobe.heads.predictor import open_predictor
from birdprobe.probe.runtime import sessions
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import predict
from tests.heads.test_fuse import LABELS, make_run
from tests.tiny import tiny_backbone

NAMES = [f"BC2026_Test_000{i}_S0{i}_20260512_050000" for i in (1, 2, 3)]
OTHER = "not-in-the-model"


def sing(path, seconds=6.0, rate=16000, seed=0, channels=1):
    """Noise whose loudness and pitch change from second to second, at another rate than the model's."""
    rng = np.random.default_rng([seed, 7])
    t = np.arange(round(seconds * rate)) / rate
    pitch, gain = rng.uniform(200, 3000, 9)[t.astype(int)], rng.uniform(0.05, 0.3, 9)[t.astype(int)]
    wave = gain * np.sin(2 * np.pi * pitch * t) + rng.normal(0, 0.02, len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([wave, 0.5 * wave], axis=1)[:, :channels], rate)
    return path


@pytest.fixture(scope="module")
def fused(tmp_path_factory):
    """A fused file of the tiny backbone: one second at 8 kHz, three classes."""
    folder = tmp_path_factory.mktemp("fused")
    backbone = Backbone.open(tiny_backbone(folder / "tiny.onnx"), "block_00,block_02", sample_rate=8000)
    run = make_run(folder / "run", backbone, ("block_00", "block_02"), folds=2)
    return fuse(run, folder / "tiny.onnx", folder / "fused.onnx").path


@pytest.fixture
def competition(tmp_path):
    """Three test soundscapes of 6 s and two of training; a sample with one class more, in another order."""
    for seed, name in enumerate(NAMES):
        sing(tmp_path / "comp" / "test_soundscapes" / f"{name}.ogg", seed=seed)
    for seed in (1, 2):
        sing(tmp_path / "comp" / "train_soundscapes" / f"BC2026_Train_000{seed}_S01_20260512_050000.ogg", seed=seed + 9)
    sample(tmp_path / "comp", NAMES)
    return tmp_path / "comp"


def sample(folder, names, ends=(2, 4, 6)):
    classes = [LABELS[2], OTHER, LABELS[0], LABELS[1]]
    rows = [f"{name}_{end}" for name in names for end in ends]
    table = pd.DataFrame(0.25, index=pd.Index(rows, name="row_id"), columns=classes)
    table.to_csv(folder / "sample_submission.csv")


@pytest.fixture
def go(fused, competition, tmp_path, monkeypatch):
    """Write a kernel with these settings and run its module here: (report, table, config)."""

    def run(started=None, change=None, **options):
        kernel = write(fused, tmp_path / "kernel", row_s=options.pop("row_s", 2.0), overwrite=True, **options)
        config = kernel.config | (change or {})
        (kernel.package / "config.json").write_text(json.dumps(config))
        monkeypatch.setenv("BIRDPROBE_PACKAGE", str(kernel.package))
        monkeypatch.setenv("BIRDPROBE_COMPETITION", str(competition))
        monkeypatch.setenv("BIRDPROBE_OUTPUT", str(tmp_path))
        report = offline.main(time.monotonic() if started is None else started)
        return report, read(report.path), config

    return run


# the parts equal the project's own


@given(n=st.integers(0, 40_000), row=st.integers(1, 9000))
def test_rows_are_those_of_the_grid(n, row):
    assert offline.count_rows(n, row) == len(windows.grid(n, row))


@settings(max_examples=30)
@given(seed=st.integers(0, 99), n=st.integers(1, 50), start=st.integers(0, 60), size=st.integers(1, 20))
def test_windows_are_cut_and_scaled_alike(seed, n, start, size):
    wave = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    starts = np.array([0, start])
    mine = offline.cut(wave, starts, size)
    np.testing.assert_array_equal(mine, windows.cut(wave, starts, size))
    np.testing.assert_array_equal(offline.normalise(mine, "peak"), windows.normalise_windows(mine, "peak"))
    # before the beginning: as if that many zeros stood there
    early = offline.cut(wave, np.array([-start]), size)
    np.testing.assert_array_equal(
        early, windows.cut(np.concatenate([np.zeros(start, np.float32), wave]), np.array([0]), size)
    )


@pytest.mark.parametrize(("suffix", "rate", "channels"), [("ogg", 16000, 1), ("flac", 8000, 2), ("wav", 11025, 2)])
def test_decoding_is_that_of_features(tmp_path, suffix, rate, channels):
    path = sing(tmp_path / f"a.{suffix}", rate=rate, channels=channels)
    np.testing.assert_array_equal(offline.decode(path, 8000), audio.read(path, 8000))


@pytest.mark.parametrize(
    ("row", "window", "starts"),
    [(5, 5, [[0], [5]]), (10, 4, [[0, 3, 6], [10, 13, 16]]), (6, 3, [[0, 3], [6, 9]]), (4, 8, [[0], [2]])],
)
def test_windows_of_a_row(row, window, starts):
    np.testing.assert_array_equal(offline.window_starts(2, 10 if window > row else 2 * row, row, window), starts)


@pytest.mark.parametrize("kind", ["laplace", "shrunk"])
def test_post_processing_equals_the_project_s(tmp_path, kind):
    """Row by row of three files: one of a known site, one of a site without labels, one whose name tells nothing."""
    rng = np.random.default_rng(0)
    classes, genus, group = list("abcdef"), ["g", "h", "g", "", "h", "i"], ["x", "x", "y", "y", "z", ""]
    stems = ["BC2026_Test_0001_S01_20260512_045930", "BC2026_Test_0002_S09_20260512_050000", "meadow"]
    ids = [f"{stem}_{5 * i + 5}" for stem in stems for i in range(12)]
    table = pd.DataFrame(rng.uniform(size=(36, 6)), ids, classes)
    heard = [
        f"BC2026_Train_000{i}_S0{site}_20260501_0{hour}0000_5"
        for i, (site, hour) in enumerate([(1, 4), (1, 5), (2, 5)])
    ]
    labels = pd.DataFrame(rng.uniform(size=(3, 5)) < 0.5, heard, list("fbcda"))
    site_hour.fit(labels, kind).write(tmp_path / "prior.json")
    prior = site_hour.SiteHour(site_hour.Prior.read(tmp_path / "prior.json"), 0.7)
    named = [{name: kind for name, kind in zip(classes, kinds) if kind} for kinds in (genus, group)]
    wanted = table
    for step in (
        taxonomic.Taxonomic(*named, a=0.15, b=0.05),
        prior,
        temporal.Gaussian(0.65),
        file_confidence.Power(0.4, 2),
    ):
        before, wanted = wanted, step(wanted)
        assert abs(wanted - before).to_numpy().max() > 0.01
    config = {
        "taxonomic": {"a": 0.15, "b": 0.05, "genus": genus, "group": group},
        "gaussian_sigma": 0.65,
        "power": 0.4,
        "power_top": 2,
    }
    prior = offline.Prior.read(tmp_path / pack_prior(site_hour, classes, tmp_path, "prior.json"))
    found = [
        offline.postprocess(table.to_numpy()[12 * i :][:12], config, prior.of(stem, 12, 5.0))
        for i, stem in enumerate(stems)
    ]
    np.testing.assert_allclose(np.concatenate(found), wanted.to_numpy(), atol=1e-6)


@pytest.mark.parametrize(("row_s", "shifts"), [(2.0, (0.0, 1.0, -1.0)), (0.5, (0.0,)), (2.5, (0.25, -7.0))])
def test_a_submission_equals_that_of_predict(go, fused, competition, tmp_path, row_s, shifts):
    (competition / "sample_submission.csv").unlink()
    report, table, _ = go(row_s=row_s, shifts=shifts)
    own = predict(
        open_predictor(fused),
        competition / "test_soundscapes",
        tmp_path / "own.csv",
        row_s=row_s,
        shifts=shifts,
    )
    wanted = read(own.path)
    assert (list(table.index), list(table.columns)) == (list(wanted.index), list(wanted.columns))
    np.testing.assert_allclose(table.to_numpy(), wanted.to_numpy(), atol=1e-6)
    assert np.ptp(table.to_numpy(), axis=0).min() > 1e-3
    assert not report.fallback


def test_a_run_s_kernel_equals_predicting_with_the_run(competition, tmp_path, monkeypatch):
    """Backbone and heads in two steps, nothing exported, against the fused file in the notebook's code."""
    model = tiny_backbone(tmp_path / "tiny.onnx")
    backbone = Backbone.open(model, "block_01,block_03", sample_rate=8000, normalise="peak")
    run = make_run(tmp_path / "run", backbone, ("block_01", "block_03-block_01"), "concat", folds=3)
    kernel = write(run, tmp_path / "kernel", model=model, row_s=2.0, shifts=(0.0, 0.5))
    assert kernel.config["normalise"] == "peak"
    for name, value in {"PACKAGE": kernel.package, "COMPETITION": competition, "OUTPUT": tmp_path}.items():
        monkeypatch.setenv(f"BIRDPROBE_{name}", str(value))
    found = read(offline.main(time.monotonic()).path)
    own = predict(
        open_predictor(run, model),
        competition / "test_soundscapes",
        tmp_path / "own.csv",
        row_s=2.0,
        shifts=(0.0, 0.5),
        sample_submission=competition / "sample_submission.csv",
    )
    wanted = read(own.path)
    pd.testing.assert_frame_equal(found, wanted, atol=1e-6, rtol=0)
    assert np.ptp(wanted[list(LABELS)].to_numpy(), axis=0).min() > 1e-3


def fixed_form(path, shape):
    """[mean of the window, its maximum], for windows in any of the forms that a waveform model has."""
    out = [*shape[:1], 2] if len(shape) > 1 else [2]
    axes = list(range(1, len(shape))) if len(shape) > 1 else [0]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("ReduceMax", ["x"], ["max"], axes=axes, keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "last"], ["a"]),
        helper.make_node("Unsqueeze", ["max", "last"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "form",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [helper.make_tensor("last", TensorProto.INT64, [1], [-1])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("shape", [["n", 50], [3, 50], ["n", 1, 50], [1, 50], [50]])
def test_any_form_of_waveform_input(tmp_path, shape):
    model = offline.Model(fixed_form(tmp_path / "form.onnx", shape), 4)
    x = np.random.default_rng(0).normal(size=(7, 50)).astype(np.float32)
    found = np.concatenate([model(x[at : at + model.batch]) for at in range(0, 7, model.batch)])
    np.testing.assert_allclose(found, np.stack([x.mean(1), x.max(1)], axis=1), atol=1e-6)


# what comes out is valid whatever happens


def test_the_sample_gives_order_and_columns(go, competition):
    sample(competition, [NAMES[2], NAMES[0], NAMES[1]])
    report, table, _ = go()
    wanted = [f"{name}_{end}" for name in (NAMES[2], NAMES[0], NAMES[1]) for end in (2, 4, 6)]
    assert list(table.columns) == [LABELS[2], OTHER, LABELS[0], LABELS[1]]
    assert report.lacking == (OTHER,)
    assert (table[OTHER] == 0).all()
    assert not faults(table, row_ids=wanted, classes=list(table.columns), rows_per_file=3)


def test_a_sample_of_a_few_rows_does_not_shorten_the_submission(go, competition):
    sample(competition, NAMES[:1], ends=(2, 4))
    assert go()[0].rows == 9


@pytest.mark.parametrize("damage", ["text", "silent", "cut"])
def test_a_bad_file_gets_the_means_of_the_others(go, competition, damage):
    bad = competition / "test_soundscapes" / f"{NAMES[1]}.ogg"
    if damage == "text":
        bad.write_text("no audio")
    elif damage == "silent":
        soundfile.write(bad, np.zeros(96000), 16000)
    else:
        bad.write_bytes(bad.read_bytes()[:3000])
    report, table, _ = go()
    good = [name for name in table.index if not name.startswith(NAMES[1])]
    assert set(report.fallback) == {f"{NAMES[1]}_{end}" for end in (2, 4, 6)}
    assert report.skipped[0][0] == bad.name
    np.testing.assert_allclose(table.loc[list(report.fallback)], [table.loc[good].mean()] * 3, rtol=1e-6)


def test_rows_that_a_prior_moves_are_counted(go, tmp_path, capsys):
    labels = pd.DataFrame(
        [[True], [False]], [f"BC2026_Train_000{i}_S01_20260501_0{i}0000_5" for i in (5, 6)], [LABELS[0]]
    )
    site_hour.fit(labels).write(tmp_path / "prior.json")
    without = go()[1]
    report, table, _ = go(prior=tmp_path / "prior.json")
    moved = table.index.str.contains("S01") & (table != without).any(axis=1)
    assert report.prior_rows == moved.sum() == 3
    assert not (table != without)[~moved].to_numpy().any()
    assert "moves 3 of 9 rows" in capsys.readouterr().out
    with pytest.raises(InputError, match="a prior wanted"):
        go(prior=tmp_path / "none.json")


def test_no_time_left_is_a_valid_file_and_named_rows(go):
    report, table, _ = go(started=time.monotonic() - 3600 * 2)
    assert len(report.fallback) == 9
    assert report.files_done == 0
    assert {reason for _, reason in report.skipped} == {offline.NO_TIME}
    assert not faults(table, rows_per_file=3)


def test_a_run_stops_in_time(go, monkeypatch):
    # each file is made to take half a second of one that the budget has; after the first no other fits
    clock = iter(range(0, 10_000, 25))
    monkeypatch.setattr(offline.time, "monotonic", lambda: float(next(clock)))
    report, _, _ = go(started=0.0, change={"workers": 1, "budget_minutes": 5.0, "margin_minutes": 0.0})
    assert 0 < len(report.fallback) < 9
    assert report.files_done == 3 - len(report.skipped)


def test_a_model_that_fails_everywhere_is_no_submission(go, tmp_path):
    with pytest.raises(RuntimeError, match="no file could be predicted"):
        go(change={"window_s": 0.5})
    assert not (tmp_path / "submission.csv").exists()


def test_a_competition_of_other_classes_is_no_submission(go, competition):
    pd.DataFrame({"row_id": ["a_2"], "x": [0.5]}).to_csv(competition / "sample_submission.csv", index=False)
    with pytest.raises(ValueError, match="none of the 1 classes wanted"):
        go()


def test_without_test_soundscapes_a_few_of_training_are_predicted(go, competition, capsys):
    for path in (competition / "test_soundscapes").iterdir():
        path.unlink()
    report, table, _ = go(change={"dry_run_files": 1})
    assert report.dry_run
    assert list(table.index) == [f"BC2026_Train_0001_S01_20260512_050000_{end}" for end in (2, 4, 6)]
    assert "DRY RUN" in capsys.readouterr().out


def test_without_any_soundscape_the_sample_s_rows_are_written(go, competition):
    for path in competition.glob("*_soundscapes/*"):
        path.unlink()
    report, table, _ = go()
    assert len(report.fallback) == len(table) == 9


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.iloc[1:], "row ids differ"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "twice"),
        (lambda t: t[t.columns[::-1]], "columns differ"),
        (lambda t: t.assign(more=0.1), "columns differ"),
        (lambda t: t.mask(t > 0.3), "missing or infinite"),
        (lambda t: t + 0.9, "outside 0..1"),
        (lambda t: t.iloc[:-1], "wrong number of rows"),
    ],
)
def test_it_finds_its_own_faults(tmp_path, spoil, said):
    rows = tuple(f"{name}_{end}" for name in NAMES for end in (2, 4, 6))
    table = pd.DataFrame(np.linspace(0, 0.8, 18).reshape(9, 2), pd.Index(rows, name="row_id"), ["b", "a"])
    todo = offline.Plan((), rows, ("b", "a"), False)
    table.to_csv(tmp_path / "s.csv")
    assert offline.faults(tmp_path / "s.csv", todo) == []
    spoil(table).to_csv(tmp_path / "s.csv", index_label="row_id")
    assert any(said in fault for fault in offline.faults(tmp_path / "s.csv", todo))


# where things are on Kaggle


@pytest.mark.parametrize("mount", ["birdprobe-package", "datasets/someone/birdprobe-package"])
def test_both_mounts_of_a_dataset(tmp_path, mount):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")  # somebody's model
    (tmp_path / mount).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="Was the packed folder attached"):
        offline.find_package(tmp_path)
    (tmp_path / mount / "config.json").write_text('{"birdprobe": "0.1.0"}')
    assert offline.find_package(tmp_path) == tmp_path / mount


@pytest.mark.parametrize("mount", ["birdclef-2026", "competitions/birdclef-2026"])
def test_both_mounts_of_a_competition(tmp_path, mount):
    with pytest.raises(FileNotFoundError, match="Was the competition's data attached"):
        offline.find_competition("birdclef-2026", tmp_path)
    (tmp_path / mount).mkdir(parents=True)
    assert offline.find_competition("birdclef-2026", tmp_path) == tmp_path / mount


def test_what_is_missing_comes_from_the_wheels(tmp_path, monkeypatch):
    (tmp_path / "wheels").mkdir()
    about = "birdprobe_no_such_package-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "wheels" / "birdprobe_no_such_package-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("birdprobe_no_such_package.py", "here = True\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: birdprobe-no-such-package\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("BIRDPROBE_PACKAGE", str(tmp_path))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))  # not into the environment of these tests
    assert offline.provide(("numpy", "birdprobe_no_such_package")) == ["birdprobe_no_such_package"]
    assert (tmp_path / "site" / "birdprobe_no_such_package.py").exists()
    assert offline.provide() == []


# the folder and the notebook


def test_the_folder_is_what_kaggle_wants(fused, tmp_path):
    kernel = write(fused, tmp_path / "k", user="someone", competition="birdclef-2026", shifts=(0, 1, -1))
    assert sorted(path.name for path in kernel.folder.iterdir()) == [
        "birdprobe-kernel.ipynb",
        "kernel-metadata.json",
        "package",
    ]
    said = json.loads((kernel.folder / "kernel-metadata.json").read_text())
    dataset = json.loads((kernel.package / "dataset-metadata.json").read_text())
    assert said["id"] == "someone/birdprobe-birdclef-2026"
    assert said["dataset_sources"] == [dataset["id"]]
    assert said["competition_sources"] == ["birdclef-2026"]
    assert (said["enable_gpu"], said["enable_internet"], said["code_file"]) == ("false", "false", kernel.notebook.name)
    assert 6 <= len(dataset["title"]) <= 50
    assert kernel.config["labels"] == list(LABELS)
    assert (kernel.config["sample_rate"], kernel.config["window_s"], kernel.config["shifts"]) == (8000, 1, [0, 1, -1])
    pins = (kernel.package / "wheels.txt").read_text()
    assert all(f"\n{name}==" in pins for name in offline.NEEDED)
    assert "pip download" in pins
    assert kernel.size == sum(path.stat().st_size for path in kernel.package.rglob("*") if path.is_file())


def test_again_gives_the_same_bytes_and_keeps_the_wheels(fused, tmp_path):
    kernel = write(fused, tmp_path / "k")
    first = {path: path.read_bytes() for path in kernel.folder.rglob("*") if path.is_file()}
    (kernel.package / "wheels" / "a.whl").write_bytes(b"wheel")
    with pytest.raises(InputError, match=r"a kernel found.*--overwrite"):
        write(fused, tmp_path / "k")
    write(fused, tmp_path / "k", overwrite=True)
    assert {path: path.read_bytes() for path in first} == first
    assert (kernel.package / "wheels" / "a.whl").read_bytes() == b"wheel"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": Path("x.onnx")}, "a fused file found"),
        ({"shifts": ()}, "shifts"),
        ({"row_s": 0.0}, "row length 0.0 found"),
        ({"budget_minutes": float("nan")}, "budget nan found"),
        ({"genus": 1.5}, "genus weight 1.5"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(fused, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        write(fused, tmp_path / "k", **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_not_fused_is_refused(tmp_path):
    with pytest.raises(InputError, match="birdprobe fuse"):
        write(tiny_backbone(tmp_path / "tiny.onnx"), tmp_path / "k")
    with pytest.raises(InputError, match="no such file or folder"):
        write(tmp_path / "none", tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_weights_beside_the_model_come_along(fused, tmp_path):
    sessions.save(onnx.load(fused), tmp_path / "large.onnx")
    kernel = write(tmp_path / "large.onnx", tmp_path / "k")
    assert (kernel.package / "large.onnx.data").stat().st_size > 1024
    assert (kernel.package / "model.onnx").stat().st_size < fused.stat().st_size
    (tmp_path / "large.onnx.data").unlink()
    model = offline.Model(kernel.package / "model.onnx", 8)
    x = np.random.default_rng(0).normal(size=(4, 8000)).astype(np.float32)
    np.testing.assert_allclose(model(x), offline.Model(fused, 8)(x), atol=1e-7)


def test_a_taxonomy_gives_genus_and_class(fused, tmp_path):
    taxonomy = tmp_path / "taxonomy.csv"
    rows = [f"{LABELS[0]},Parus major,Aves", f"{LABELS[2]},Insecta,Insecta", "x,Parus ater,Aves"]
    taxonomy.write_text("primary_label,scientific_name,class_name\n" + "\n".join(rows) + "\n")
    said = write(fused, tmp_path / "k", taxonomy=taxonomy, genus=0.2).config["taxonomic"]
    assert said == {"a": 0.2, "b": 0.05, "genus": ["Parus", "", "Insecta"], "group": ["Aves", "", "Insecta"]}
    taxonomy.write_text("primary_label,scientific_name,class_name\nx,Parus ater,Aves\n")
    with pytest.raises(InputError, match="none of the model's 3 classes"):
        write(fused, tmp_path / "k2", taxonomy=taxonomy)


def test_a_run_is_fused_on_the_way(tmp_path):
    model = tiny_backbone(tmp_path / "tiny.onnx")
    backbone = Backbone.open(model, "block_01", sample_rate=8000)
    run = make_run(tmp_path / "run", backbone, ("block_01",), "linear", folds=2)
    kernel = write(run, tmp_path / "k", model=model, fold=1)
    assert json.loads(onnx_metadata(kernel.package / "model.onnx")["folds"]) == [1]
    with pytest.raises(InputError, match=r"the backbone of .* wanted"):
        write(run, tmp_path / "k2", model=tmp_path / "none.onnx")
    with pytest.raises(InputError, match="--model"):
        write(run, tmp_path / "k2")


def onnx_metadata(path):
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


def test_the_module_imports_only_what_kaggle_has():
    tree = ast.parse(Path(offline.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.split(".")[0] for name in names}
    assert roots - set(sys.stdlib_module_names) == set(offline.NEEDED)
    assert not roots & {"socket", "urllib", "http", "ftplib", "ssl", "ctypes", "pickle"}


def test_the_cells_are_the_module():
    source = Path(offline.__file__).read_text()
    book = notebook.notebook({"labels": ["a"]})
    code = "\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    kept = "\n".join(line for line in source.split('"""', 2)[2].splitlines() if not line.startswith("# %%"))
    assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(kept))
    assert "do not edit" in book.cells[0].source
    with pytest.raises(ValueError, match="before the first cell"):
        notebook.sections('"""About."""\nimport os\n# %% One\nx = 1\n')


GUARD = """
import socket
def _refuse(*arguments, **options):
    raise OSError("this kernel has no internet")
socket.getaddrinfo = socket.create_connection = socket.gethostbyname = _refuse
"""
AFTER = """
import sys
ours = {"features", "analysis", "probe", "heads", "finetune", "figures", "torch", "onnx", "sklearn", "librosa", "h5py"}
assert not ours & set(sys.modules), ours & set(sys.modules)
"""


def test_the_notebook_runs(fused, competition, tmp_path, monkeypatch):
    kernel = write(fused, tmp_path / "input" / "datasets", row_s=2.0, shifts=(0.0, 1.0, -1.0), gaussian=1.0, power=0.4)
    # mounted as on Kaggle
    kernel.package.rename(tmp_path / "input" / "birdprobe-package-birdclef-2026")
    (tmp_path / "input" / "competitions").mkdir()
    competition.rename(tmp_path / "input" / "competitions" / "birdclef-2026")
    (tmp_path / "working").mkdir()
    book = nbformat.read(kernel.notebook, as_version=4)
    nbformat.validate(book)
    book.cells.insert(0, nbformat.v4.new_code_cell(GUARD))
    book.cells.append(nbformat.v4.new_code_cell(AFTER))
    monkeypatch.setenv("BIRDPROBE_INPUT", str(tmp_path / "input"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path / "working"}}
    ).execute()
    table = read(tmp_path / "working" / "submission.csv")
    wanted = [f"{name}_{end}" for name in NAMES for end in (2, 4, 6)]
    assert not faults(table, row_ids=wanted, rows_per_file=3)
    printed = "".join(out.text for cell in book.cells for out in cell.get("outputs", ()) if out.output_type == "stream")
    assert "9 rows, 3 files" in printed
    assert "0 fallback rows" in printed
