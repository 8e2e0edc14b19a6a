"""The folder of a fine-tuning run: accepted or refused before anything is computed, filled fold by fold.

config.json                       the member and everything resolved, the same for all folds; the files that are ours
fold0/log.csv                     a line an epoch
fold0/{best,last}.{safetensors,json}    see `finetune.checkpoint`
fold0/state/                      while the fold is not finished, see `finetune.training.resume`
fold0/throughput.json             on a GPU
oof/fold0.csv, oof/truth-fold0.csv    held-out windows in the form of a submission, and their labels
oof/MEMBER.csv, oof/truth.csv     the same of all folds so far, to be blended and compared
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ...analysis import predictions
from ...features import InputError
from ...features.files import write_json, write_text
from ...features.output_folder import Kind, OutputFolder, read_index
from . import resume
from .recipe import FREE, flat

KIND = Kind(
    "finetune",
    "a run",
    (
        *(f"fold*/{name}.{end}" for name in ("best", "last") for end in ("safetensors", "json")),
        *("fold*/log.csv", "fold*/throughput.json", "oof/*.csv"),
        "peaks.json",  # of earlier editions; now in the user's cache
    ),
    ("member", "settings"),
    kept=("smoke-audio",),
    formats=("birdprobe members 1",),
)
LOG = ("epoch", "step", "lr", "loss", "macro_auc", "cmap", "accuracy", "seconds", "clips_per_s")
TAUGHT = ("kl",)  # of a training with a teacher, after them


def check(run: Path, fold: int, config: dict, resume: bool | None, overwrite: bool) -> bool:
    """Whether there is an unfinished fold to go on with. Nothing is changed.

    resume: None goes on where there is something to go on from. InputError: what `OutputFolder.check` refuses; a run of
    another configuration (named by its first field); a fold that is finished, or begun and not to be resumed, unless
    `overwrite`, which replaces this fold and no other.
    """
    folder = OutputFolder(run, KIND)
    owned = folder.owned()
    folder.check(overwrite or owned is not None, _files(fold, config["member"]))
    own, text = run / f"fold{fold}", run / KIND.index
    begun, finished = (own / "state" / "state.json").is_file(), (run / "oof" / f"fold{fold}.csv").is_file()
    others = [path.name for path in run.glob("fold*") if path != own and any(path.iterdir())]
    bound = others or ((begun or finished) and not overwrite)
    if owned is not None and bound and (difference := differs(read_index(text), config)):
        raise InputError(
            f"{text}: {difference}. One run is one configuration: use another folder"
            + (f" ({', '.join(sorted(others))} would not fit)." if others else ", or --overwrite to begin anew.")
        )
    if not overwrite:
        if finished and not begun:
            raise InputError(
                f"{own}: expected no finished fold, got one. Train another --fold, or --overwrite to lose it."
            )
        if begun and resume is False:
            raise InputError(
                f"{own}: expected no unfinished fold, got one. --resume to go on with it, --overwrite to lose it."
            )
    if resume and (overwrite or not begun):
        raise InputError(f"{own}: expected an unfinished fold, got none. Leave --resume out to begin.")
    return begun and not overwrite


def prepare(run: Path, fold: int, config: dict) -> None:
    """Make room for a new fold: its old files are removed, config.json is written."""
    owned = OutputFolder(run, KIND).owned() or (KIND.index,)
    _clear(run, fold)
    files = sorted({*owned, *_files(fold, config["member"])} - {KIND.index})
    write_json(run / KIND.index, {"format": KIND.format} | config | {"files": files})
    (run / f"fold{fold}").mkdir(exist_ok=True)


def _files(fold: int, member: str) -> tuple[str, ...]:
    """What training a fold writes, besides config.json and its state."""
    checkpoints = [f"fold{fold}/{name}.{end}" for name in ("best", "last") for end in ("safetensors", "json")]
    tables = [f"oof/{name}.csv" for name in (f"fold{fold}", f"truth-fold{fold}", _plain(member), "truth")]
    return *checkpoints, f"fold{fold}/log.csv", f"fold{fold}/throughput.json", *tables


def _plain(member: str) -> str:
    """A member's name as one of a file."""
    return re.sub(r"[^\w.-]", "-", member)


def differs(found: dict, wanted: dict) -> str | None:
    """The first field in which two configurations would train different weights, in words; None where none does."""
    old, new = (flat(_counts(json.loads(json.dumps(one)))) for one in (found, wanted))
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name) != new.get(name):
            a, b = (_short(one.get(name)) for one in (old, new))
            return f"{name}: expected {a}, as the run has, got {b}"
    return None


def _counts(config: dict) -> dict:
    kept = {name: config[name] for name in ("member", "labels", "asked", "smoke") if name in config}
    if "teacher" in config:
        kept["teacher"] = config["teacher"]
    kept["data"] = {"sha256": config["data"]["sha256"]}
    kept["recipe"] = {name: value for name, value in config["settings"].items() if name not in FREE}
    return kept


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_log(own: Path, history: Sequence[dict]) -> None:
    """log.csv anew from the whole history: a resumed run repeats epochs that its state does not know."""
    write_text(own / "log.csv", log_of(history).to_csv(index=False))


def log_of(history: Sequence[dict]) -> pd.DataFrame:
    """A row an epoch, the columns of LOG; with a teacher also TAUGHT's."""
    return pd.DataFrame(
        list(history), columns=[*LOG, *(name for name in TAUGHT if any(name in row for row in history))]
    )


def write_oof(
    run: Path,
    member: str,
    fold: int,
    index: Sequence[str],
    values: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
) -> None:
    """The held-out windows of a fold, probabilities and truth [w, K], and all folds so far in one table."""
    folder = run / "oof"
    predictions.write(folder / f"truth-fold{fold}.csv", index, truth.astype(int), labels)
    predictions.write(folder / f"fold{fold}.csv", index, values, labels)
    order = sorted(int(m[1]) for path in folder.glob("fold*.csv") if (m := re.fullmatch(r"fold(\d+)", path.stem)))
    for name, start in ((_plain(member), "fold"), ("truth", "truth-fold")):
        parts = [(folder / f"{start}{i}.csv").read_text().splitlines() for i in order]
        lines = parts[0][:1] + [line for part in parts for line in part[1:]]
        write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")


def _clear(run: Path, fold: int) -> None:
    resume.clear(run / f"fold{fold}" / "state")
    for name in _files(fold, ""):
        if re.search(rf"fold{fold}\b", name):  # not the tables of all folds
            (run / name).unlink(missing_ok=True)
