"""Runs one experiment by its name: competition in, an outcome in a folder out."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ...features.output_folder import OutputFolder
from ...features.progress import Log, listener
from ...features.schema import check_choice, check_least, checked
from ...figures.gallery import save
from ...finetune.checkpoint import versions
from ...probe.assets import WREN
from ..training.loop import Settings
from . import members, outcome, priors, pseudo_labels, residual
from .competition_stores import gather
from .outcome import KIND, Finding, Outcome
from .training import Training

EPOCHS = 20  # at most 50 were published; on a made-up competition few of the epochs that are kept lie beyond


@dataclass(frozen=True)
class Design:
    """An experiment: what finds its outcome; its settings and number of trainings, where nobody gives others; taps
    that it reads beside those that are asked for."""

    find: Callable[[Sequence[Training]], Finding]
    settings: Settings = Settings(epochs=EPOCHS, fold_by="file")  # noqa: RUF009, it is frozen
    repeats: int = 3
    more_taps: tuple[str, ...] = ()


EXPERIMENTS = {
    "pseudo": Design(pseudo_labels.find),
    "residual": Design(residual.find),
    "priors": Design(priors.find, repeats=1),
    "members": Design(members.find, Settings(epochs=12, patience=3, fold_by="group"), 1, (members.EMBEDDING,)),
}


@checked
def run_experiment(
    name: str,
    competition: Path,
    output: Path,
    *,
    model: Path | None = None,
    taps: str = "21,24,25",
    folds: int = 5,
    epochs: int | None = None,
    repeats: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
    command: str = "",
    log: Log | None = None,
    progress: bool = True,
) -> Outcome:
    """What was published repeated where the truth is known: on a made-up competition.

    Args:
        name: one of EXPERIMENTS.
        competition: a folder of `birdprobe demo --competition`.
        output: the folder to write: stores/ (made once and used again), runs/, outcome.csv, outcome.md, config.json,
            figures/, and grid.csv where something was searched.
        model: the backbone; None: the bundled Wren.
        taps: plain ones, as in `extract`.
        folds: by recording; of members by site.
        epochs: at most; None: 20, of members 12.
        repeats: trainings with the seeds `seed`, `seed + 1`, ... over which scores are averaged; None: 3, of priors and
            members 1.
        seed: of the first training.
        overwrite: replace a finished experiment.
        command: for the record in config.json.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: the table, what it says, and the folder.
    Raises: InputError for no such experiment, a competition without its truth, a folder that holds an outcome.
    """
    log = listener(log, progress)
    started, out, model = time.perf_counter(), Path(output), model or WREN
    check_choice("experiment", name, EXPERIMENTS)
    OutputFolder(out, KIND).check(overwrite)
    design = EXPERIMENTS[name]
    repeats = design.repeats if repeats is None else repeats
    check_least("--repeats", repeats, 1)
    wanted = ",".join([taps, *(tap for tap in design.more_taps if tap not in taps.split(","))])
    material = gather(competition, out / "stores", model, wanted, overwrite, progress, log)
    base = replace(design.settings, folds=folds, epochs=design.settings.epochs if epochs is None else epochs)
    trainings = [
        Training(material, out / "runs" / f"seed-{one}", replace(base, seed=one)) for one in range(seed, seed + repeats)
    ]
    finding = design.find(trainings)
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
