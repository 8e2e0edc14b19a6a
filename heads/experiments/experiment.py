"""Runs one experiment by its name: competition in, an outcome in a folder out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ...features import InputError
from ..training.job import versions
from . import outcome, priors, pseudo_labels, residual
from .competition_stores import gather
from .outcome import Finding, Outcome
from .training import Training, settings

REPEATS = 3
EXPERIMENTS: dict[str, Callable[[Sequence[Training]], Finding]] = {
    "pseudo": pseudo_labels.find,
    "residual": residual.find,
    "priors": priors.find,
}


def run(
    name: str,
    competition: Path,
    out: Path,
    *,
    model: Path,
    taps: str = "21,24,25",
    seed: int = 0,
    epochs: int | None = None,
    folds: int = 5,
    repeats: int = REPEATS,
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Outcome:
    """Repeat the experiment `name` (one of EXPERIMENTS) on a made-up competition with the backbone `model`.

    Writes into `out`: stores/ (made once and used again), runs/, outcome.csv, outcome.md, config.json, and grid.csv
    where something was searched. taps: plain ones, as for `extract`; epochs: at most, `training.EPOCHS` by default.
    repeats: trainings with the seeds `seed`, `seed + 1`, ... over which scores are averaged; priors needs only one.
    InputError: no such experiment, a competition without its truth, a folder that holds an outcome (see overwrite).
    """
    started, out = time.perf_counter(), Path(out)
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: {name!r} found, one of {', '.join(EXPERIMENTS)} wanted.")
    outcome.check(out, overwrite)
    if repeats < 1:
        raise InputError(f"--repeats: {repeats} found, at least 1 wanted.")
    material = gather(competition, out / "stores", model, taps, overwrite, progress, say)
    trainings = [
        Training(material, out / "runs" / f"seed-{one}", settings(one, epochs, folds))
        for one in range(seed, seed + repeats)
    ]
    finding = EXPERIMENTS[name](trainings)
    seconds = round(time.perf_counter() - started, 1)
    config = {
        "command": command,
        "competition": str(competition),
        "model": {"path": str(model), "sha256": material.backbone.sha256},
        "taps": list(material.tokens),
        "settings": asdict(trainings[0].settings),
        "repeats": int(finding.frame["repeats"].iloc[0]),
        "versions": versions(),
        "seconds": seconds,
    }
    outcome.write(out, name, finding, config, trainings[0].truths().about())
    say(finding.sentence)
    return Outcome(name, out, finding.frame, finding.sentence, finding.notes, seconds)
