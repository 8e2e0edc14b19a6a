"""What README says is so: every command is in it, and its numbers are those that the command beside them gives."""

import re
from pathlib import Path

import typer

from probe.cli import app

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def commands():
    root = typer.main.get_command(app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", c) for inner, c in command.commands.items())
        else:
            yield name, command


def test_every_command_is_in_readme_with_its_help():
    for name, command in commands():
        line = next((line for line in README.splitlines() if line.startswith(f"| `birdprobe {name}")), None)
        assert line, f"README's table of commands lacks `birdprobe {name}`"
        assert command.help.split(":")[0].split(".")[0].strip() in line.replace("\\", ""), name


def test_readme_names_no_command_that_is_not_there():
    known = {name for name, _ in commands()}
    for used in re.findall(r"birdprobe ([a-z]+(?: (?:info|check|export))?)", README):
        assert used in known or used.split()[0] in {name.split()[0] for name in known}, used


def test_pictures_that_readme_shows_exist():
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
