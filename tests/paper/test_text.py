"""The text says no number of its own, and every macro that it names is one that a build can give."""

import re
import subprocess

from birdprobe.paper import published
from birdprobe.paper.missing import PARTS
from birdprobe.paper.typeset import TEXT

PAPER = (TEXT / "paper.typ").read_text(encoding="utf-8")
STYLE = (TEXT / "style.typ").read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text less comments and less the names inside calls."""
    return re.sub(r'"[^"\n]*"', '""', re.sub(r"(?<![:\w])//.*", "", text))


def test_no_number_with_a_decimal_point_is_typed():
    typed = re.findall(r"\S*\d\.\d\S*|\S*\.\d\S*", prose(PAPER))
    assert not typed, typed


def test_the_rule_would_find_one():
    assert re.findall(r"\S*\d\.\d\S*", prose('reaches 0.648, see #num("table1.24.knn") // 1.5')) == ["0.648,"]


def test_a_semicolon_after_a_macro_is_printed():
    # Typst takes a bare semicolon after a call for its end and prints nothing
    assert not re.findall(r'#\w+\("[^"]*"\);', PAPER)


def test_published_names_exist():
    keys = published.read().entries
    roots = {key.split(".")[0] for key in keys} - {"pseudo", "residual", "weights"}
    named = set(re.findall(r'num\("([^"]+)"\)', PAPER))
    assert len(named) > 60
    assert {name for name in named if name.split(".")[0] in roots} <= set(keys)


def test_every_gap_is_told_somewhere_in_the_text():
    told = set(re.findall(r'(?:gap|part)\("(\w+)', PAPER))
    assert set(PARTS) | {"budget", "leakage"} <= told


def test_the_sequence_for_perch_is_a_shell_script_that_names_the_published_blocks():
    script = TEXT / "perch.sh"
    assert subprocess.run(["sh", "-n", script], capture_output=True).returncode == 0
    text = script.read_text(encoding="utf-8")
    about = published.read().section("protocol")
    taps = re.search(r"--taps (1,4\S+)", text)[1]
    first, last = map(int, re.search(r"(\d+)-(\d+)", taps).groups())
    blocks = [int(one) for one in taps.split(",")[:-1]] + list(range(first, last + 1))
    assert tuple(blocks) == about["blocks"].value
    assert f"SPECIES:-{about['species'].text}" in text and f"CLIPS:-{about['clips_per_species'].text}" in text
    assert f"--k {about['k'].text} --folds {about['folds'].text}" in text
    assert max(map(len, text.splitlines())) <= 104  # wider lines wrap on the page
