"""The kernel: its notebook installs birdprobe's own wheel and gives what `predict` and the steps give, offline."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
from nbclient import NotebookClient

from birdprobe.analysis.postprocess import site_hour
from birdprobe.analysis.postprocess.chain import Wanted, chain
from birdprobe.analysis.predictions.table import faults, read
from birdprobe.features import InputError
from birdprobe.heads.fuse import fuse
from birdprobe.heads.head_predictor import open_run
from birdprobe.heads.kaggle import notebook, wheel, write_kernel
from birdprobe.heads.kaggle.wheel import NEEDED, build_wheel
from birdprobe.probe.runtime import sessions
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.soundscapes import open_onnx, predict
from birdprobe.probe.soundscapes.kaggle_run import submit
from birdprobe.probe.soundscapes.predictor import open_fused
from tests.heads.test_fuse import LABELS, make_run
from tests.tiny import tiny_backbone

NAMES = [f"BC2026_Test_000{i}_S0{i}_20260512_050000" for i in (1, 2, 3)]
OTHER = "not-in-the-model"
PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]


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
def go(fused, competition, tmp_path):
    """Write a kernel with these settings and do what its last cell does: (run, table, config)."""

    def run(started=None, change=None, **options):
        kernel = write_kernel(fused, tmp_path / "kernel", row_s=options.pop("row_s", 2.0), overwrite=True, **options)
        config = kernel.config | (change or {})
        (kernel.package / "config.json").write_text(json.dumps(config))
        done = submit(kernel.package, competition, tmp_path, started)
        return done, read(done.path), config

    return run


def taxonomy_of(folder):
    """Two of the model's classes are of one genus and class, the third is alone."""
    rows = [f"{LABELS[0]},Parus major,Aves", f"{LABELS[1]},Parus ater,Aves", f"{LABELS[2]},Insecta,Insecta"]
    (folder / "taxonomy.csv").write_text("primary_label,scientific_name,class_name\n" + "\n".join(rows) + "\n")
    return folder / "taxonomy.csv"


def prior_of(folder):
    """The first class was heard at site S01 at 5 h, and not at 6 h."""
    rows = [f"BC2026_Train_000{hour}_S01_20260501_0{hour}0000_5" for hour in (5, 6)]
    site_hour.fit(pd.DataFrame([[True], [False]], rows, [LABELS[0]])).write(folder / "prior.json")
    return folder / "prior.json"


# what it gives


@pytest.mark.parametrize(("row_s", "shifts"), [(2.0, (0.0, 1.0, -1.0)), (0.5, (0.0,)), (2.5, (0.25, -7.0))])
def test_a_submission_equals_that_of_predict(go, fused, competition, tmp_path, row_s, shifts):
    (competition / "sample_submission.csv").unlink()
    run, table, _ = go(row_s=row_s, tta_shifts=shifts)
    own = predict(open_onnx(fused), competition / "test_soundscapes", tmp_path / "own.csv", row_s=row_s, shifts=shifts)
    pd.testing.assert_frame_equal(table, read(own.path))
    assert np.ptp(table.to_numpy(), axis=0).min() > 1e-3
    assert not run.predicted.fallback_rows


def test_all_steps_equal_the_chain_on_what_predict_gives(go, fused, competition, tmp_path):
    (competition / "sample_submission.csv").unlink()
    files = {"taxonomy": taxonomy_of(tmp_path), "prior": prior_of(tmp_path)}
    run, table, _ = go(**files, gaussian=0.65, power=0.4)
    own = read(predict(open_onnx(fused), competition / "test_soundscapes", tmp_path / "own.csv", row_s=2.0).path)
    steps = chain(Wanted(**files, gaussian=0.65, power=0.4), own.index, own.columns)
    assert len(run.steps) == len(steps) == 4
    for step in steps:
        before, own = own, step(own)
        assert abs(own - before).to_numpy().max() > 0.001
    pd.testing.assert_frame_equal(table, own, atol=1e-8, rtol=0, check_names=False)


def test_rows_that_a_prior_reaches_are_counted(go, tmp_path, capsys):
    without = go()[1]
    table = go(prior=prior_of(tmp_path))[1]
    moved = (table != without).any(axis=1)
    assert moved.sum() == 3 and table.index[moved].str.contains("S01").all()
    assert "applies to 3 of 9 rows" in capsys.readouterr().out
    with pytest.raises(InputError, match="expected a prior"):
        go(prior=tmp_path / "none.json")


def test_the_sample_gives_order_and_columns(go, competition):
    sample(competition, [NAMES[2], NAMES[0], NAMES[1]])
    run, table, _ = go()
    wanted = [f"{name}_{end}" for name in (NAMES[2], NAMES[0], NAMES[1]) for end in (2, 4, 6)]
    assert list(table.columns) == [LABELS[2], OTHER, LABELS[0], LABELS[1]]
    assert run.predicted.lacking == (OTHER,)
    assert (table[OTHER] == 0).all()
    assert not faults(table, row_ids=wanted, classes=list(table.columns), rows_per_file=3)


