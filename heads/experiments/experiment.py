"""Runs one experiment by its name: competition in, an outcome in a folder out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ...features import InputError
from ...features.output_folder import OutputFolder
from ...figures.gallery import save
from ...finetune.checkpoint import versions
from ...probe.assets import WREN
from . import outcome, priors, pseudo_labels, residual
from .competition_stores import gather
from .outcome import KIND, Finding, Outcome
from .training import Training, settings

EXPERIMENTS: dict[str, Callable[[Sequence[Training]], Finding]] = {
    "pseudo": pseudo_labels.find,
    "residual": residual.find,
    "priors": priors.find,
}


def run_experiment(
    name: str,
    competition: Path,
    output: Path,
    *,
    model: Path | None = None,
    taps: str = "21,24,25",
    folds: int = 5,
    epochs: int | None = None,
    repeats: int = 3,
    seed: int = 0,
    overwrite: bool = False,
    command: str = "",
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Outcome:
    """A published negative result repeated where the truth is known: on a made-up competition.

    Args:
        name: one of EXPERIMENTS.
        competition: a folder of `birdprobe demo --competition`.
        output: the folder to write: stores/ (made once and used again), runs/, outcome.csv, outcome.md, config.json,
            figures/, and grid.csv where something was searched.
        model: the backbone; None: the bundled Wren.
        taps: plain ones, as in `extract`.
        folds: by recording.
        epochs: at most; None: `training.EPOCHS`.
        repeats: trainings with the seeds `seed`, `seed + 1`, ... over which scores are averaged; priors needs only one.
        seed: of the first training.
        overwrite: replace a finished experiment.
        command: for the record in config.json.
        log: hears what happens, line by line.
        progress: draw a bar on a terminal.

    Returns: the table, what it says, and the folder.
    Raises: InputError for no such experiment, a competition without its truth, a folder that holds an outcome.
    """
    started, out, model = time.perf_counter(), Path(output), model or WREN
    if name not in EXPERIMENTS:
        raise InputError(f"experiment: expected one of {', '.join(EXPERIMENTS)}, got {name!r}.")
    OutputFolder(out, KIND).check(overwrite)
    if repeats < 1:
        raise InputError(f"`--repeats` must be at least 1, got {repeats}.")
    material = gather(competition, out / "stores", model, taps, overwrite, progress, log)
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
    save(out, ["experiment"])
    log(finding.sentence)
    return Outcome(name, out, finding.frame, finding.sentence, finding.notes, seconds)
