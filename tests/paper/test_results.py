"""What is committed of runs and of a build of the paper is what its command gives; the pages say the same numbers."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from birdprobe.analysis import wording
from birdprobe.analysis.runs import READOUT_COLUMNS
from birdprobe.analysis.studies import sample_size
from tests.probe.test_cli import birdprobe
from tests.test_readme import BIRDNET, FINDINGS, PAGES, README, ROOT

RESULTS = ROOT / "paper" / "results"
DATA = {"xc21": "21 bird species", "esc10": "10 everyday sounds", "fsdd": "10 spoken digits"}
USES = ("training_free", "linear", "published")
ADVICE = ("readout", "tap", "score", "corrected", "vs_last", "p_adjusted")


def said(pattern: str) -> tuple[float, ...]:
    """The numbers that the pages have where the pattern's groups stand; blanks and line ends count alike."""
    match = re.search(pattern.replace(" ", r"\s+"), "\n".join(page.read_text() for page in PAGES))
    assert match, f"no page has: {pattern}"
    return tuple(float(number) for number in match.groups())


def readout_rows(data: str) -> list[str]:
    """The lines on a data set: embedding, best block and their difference under every read-out."""
    table = pd.read_csv(RESULTS / f"readouts-{data}.csv")
    cells: dict[str, list[str]] = {f"{data}, {DATA[data]}": [], "": [], " ": []}
    for readout in dict.fromkeys(table["readout"]):
        rows = table[table["readout"] == readout].set_index("tap")
        block = rows.loc[rows[rows.index.str.startswith("block_")]["score"].idxmax()]
        gain = wording.number(wording.in_points(block["vs_last"]), 1, signed=True)
        p = wording.number_of_p(block["vs_last_p_adjusted"])
        number = wording.tap_label(str(block.name)).zfill(2)
        new = (f"{rows.loc['embedding', 'score']:.3f}", f"{block['score']:.3f} ({number})", f"{gain}, p {p}")
        for line, cell in zip(cells.values(), new):
            line.append(cell)
    what = ("final embedding", "best block", "difference, points")
    return [" | ".join((name.strip(), kind, *line)) for kind, (name, line) in zip(what, cells.items())]


@pytest.mark.parametrize("data", DATA)
def test_the_table_of_read_outs_is_the_committed_one(data):
    lines = [" | ".join(cell.strip() for cell in line.strip("|").split("|")) for line in FINDINGS.splitlines()]
    for row in readout_rows(data):
        assert row in lines, row


@pytest.mark.parametrize("data", DATA)
def test_readmes_differences_are_those_of_the_table(data):
    difference = readout_rows(data)[2].split(" | ")[2:]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines()]
    row = next(line for line in lines if line[0] == f"{data}, {DATA[data]}")
    assert row[1:] == [difference[i] for i in (0, 1, 2, 4)]  # knn, knn-cosine, knn-standard, linear


def test_readme_quotes_the_committed_answer():
    quoted = " ".join(line.removeprefix("> ") for line in README.splitlines() if line.startswith("> "))
    sentence = json.loads((RESULTS / "answer-xc21.json").read_text(encoding="utf-8"))["sentence"]
    for part in quoted.split("[...]"):
        assert part.strip() in sentence, part


@pytest.mark.parametrize("data", DATA)
def test_committed_answers_name_cells_of_the_committed_read_outs(data):
    table = pd.read_csv(RESULTS / f"readouts-{data}.csv").set_index(["tap", "readout"])
    answer = json.loads((RESULTS / f"answer-{data}.json").read_text(encoding="utf-8"))
    assert table.reset_index().columns.tolist() == list(READOUT_COLUMNS)
    for use in USES:
        row = table.loc[answer[use]["tap"], answer[use]["readout"]]
        for name, column in {"score": "score", "vs_last": "vs_last", "p_adjusted": "vs_last_p_adjusted"}.items():
            assert answer[use][name] == pytest.approx(row[column], abs=1e-5), (use, name)
    assert answer["sentence"]


