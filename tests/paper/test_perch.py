"""The commands that repeat Table 1, run as they stand on a stand-in: Wren has Perch's contract, the folder the
competition's formats."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from birdprobe.features.synthetic.competition import DEFAULT, write_competition
from birdprobe.paper.published import read
from birdprobe.paper.runs.discovery import recognise
from birdprobe.paper.typeset import TEXT

ROOT = Path(__file__).resolve().parents[2]
WREN = ROOT / "probe" / "assets" / "wren.onnx"


@pytest.mark.slow
def test_the_sequence_runs_through_and_reads_the_published_blocks(tmp_path):
    pytest.importorskip("typst")
    size = replace(DEFAULT, species=6, focal_per_species=8, labelled=6, unlabelled=1, test=1)
    write_competition(tmp_path / "comp", size, 0)
    here = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = os.environ | {"PATH": here, "SPECIES": "5", "CLIPS": "6"}
    command = ["sh", TEXT / "perch.sh", WREN, tmp_path / "comp", tmp_path / "runs"]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = ("table1-center", "table1-random", "perch", "perch-heads", "perch-weights")
    found = recognise([tmp_path / "runs" / name for name in names])
    center, drawn, whole = found.sweeps
    blocks = [f"block_{block:02d}" for block in read().section("protocol")["blocks"].value]
    assert list(center.ranking.index) == list(drawn.ranking.index) == blocks
    assert len(whole.ranking) == 28 and "embedding" in whole.ranking.index and whole.run.n_groups > 1
    assert center.config["settings"]["normalise"] == "none" and center.config["settings"]["select"] == "center"
    assert set(found.heads[0].parameters) == {"attention", "scalarmix", "linear-embedding"}
    assert set(found.heads[1].agreement["taps"]) >= {10}
    table = pd.read_csv(tmp_path / "runs" / "paper" / "tables" / "table1.csv")
    assert table["block"].tolist() == list(read().section("protocol")["blocks"].value)
    assert (tmp_path / "runs" / "paper" / "paper.pdf").stat().st_size > 100_000