def test_a_sample_of_a_few_rows_does_not_shorten_the_submission(go, competition):
    sample(competition, NAMES[:1], ends=(2, 4))
    _, table, _ = go()
    assert len(table) == 9 and list(table.columns) == [LABELS[2], OTHER, LABELS[0], LABELS[1]]


@pytest.mark.parametrize("damage", ["text", "silent", "cut"])
def test_a_bad_file_gets_the_means_of_the_others(go, competition, damage):
    bad = competition / "test_soundscapes" / f"{NAMES[1]}.ogg"
    if damage == "text":
        bad.write_text("no audio")
    elif damage == "silent":
        soundfile.write(bad, np.zeros(96000), 16000)
    else:
        bad.write_bytes(bad.read_bytes()[:3000])
    run, table, _ = go()
    good = [name for name in table.index if not name.startswith(NAMES[1])]
    assert set(run.predicted.fallback_rows) == {f"{NAMES[1]}_{end}" for end in (2, 4, 6)}
    assert run.predicted.skipped[0].file == bad.name
    np.testing.assert_allclose(table.loc[list(run.predicted.fallback_rows)], [table.loc[good].mean()] * 3, rtol=1e-6)


def test_no_time_left_is_a_valid_file(go):
    run, table, _ = go(change={"budget_minutes": 0.0, "margin_minutes": 0.0})
    assert run.predicted.stopped and len(run.predicted.fallback_rows) == 9
    assert not faults(table, rows_per_file=3)


def test_a_competition_of_other_classes_is_no_submission(go, competition, tmp_path):
    pd.DataFrame({"row_id": ["a_2"], "x": [0.5]}).to_csv(competition / "sample_submission.csv", index=False)
    with pytest.raises(InputError, match="none of the model's 3 "):
        go()
    assert not (tmp_path / "submission.csv").exists()


def test_without_test_soundscapes_a_few_of_training_are_predicted(go, competition, capsys):
    for path in (competition / "test_soundscapes").iterdir():
        path.unlink()
    run, table, _ = go(change={"dry_run_files": 1})
    assert run.dry_run
    assert list(table.index) == [f"BC2026_Train_0001_S01_20260512_050000_{end}" for end in (2, 4, 6)]
    assert "DRY RUN" in capsys.readouterr().out


def test_an_unknown_step_is_refused(go):
    with pytest.raises(InputError, match="step 'magic' found, one of taxonomy"):
        go(change={"postprocess": {"magic": 1}})


# the wheel and the cells


def needed_distributions():
    """The distributions that predicting needs, and those that they need themselves, as far as they are installed."""
    todo, found = list(NEEDED), {}
    while todo:
        name = todo.pop()
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # needed on another system
            continue
        for text in found[name].requires or ():
            bare = re.split(r"[^A-Za-z0-9._-]", text)[0]
            if "extra ==" not in text and bare not in found:
                todo.append(bare)
    return found.values()


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory):
    """A folder of packages with nothing but NEEDED and what that needs."""
    folder = tmp_path_factory.mktemp("bare")
    for distribution in needed_distributions():
        for top in {path.parts[0] for path in distribution.files if path.parts[0] != ".."}:
            if top != "__pycache__" and not (folder / top).exists():
                (folder / top).symlink_to(distribution.locate_file(top))
    return folder


def mounted(kernel, competition, folder):
    """As on Kaggle: the package and the competition below one folder, and a working folder."""
    (folder / "input" / "competitions").mkdir(parents=True)
    (folder / "working").mkdir()
    shutil.copytree(kernel.package, folder / "input" / "birdprobe-package-birdclef-2026")
    shutil.copytree(competition, folder / "input" / "competitions" / "birdclef-2026")


