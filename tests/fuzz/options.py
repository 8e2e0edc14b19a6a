"""Random command lines: every command, every option, values likely and unlikely, on the inputs of tests.world.

A command line is JSON, a list of words; {w} stands for the folder of inputs. Names of options and their types are read
from the real application, so that a new command or option is tried without a word here.
"""

import json
from enum import Enum
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, get_args, get_type_hints

from tests.world import EPOCHS, RATE

PATHS = (
    *("{w}/m.onnx", "{w}/s.h5", "{w}/clips", "{w}/run", "{w}/heads", "{w}/fused.onnx", "{w}/labels.txt", "{w}/sounds"),
    *(
        "{w}/a.csv",
        "{w}/b.csv",
        "{w}/truth.csv",
        "{w}/taxonomy.csv",
        "{w}/sample.csv",
        "{w}/manifest.csv",
        "{w}/member",
    ),
    *("{w}/annotations.csv", "{w}/run/config.json", "{w}/nope", "{w}/m.onnx/x", "{w}/" + "n" * 300, "{w}/new/deep/x"),
    *("{w}/out", "{w}/out.h5", "{w}/out.csv", "{w}/out.onnx", "{w}/out.npz", "{w}/a.json", "{w}/\udcff.csv", ""),
)
NUMBERS = ("-1", "0", "1", "2", "3", "5", "1000000000", "2147483648", "9223372036854775808", "1e3", "x", "")
FRACTIONS = ("-1", "0", "0.3", "1", "2.5", "nan", "inf", "-inf", "1e308", "1e-320", "x", "")
TEXTS = (
    *("", " ", "all", "x", "-1", "0", "0,1", "1:2", "block_00", "embedding,logits", "block_00,block_00", "9" * 30),
    *(
        "mean",
        "mean,max",
        "grid:2x3",
        "grid:0x0",
        "grid:99999x99999",
        "random:2",
        "random:-1",
        "energy:0",
        "random:9" * 2,
    ),
    *(
        "0.5,0.5",
        "nan,nan",
        "1e308,1e308",
        "0,0",
        "search",
        "auto:2",
        "auto:99",
        "^(G[0-9]+)",
        "(",
        "(a+)+$",
        "(x*)*y()",
    ),
    *(
        "linear",
        "concat",
        "linear:-1,attention:0",
        "knn,linear",
        "knn",
        "centroid",
        "1,2,4",
        "softmax",
        "shrunk",
        "skip",
    ),
    *(
        "rank",
        "logit",
        "none",
        "peak",
        "cpu",
        "pebble",
        "timm:nope",
        "é\u202e",
        "\udcff",
        "a" * 5000,
        "{w}/truth.csv",
        "file",
    ),
)
# What works, to start from; the word after -o is new.
WORKING = (
    ("blocks", "{w}/m.onnx"),
    ("extract", "{w}/m.onnx", "{w}/clips", "-o", "{w}/out.h5", *RATE),
    ("extract", "{w}/m.onnx", "{w}/manifest.csv", "-o", "{w}/out.h5", *RATE),
    ("sweep", "{w}/m.onnx", "{w}/clips", "-o", "{w}/out", "--projection", "none", "--no-timing", *RATE),
    ("compare", "{w}/run", "{w}/run", "-o", "{w}/out"),
    ("store", "info", "{w}/s.h5"),
    ("store", "check", "{w}/s.h5"),
    ("store", "export", "{w}/s.h5", "-o", "{w}/out.npz"),
    ("train", "{w}/s.h5", "-o", "{w}/out", "--head", "linear", *EPOCHS),
    ("fuse", "{w}/heads", "{w}/m.onnx", "-o", "{w}/out.onnx"),
    ("predict", "{w}/fused.onnx", "{w}/sounds", "-o", "{w}/out.csv"),
    ("predict", "{w}/m.onnx", "{w}/sounds", "-o", "{w}/out.csv", "--labels", "{w}/labels.txt", *RATE),
    ("predict", "{w}/member", "{w}/sounds", "-o", "{w}/out.csv"),
    ("finetune", "pebble", "{w}/tones", "-o", "{w}/out", "--epochs", "1", "--folds", "2", "--device", "cpu"),
    ("export", "pebbles", "-o", "{w}/out.onnx"),
    ("blend", "{w}/a.csv", "{w}/b.csv", "-o", "{w}/out.csv"),
    ("blend", "{w}/a.csv", "{w}/b.csv", "-o", "{w}/out.csv", "--truth", "{w}/truth.csv"),
    ("score", "{w}/a.csv", "{w}/truth.csv"),
    ("kernel", "{w}/fused.onnx", "-o", "{w}/out"),
    ("figures", "{w}/run"),
    ("figures", "{w}/heads"),
    ("paper", "-o", "{w}/out", "--run", "{w}/run"),
    ("experiment", "priors", "{w}/nope", "-o", "{w}/out"),
    ("demo", "-o", "{w}/run"),
)
# They reach for the network or another machine, or take as long as they are told to.
LEFT_OUT = {"--cluster", "--push-to-hub", "--track", "--pretrained", "--compile", "--jobs", "--help"}
LONG = {"demo": {"--output", "-o", "--species", "--clips", "--competition", "--soundscapes", "--overwrite"}}