def test_readme_says_what_the_budget_table_says():
    table = pd.read_csv(RESULTS / "budget-esc10.csv")
    assert said(r"From (\d+) on") == (sample_size.enough(table),)
    shares = said(r"(\d+) clips agree in (\d+) % \[(\d+), (\d+)\]")
    last = table[table["n_clips"] == shares[0]].iloc[0]
    assert shares[1:] == tuple(round(100 * last[name]) for name in ("p_same_top", "p_same_top_lo", "p_same_top_hi"))


def test_readme_says_what_the_leakage_table_says():
    row = pd.read_csv(RESULTS / "leakage-esc10.csv").set_index("tap").loc["embedding"]
    all_clips = said(r"most: \+([\d.]+) points \[([\d.]+), ([\d.]+)\]")
    siblings = said(r"with another, \+([\d.]+) \[([\d.]+), ([\d.]+)\]")
    for found, name in ((all_clips, "difference"), (siblings, "siblings")):
        assert found == tuple(round(100 * row[f"{name}{end}"], 1) for end in ("", "_lo", "_hi"))


def assert_same_readouts(found: pd.DataFrame, committed: pd.DataFrame, one_row: float) -> None:
    """Equal to the digits that README prints.

    Where a logistic regression stops depends on the last bits of a matrix product, so one row near a border may change
    sides; with it the family-wise p of every cell moves a little.
    """
    pd.testing.assert_frame_equal(found[["tap", "readout"]], committed[["tap", "readout"]])
    p_values = [name for name in committed if name.endswith(("_p", "_p_adjusted"))] + ["p_best"]
    pd.testing.assert_frame_equal(found[p_values], committed[p_values], rtol=0, atol=0.03)
    kept = [name for name in committed.select_dtypes("number") if name not in p_values]
    logistic = committed["readout"] == "logistic"
    for rows, atol in ((~logistic, 5e-4), (logistic, 1.5 * one_row)):
        pd.testing.assert_frame_equal(found.loc[rows, kept], committed.loc[rows, kept], rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["members", "pseudo", "residual", "priors"])
def test_the_page_on_competitions_says_the_committed_gains(name):
    """All arms of the small experiments; of the one on members what inner blocks add, and what is chosen."""
    page = (ROOT / "docs" / "competition.md").read_text()
    table = pd.read_csv(RESULTS / f"experiment-{name}.csv", keep_default_na=False, na_values=[""])
    rows = table[table["against"].notna()]
    if name == "members":
        rows = rows[rows["role"].isin(["inner-blocks", "blend"]) | rows["arm"].str.startswith("best")]
        rows = rows[rows["role"] != "late"]
    assert len(rows) and f"birdprobe experiment {name} runs/comp -o runs/{name}" in page
    for _, row in rows.iterrows():
        for gain in ("oof_gain", "heldout_gain"):
            ends = (row[f"{gain}{end}"] for end in ("", "_lo", "_hi"))
            assert wording.interval(*ends, signed=True) in page, (row["arm"], gain)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not (BIRDNET.parent.parent / "xc21").exists(), reason="the real BirdNET and xc21 are not here")
def test_committed_read_outs_of_birds_are_what_the_pages_command_gives(tmp_path):
    text = re.search(r"^birdprobe sweep \S+ xc21 .*?(?:[^\\]\n)", FINDINGS, flags=re.DOTALL | re.MULTILINE)[0]
    arguments = shlex.split(text.replace("\\\n", " "))[1:]
    arguments[1:5] = [BIRDNET, BIRDNET.parent.parent / "xc21", "-o", tmp_path / "run"]
    done = birdprobe(*arguments, "--no-timing", "--projection", "none")
    assert done.returncode == 0, done.stderr
    found, committed = (pd.read_csv(path) for path in (tmp_path / "run/readouts.csv", RESULTS / "readouts-xc21.csv"))
    assert_same_readouts(found, committed, 1 / 256)
    paths = (tmp_path / "run" / "answer.json", RESULTS / "answer-xc21.json")
    found, committed = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
    for use in USES:
        assert [found[use][name] for name in ADVICE] == [
            pytest.approx(value, abs=0.02) if isinstance(value, float) else value
            for value in (committed[use][name] for name in ADVICE)
        ]
    assert found["agree"] == committed["agree"]


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
