"""The one command, `birdprobe`. A body parses, calls one function and prints; heavy imports wait inside the bodies."""

import io
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from ...features import InputError
from ...features.files import KEPT, REASONS, check_regular
from .command import command, examples
from .terminal import say

# Where each command lives: rooms above this one are known by name alone, so that no import runs back up.
COMMANDS = {
    "models": "probe.models.commands",
    "fetch": "probe.models.commands",
    "convert": "probe.models.commands",
    "check": "probe.models.commands",
    "randomise": "probe.models.commands",
    "blocks": "probe.commands",
    "sweep": "probe.commands",
    "compare": "probe.commands",
    "extract": "probe.commands",
    "train": "heads.commands",
    "fuse": "heads.commands",
    "finetune": "finetune.commands",
    "export": "finetune.commands",
    "predict": "heads.soundscape_commands",
    "events": "heads.soundscape_commands",
    "blend": "probe.cli.predictions",
    "score": "probe.cli.predictions",
    "kernel": "heads.soundscape_commands",
    "figures": "probe.cli.pictures",
    "atlas": "paper.commands",
    "paper": "paper.commands",
    "demo": "probe.commands",
    "experiment": "heads.commands",
}
STORE_COMMANDS = {name: name for name in ("info", "check", "export", "import", "join", "rank")} | {"import": "import_"}
TRAIN_EXTRA = (
    *("torch", "timm", "transformers", "safetensors", "accelerate", "huggingface_hub", "onnxscript", "nbformat"),
)

app = typer.Typer(
    name="birdprobe",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps its plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)
store_app = typer.Typer(help="Look into a store of cached features.", no_args_is_help=True)
for name, room in COMMANDS.items():
    app.command(name, epilog=examples(name))(command(name, getattr(import_module(f"birdprobe.{room}"), name)))
for name, function in STORE_COMMANDS.items():
    typed = f"store {name}"
    store_app.command(name, epilog=examples(typed))(
        command(typed, getattr(import_module("birdprobe.probe.cli.stores"), function))
    )
app.add_typer(store_app, name="store")


def print_version(wanted: bool) -> None:
    """`birdprobe --version`."""
    if wanted:
        from importlib.metadata import version

        print(f"birdprobe {version('birdprobe')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which block of a frozen bird-sound network should you read? Rank every block on your own labelled audio."""


def main() -> None:
    """Entry point: bad input is one line and exit 1, anything else keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a path may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    try:
        for word in sys.argv[1:]:
            check_regular(word.partition("=")[2] if word.startswith("--") else word)
        app()
    except InputError as error:
        say(f"birdprobe: {error}")
        sys.exit(1)
    except BrokenPipeError:  # `birdprobe blocks m.onnx | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered goes there at exit
        sys.exit(1)
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or str(error))
        say(f"birdprobe: {error.filename or 'output'}: {reason}. {KEPT}")
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA:
            raise
        say(f"birdprobe: {error.name} is missing, this command needs it: pip install 'birdprobe[train]'")
        say("(in a checkout: .venv/bin/pip install --editable '.[train]')")
        sys.exit(1)