def test_the_cells_give_what_predict_gives_where_only_kaggles_packages_are(
    fused, competition, bare_environment, tmp_path
):
    options = {"taxonomy": taxonomy_of(tmp_path), "prior": prior_of(tmp_path), "gaussian": 1.0, "power": 0.4}
    kernel = write_kernel(fused, tmp_path / "kernel", row_s=2.0, tta_shifts=(0.0, 1.0, -1.0), **options)
    mounted(kernel, competition, tmp_path)
    site = tmp_path / "site"
    subprocess.run(
        [*PIP, "--target", site, kernel.package / "wheels" / kernel.config["wheel"]],
        check=True,
    )
    script = tmp_path / "cells.py"
    script.write_text(GUARD + "\n".join(notebook.CELLS.values()) + AFTER)
    environment = {"PYTHONPATH": f"{site}{os.pathsep}{bare_environment}", "BIRDPROBE_INPUT": str(tmp_path / "input")}
    done = subprocess.run(  # -S: without this environment's own packages
        [sys.executable, "-S", str(script)],
        cwd=tmp_path / "working",
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"birdprobe from {site}" in done.stdout
    found = read(tmp_path / "working" / "submission.csv")
    own = predict(
        open_onnx(fused),
        competition / "test_soundscapes",
        tmp_path / "own.csv",
        row_s=2.0,
        shifts=(0.0, 1.0, -1.0),
        sample_submission=competition / "sample_submission.csv",
    )
    wanted = read(own.path)
    for step in chain(Wanted(**options), wanted.index, wanted.columns):
        wanted = step(wanted)
    pd.testing.assert_frame_equal(found, wanted, atol=1e-6, rtol=0, check_names=False)
    assert np.ptp(wanted[list(LABELS)].to_numpy(), axis=0).min() > 1e-3


def test_the_wheel_says_what_it_needs_and_is_the_same_every_time(tmp_path):
    (tmp_path / "again").mkdir()
    wheel, again = build_wheel(tmp_path), build_wheel(tmp_path / "again")
    assert wheel.read_bytes() == again.read_bytes()
    (found,) = importlib.metadata.distributions(path=[str(wheel)])
    assert (found.name, found.version) == ("birdprobe", importlib.metadata.version("birdprobe"))
    assert sorted(found.requires) == sorted(NEEDED)


# where things are on Kaggle


@pytest.mark.parametrize("mount", ["birdprobe-package", "datasets/someone/birdprobe-package"])
def test_both_mounts_of_a_dataset(tmp_path, mount):
    functions = cell_functions()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")  # somebody's model
    (tmp_path / mount).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="Was the packed folder attached"):
        functions["find_package"](tmp_path)
    (tmp_path / mount / "config.json").write_text('{"birdprobe": "0.1.0"}')
    assert functions["find_package"](tmp_path) == tmp_path / mount


@pytest.mark.parametrize("mount", ["birdclef-2026", "competitions/birdclef-2026"])
def test_both_mounts_of_a_competition(tmp_path, mount):
    functions = cell_functions()
    with pytest.raises(FileNotFoundError, match="Was the competition's data attached"):
        functions["find_competition"]("birdclef-2026", tmp_path)
    (tmp_path / mount).mkdir(parents=True)
    assert functions["find_competition"]("birdclef-2026", tmp_path) == tmp_path / mount


def cell_functions():
    """What the first cell defines, before it looks for the package."""
    names = {}
    exec(notebook.FIND.rpartition("package = ")[0].rstrip(), names)
    return names


# the folder and the notebook


def test_the_folder_is_what_kaggle_wants(fused, tmp_path):
    kernel = write_kernel(fused, tmp_path / "k", user="someone", competition="birdclef-2026", tta_shifts=(0, 1, -1))
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
    assert all(f"\n{name}==" in pins for name in NEEDED)
    assert "pip download" in pins
    assert kernel.size == sum(path.stat().st_size for path in kernel.package.rglob("*") if path.is_file())


def test_again_gives_the_same_bytes_and_keeps_the_wheels(fused, tmp_path):
    kernel = write_kernel(fused, tmp_path / "k")
    first = {path: path.read_bytes() for path in kernel.folder.rglob("*") if path.is_file()}
    (kernel.package / "wheels" / "a.whl").write_bytes(b"wheel")
    with pytest.raises(InputError, match=r"got a kernel.*--overwrite"):
        write_kernel(fused, tmp_path / "k")
    write_kernel(fused, tmp_path / "k", overwrite=True)
    assert {path: path.read_bytes() for path in first} == first
    assert (kernel.package / "wheels" / "a.whl").read_bytes() == b"wheel"


