"""The notebook, run offline: it installs its own wheel and gives what `predict` and the steps give."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from birdprobe.analysis.postprocess.chain import Wanted, chain
from birdprobe.analysis.predictions.table import faults, read
from birdprobe.heads.kaggle import notebook, write_kernel
from birdprobe.heads.kaggle.wheel import NEEDED, build_wheel
from birdprobe.probe.soundscapes import open_onnx, predict
from tests.heads.kaggle.material import NAMES, prior_of, taxonomy_of
from tests.heads.untrained import LABELS

PIP = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]


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