def options() -> dict[tuple[str, ...], list[tuple[list[str], object]]]:
    """Command -> its options, each with its spellings and its type; the commands of `store` have two words."""
    from typer.main import get_command

    from birdprobe.probe.cli import app

    tree: Any = get_command(app.app)
    functions = {(name,): (tree.commands[name], app.COMMANDS[name]) for name in app.COMMANDS}
    functions |= {
        ("store", name): (tree.commands["store"].commands[name], "probe.cli.stores") for name in app.STORE_COMMANDS
    }
    found = {}
    for name, (command, room) in functions.items():
        function = app.STORE_COMMANDS[name[1]] if name[0] == "store" else name[-1]
        hints = get_type_hints(getattr(import_module(f"birdprobe.{room}"), function))
        several = [one for one in command.params if one.param_type_name == "option" and one.name in hints]
        found[name] = [(one.opts, hints[one.name]) for one in several if not {*one.opts} & LEFT_OUT]
    return found


def line(rng: Random) -> bytes:
    """A command line that works, changed in a few places."""
    words = list(rng.choice(WORKING))
    n_names = 2 if words[0] == "store" else 1
    choices = options()[tuple(words[:n_names])]
    choices = [option for option in choices if not {*option[0]} & LONG.get(words[0], set())]
    for _ in range(min(5, int(rng.expovariate(0.6))) if choices else 0):
        spellings, kind = rng.choice(choices)
        words += [rng.choice(spellings), *([] if kind is bool else [value(kind, rng)])]
    if rng.random() < 0.3:
        at = rng.randrange(n_names, len(words))
        if not words[at].startswith("-"):
            words[at] = rng.choice(PATHS)
    if rng.random() < 0.05:
        del words[rng.randrange(n_names, len(words))]
    if words[0] == "demo" and "{w}/run" not in words:
        words = ["demo", "-o", "{w}/run"]
    return json.dumps(words).encode()


def value(kind: object, rng: Random) -> str:
    """A value for an option of this type, now and then of another."""
    if rng.random() < 0.1:
        return rng.choice((*TEXTS, *PATHS, *FRACTIONS))
    kinds = {kind, *get_args(kind)}
    for one in kinds:
        if isinstance(one, type) and issubclass(one, Enum):
            return str(rng.choice(list(one)).value)
    if float in kinds:
        return rng.choice(FRACTIONS)
    if int in kinds:
        return rng.choice(NUMBERS)
    return rng.choice(PATHS if Path in kinds else TEXTS)