def test_the_wheel_is_one_of_the_kernels_own_files(fused, tmp_path, monkeypatch):
    kernel = write_kernel(fused, tmp_path / "k")
    old = f"package/wheels/{kernel.config['wheel']}"
    assert old in json.loads((kernel.package / "config.json").read_text())["files"]
    monkeypatch.setattr(wheel, "version", lambda name: "99.0")
    write_kernel(
        fused, tmp_path / "k", overwrite=True
    )  # an older version's wheel beside it would be installed by chance
    assert [path.name for path in (kernel.package / "wheels").iterdir()] == ["birdprobe-99.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": Path("x.onnx")}, "a fused file, to which"),
        ({"tta_shifts": ()}, "`--tta-shifts` must be"),
        ({"row_s": 0.0}, "`--row` must be seconds above 0, got 0.0"),
        ({"budget_minutes": float("nan")}, "`--budget-minutes` must be minutes above 0, got nan"),
        ({"genus": 1.5}, "`--genus` must be a weight from 0 to 1, got 1.5"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(fused, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        write_kernel(fused, tmp_path / "k", **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_not_fused_is_refused(tmp_path):
    with pytest.raises(InputError, match="birdprobe fuse"):
        write_kernel(tiny_backbone(tmp_path / "tiny.onnx"), tmp_path / "k")
    with pytest.raises(InputError, match="no such file or folder"):
        write_kernel(tmp_path / "none", tmp_path / "k")
    assert not (tmp_path / "k").exists()


def test_weights_beside_the_model_come_along(fused, tmp_path):
    sessions.save(onnx.load(fused), tmp_path / "large.onnx")
    kernel = write_kernel(tmp_path / "large.onnx", tmp_path / "k")
    assert (kernel.package / "large.onnx.data").stat().st_size > 1024
    assert (kernel.package / "model.onnx").stat().st_size < fused.stat().st_size
    (tmp_path / "large.onnx.data").unlink()
    x = np.random.default_rng(0).normal(size=(4, 8000)).astype(np.float32)
    found = open_fused(kernel.package / "model.onnx", identity="known")(x)
    np.testing.assert_allclose(found, open_onnx(fused)(x), atol=1e-7)


def test_a_taxonomy_and_a_prior_of_others_are_refused(fused, tmp_path):
    taxonomy = tmp_path / "taxonomy.csv"
    taxonomy.write_text("primary_label,scientific_name,class_name\nx,Parus ater,Aves\n")
    with pytest.raises(InputError, match="none of the model's 3 classes"):
        write_kernel(fused, tmp_path / "k2", taxonomy=taxonomy)
    assert not (tmp_path / "k2").exists()


def test_a_run_is_fused_on_the_way(tmp_path):
    model = tiny_backbone(tmp_path / "tiny.onnx")
    backbone = Backbone.open(model, "block_01", sample_rate=8000)
    run = make_run(tmp_path / "run", backbone, ("block_01",), "linear", folds=2)
    kernel = write_kernel(run, tmp_path / "k", model=model, fold=1)
    assert json.loads(onnx_metadata(kernel.package / "model.onnx")["folds"]) == [1]
    with pytest.raises(InputError, match=r"none\.onnx: no such file or folder, expected the ONNX model"):
        write_kernel(run, tmp_path / "k2", model=tmp_path / "none.onnx")
    with pytest.raises(InputError, match="--model"):
        write_kernel(run, tmp_path / "k2")


def onnx_metadata(path):
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


GUARD = """
import socket
def _refuse(*arguments, **options):
    raise OSError("this kernel has no internet")
socket.getaddrinfo = socket.create_connection = socket.gethostbyname = _refuse
"""
AFTER = """
import sys
from pathlib import Path
import birdprobe
heavy = {"torch", "onnx", "sklearn", "scipy", "librosa", "h5py", "typer", "rich", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
print("birdprobe from", Path(birdprobe.__file__).parent.parent)
"""


def test_the_notebook_runs(fused, competition, tmp_path, monkeypatch):
    kernel = write_kernel(fused, tmp_path / "kernel", row_s=2.0, tta_shifts=(0.0, 1.0, -1.0), gaussian=1.0, power=0.4)
    mounted(kernel, competition, tmp_path)
    book = nbformat.read(kernel.notebook, as_version=4)
    nbformat.validate(book)
    book.cells.insert(0, nbformat.v4.new_code_cell(GUARD))
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
    assert "9 rows of 3 soundscapes" in printed
    assert "fallback" not in printed


def test_heads_over_time_go_to_kaggle_too(tmp_path, competition):
    """The packed file reads whole recordings, with onnxruntime alone, and gives what the run gives."""
    from tests.heads.test_fuse_recordings import make_run as over_time

    model = tiny_backbone(tmp_path / "tiny.onnx")
    run = over_time(tmp_path / "run", model, "sequence-gru", tokens=("embedding",), folds=1)
    kernel = write_kernel(run, tmp_path / "kernel", model=model, row_s=2.0)
    code = (
        "import sys; from pathlib import Path; from birdprobe.probe.soundscapes.kaggle_run import submit\n"
        "submit(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "heavy = {'torch', 'onnx', 'sklearn', 'scipy', 'h5py', 'typer'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    (tmp_path / "working").mkdir()
    places = [str(place) for place in (kernel.package, competition, tmp_path / "working")]
    subprocess.run([sys.executable, "-c", code, *places], check=True, capture_output=True)
    found = read(tmp_path / "working" / "submission.csv")
    predict(open_run(run, model, None, None), competition / "test_soundscapes", tmp_path / "wanted.csv", row_s=2.0)
    wanted = read(tmp_path / "wanted.csv")
    common = [name for name in wanted.columns if name in found.columns]
    assert common
    np.testing.assert_allclose(found.loc[wanted.index, common], wanted[common], atol=1e-5)
