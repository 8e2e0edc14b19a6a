"""Messages advise flags that exist: every `--flag` in a string of the product is an option of some command."""

import ast
import re
from pathlib import Path

import pytest
import typer

from birdprobe.probe.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "analysis", "probe", "heads", "finetune", "figures", "paper")
FLAG = re.compile(r"(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)\b")

# flags of other programs, which texts name: pip, Kaggle's client, Typst
FOREIGN = {
    *("only-binary", "python-version", "platform", "no-index", "no-deps", "find-links", "quiet"),
    *("editable", "dir-mode", "version", "keras", "saved-model"),
}


OWN_COMMANDS = {"finetune/wren/train.py"}  # run with `python -m`, its options are its own


def options(command) -> set[str]:
    """Every option of a command and of those below it, without the dashes."""
    found = {name[2:] for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return found.union(*(options(below) for below in getattr(command, "commands", {}).values()))


def advised() -> list[tuple[str, str]]:
    """(place, flag) of every flag in a string of the product."""
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if path.relative_to(ROOT).as_posix() in OWN_COMMANDS:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found += [(place, flag) for flag in FLAG.findall(node.value)]
    return found


def test_flags_in_messages_exist():
    known = options(typer.main.get_command(app)) | FOREIGN | {"help"}
    wrong = [f"{place}: --{flag}" for place, flag in advised() if flag not in known]
    assert not wrong, "\n".join(wrong)


def test_flags_are_found_in_strings():
    places = {flag for _, flag in advised()}
    assert {"overwrite", "sample-rate", "window"} <= places


@pytest.mark.parametrize(("text", "flags"), [("--lr, or --clip-norm?", ["lr", "clip-norm"]), ("a--b ---", [])])
def test_what_counts_as_a_flag(text, flags):
    assert FLAG.findall(text) == flags
