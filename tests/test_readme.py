"""What README says is so: every command is in it, and its numbers are those that the command beside them gives."""

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import typer

from birdprobe.probe.cli.app import app
from birdprobe.probe.sweep.run_folder import ranking_table
from tests.probe.test_cli import birdprobe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
FINDINGS = (ROOT / "docs" / "findings.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", c) for inner, c in command.commands.items())
        else:
            yield name, command


def test_every_command_is_in_the_table_with_its_help():
    for name, command in commands():
        line = next((line for line in COMMANDS.splitlines() if line.startswith(f"| `birdprobe {name}")), None)
        assert line, f"docs/commands.md lacks `birdprobe {name}`"
        assert command.help.split(":")[0].split(".")[0].strip() in line.replace("\\", ""), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_command_that_is_not_there(page):
    known = {name for name, _ in commands()}
    heads = {name.split()[0] for name in known}
    code = re.findall(r"^```sh\n(.*?)^```|`([^`\n]+)`", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    used = {name for pair in code for part in pair for name in re.findall(r"(?<!import )birdprobe ([a-z]+)\b", part)}
    assert used <= heads and (used or page.name != "README.md"), used - heads


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_option_that_is_not_there(page):
    options = {"--help"} | {opt for _, command in commands() for parameter in command.params for opt in parameter.opts}
    options |= {opt for _, command in commands() for parameter in command.params for opt in parameter.secondary_opts}
    text = page.read_text()
    lines = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
    used = {
        option
        for line in lines
        if "kaggle" not in line and "tests." not in line
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", line.rpartition("-m birdprobe ")[2])  # not a launcher's
    }
    assert used <= options, used - options


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_pages_that_are_linked_exist(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_readme_is_short_and_links_every_page():
    assert len(README.splitlines()) <= 120
    assert {page.name for page in PAGES[1:]} <= set(re.findall(r"docs/([\w-]+\.md)", README + COMMANDS))


BIRDNET = ROOT.parent / "shared" / "data" / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not BIRDNET.exists(), reason="the real BirdNET and ESC-10 are not here")
def test_the_table_of_findings_is_what_its_command_gives(tmp_path):
    text = re.search(r"^birdprobe sweep \S*BirdNET\S* esc10 .*?(?:[^\\]\n)", FINDINGS, flags=re.DOTALL | re.MULTILINE)[
        0
    ]
    arguments = shlex.split(text.replace("\\\n", " "))[1:]
    arguments[1:3] = [BIRDNET, BIRDNET.parent.parent / "esc10"]
    arguments[arguments.index("-o") + 1] = tmp_path / "run"
    done = birdprobe(*arguments)
    assert done.returncode == 0, done.stderr
    table = ranking_table(pd.read_csv(tmp_path / "run" / "ranking.csv"), 5).to_markdown()
    compare = [without_cost(line) for line in table.splitlines() if "block" in line or "embedding" in line]
    printed = [without_cost(line) for line in FINDINGS.splitlines() if re.match(r"\| (block_|embedding|logits)", line)]
    assert [line for line in printed if "logits" not in line] == compare


def without_cost(line: str) -> str:
    """A table row less its last column, which is a time on some machine, and less the padding."""
    return " | ".join(cell.strip() for cell in line.strip("|").split("|")[:-1])
