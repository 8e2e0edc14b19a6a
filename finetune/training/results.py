"""The folder of a fine-tuning run: accepted or refused before anything is computed, filled fold by fold.

config.json                       the member and everything resolved; the same for all folds
peaks.json                        where the energy rule finds something in a clip, sought once
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
from ...features.files import parse_json, write_json, write_text
from . import resume
from .recipe import FREE, flat

FORMAT = "birdprobe members 1"
LOG = ("epoch", "step", "lr", "loss", "macro_auc", "cmap", "accuracy", "seconds", "clips_per_s")
TAUGHT = ("kl",)  # of a training with a teacher, after them


def check(run: Path, fold: int, config: dict, resume: bool | None, overwrite: bool) -> bool:
    """Whether there is an unfinished fold to go on with. Nothing is changed.

    resume: None goes on where there is something to go on from. InputError: not a run's folder; a run of another
    configuration (named by its first field); a fold that is finished, or begun and not to be resumed, unless
    `overwrite`, which replaces this fold and no other.
    """
    if run.exists() and not run.is_dir():
        raise InputError(f"{run}: expected a folder for the run, got a file.")
    for strange, what in (("ranking.csv", "a sweep's run"), ("heads", "a run of heads")):
        if (run / strange).exists():
            raise InputError(f"{run}: expected a folder of its own for the member, got {what}.")
    own = run / f"fold{fold}"
    begun, finished = (own / "state" / "state.json").is_file(), (run / "oof" / f"fold{fold}.csv").is_file()
    others = [path.name for path in run.glob("fold*") if path != own and any(path.iterdir())]
    bound = others or ((begun or finished) and not overwrite)
    text = run / "config.json"
    if text.is_symlink():
        raise InputError(f"{text}: expected a file, got a symbolic link. Move it away.")
    found = read_config(text) if text.exists() else None  # of another program's nothing is replaced, whatever is asked
    if found is not None and bound and (difference := differs(found, config)):
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
    _clear(run, fold)
    (run / f"fold{fold}").mkdir(parents=True, exist_ok=True)
    write_json(run / "config.json", config)


def read_config(path: Path) -> dict:
    """InputError: not the config.json of such a run."""
    try:
        found = parse_json(path.read_text())
        if found["format"] != FORMAT:
            raise ValueError(f"expected {FORMAT!r}, got {found['format']!r}")
        return found
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {error}. The folder of another command?") from None


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
    for name, start in ((re.sub(r"[^\w.-]", "-", member), "fold"), ("truth", "truth-fold")):
        parts = [(folder / f"{start}{i}.csv").read_text().splitlines() for i in order]
        lines = parts[0][:1] + [line for part in parts for line in part[1:]]
        write_text(folder / f"{name}.csv", "\n".join(lines) + "\n")


def _clear(run: Path, fold: int) -> None:
    own = run / f"fold{fold}"
    resume.clear(own / "state")
    names = [f"{which}.{end}" for which in ("best", "last") for end in ("safetensors", "json")]
    for path in (
        *(own / name for name in (*names, "log.csv", "throughput.json")),
        *(run / "oof" / f"{name}.csv" for name in (f"fold{fold}", f"truth-fold{fold}")),
    ):
        path.unlink(missing_ok=True)
