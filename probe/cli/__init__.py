"""The one command, `birdprobe`. A body parses, calls one function and prints; heavy imports wait inside the bodies."""

import errno
import sys

import typer

from ...features import InputError
from . import backbones, members, pictures, predictions, soundscapes, stores, training
from .terminal import say

TRAIN_EXTRA = (
    "torch",
    "timm",
    "transformers",
    "safetensors",
    "accelerate",
    "huggingface_hub",
    "onnxscript",
    "nbformat",
)

app = typer.Typer(
    name="birdprobe",
    help="Which block of a frozen bird-sound network should you read? Rank every block on your own labelled audio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps its plain traceback
    add_completion=False,
)
for command in (
    *(backbones.blocks, backbones.sweep, backbones.extract),
    *(training.train, training.fuse),
    *(members.finetune, members.export),
    *(soundscapes.predict, predictions.blend, predictions.score, soundscapes.kernel),
    *(pictures.figures, pictures.paper),
    *(backbones.demo, training.experiment),
):
    app.command()(command)
store_app = typer.Typer(help="Look into a store of cached features.", no_args_is_help=True)
for command in (stores.info, stores.check, stores.export):
    store_app.command()(command)
app.add_typer(store_app, name="store")


def main() -> None:
    """Entry point: bad input is one line and exit 1, anything else keeps its traceback."""
    try:
        app()
    except InputError as error:
        say(f"birdprobe: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        say(f"birdprobe: {error.filename or 'output'}: {error.strerror}. Nothing that was written before is lost.")
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA:
            raise
        say(f"birdprobe: {error.name} is missing, this command needs it: pip install 'birdprobe[train]'")
        say("(in a checkout: .venv/bin/pip install --editable '.[train]')")
        sys.exit(1)
    except KeyboardInterrupt:
        say("birdprobe: stopped; the same command goes on from here")
        sys.exit(130)
