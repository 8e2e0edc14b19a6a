"""What is committed of a build of the paper is what its command gives, and README says the same numbers."""

import re
from pathlib import Path

import pandas as pd
import pytest

from birdprobe.analysis.studies import leakage, sample_size
from tests.probe.test_cli import birdprobe
from tests.test_readme import BIRDNET, README, ROOT

RESULTS = ROOT / "paper" / "results"


def said(pattern: str) -> tuple[float, ...]:
    """The numbers that README has where the pattern's groups stand; blanks and line ends count alike."""
    match = re.search(pattern.replace(" ", r"\s+"), README)
    assert match, f"README lacks: {pattern}"
    return tuple(float(number) for number in match.groups())


def test_readme_says_what_the_budget_table_says():
    table = sample_size.read(RESULTS / "budget-esc10.csv")
    assert said(r"From (\d+) on") == (sample_size.enough(table),)
    shares = said(r"(\d+) clips agree in (\d+) % \[(\d+), (\d+)\]")
    last = table[table["n_clips"] == shares[0]].iloc[0]
    assert shares[1:] == tuple(round(100 * last[name]) for name in ("p_same_top", "p_same_top_lo", "p_same_top_hi"))


def test_readme_says_what_the_leakage_table_says():
    row = leakage.read(RESULTS / "leakage-esc10.csv").set_index("tap").loc["embedding"]
    all_clips = said(r"most: \+([\d.]+) points \[([\d.]+), ([\d.]+)\]")
    siblings = said(r"with another, \+([\d.]+) \[([\d.]+), ([\d.]+)\]")
    for found, name in ((all_clips, "difference"), (siblings, "siblings")):
        assert found == tuple(round(100 * row[f"{name}{end}"], 1) for end in ("", "_lo", "_hi"))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not BIRDNET.exists(), reason="the real BirdNET and ESC-10 are not here")
def test_committed_tables_are_what_the_command_gives(tmp_path):
    run, out = tmp_path / "esc10", tmp_path / "paper"
    audio = BIRDNET.parent.parent / "esc10"
    groups = ("--group-regex", r"^\d-(\d+)-", "--fold-regex", r"^(\d)-", "--classes", 10, "--per-class", 40)
    for command in (("sweep", BIRDNET, audio, "-o", run, *groups), ("paper", "-o", out, "--run", run)):
        done = birdprobe(*command)
        assert done.returncode == 0, done.stderr
    for name in ("budget-esc10.csv", "leakage-esc10.csv"):
        found, wanted = (pd.read_csv(Path(folder) / name) for folder in (out / "tables", RESULTS))
        pd.testing.assert_frame_equal(found, wanted, rtol=0, atol=5e-4)  # one clip of 400 counts 2.5e-3
    found, wanted = (pd.read_csv(folder / "table1.csv") for folder in (out / "tables", RESULTS))
    shared = [name for name in found if name in wanted.columns]
    assert "run0_knn" in shared
    pd.testing.assert_frame_equal(found[shared], wanted[shared], rtol=0, atol=5e-4)
