"""Train one fold of a member, whatever the member is: one loop, into a run folder that every fold shares.

    recordings -> folds -> windows -> `finetune.training.loop` -> held-out scores an epoch
    -> best and last checkpoints -> tables

Recipes and their sources: `finetune.models.members`. The epoch that `best` keeps is chosen on the held-out fold, so
that fold's scores are a little optimistic, as in the published protocol. On several GPUs: `accelerate launch`.
"""

import atexit
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from accelerate import Accelerator

from ...features import InputError
from ...features.progress import Progress
from ...features.recordings import Recordings
from .. import smoke as smoke_test
from ..background import Background
from ..initial_weights import begin
from ..models import members
from ..models.members import Member
from ..torch_settings import check_compiling, no_denormals
from . import results, tracking
from . import resume as resume_state
from .fold_training import Training
from .job import Job
from .recipe import Settings
from .resume import State


@dataclass(frozen=True, eq=False)
class Trained:
    """A finished fold. best: its description's path. log: the rows of log.csv; metrics: the row of the epoch kept, nan
    where a score is undefined (no held-out class with and without positives). main: whether this is the only process,
    or the first of several."""

    run: Path
    fold: int
    best: Path
    log: pd.DataFrame
    metrics: dict
    warnings: tuple[str, ...]
    main: bool = True


def train(
    member: Member | str,
    recordings: Recordings | None,
    run: Path,
    settings: Settings | None = None,
    *,
    fold: int = 0,
    init: Path | None = None,
    pretrained: bool = False,
    background: Path | None = None,
    labels: Sequence[str] | None = None,
    resume: bool | None = None,
    overwrite: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
    smoke: bool = False,
    track: str | None = None,
    push_to_hub: str | None = None,
    **teaching,
) -> Trained:
    """What `finetune.api.fine_tune` calls, whose arguments these are.

    recordings: None with `smoke` alone. settings: None is the member's own recipe. labels: the classes in order, where
    they are not just those that occur. teaching: a teacher and what belongs to it, see `Job.taught`. InputError for
    anything wrong with what the user gave.
    """
    run, own = Path(run), Path(run) / f"fold{fold}"
    tracking.check(track, push_to_hub)
    member, settings = _planned(member, settings, smoke)
    accelerator = Accelerator(cpu=_on_cpu(settings))
    if accelerator.num_processes > 1:  # at the program's end, not this fold's; left open a thread may abort the process
        atexit.register(accelerator.end_training)
    if not accelerator.is_main_process:
        log = lambda line: None  # noqa: E731
    if settings.compile:
        check_compiling(accelerator.device)
    if smoke:
        with accelerator.main_process_first():
            recordings = smoke_test.few(recordings, run, settings.seed)
    if recordings is None:
        raise InputError("audio: expected recordings, got none. Only --smoke can do without.")
    job = Job.of(member, recordings, settings, fold, background, labels, accelerator).taught(**teaching)
    for line in job.said():
        log(line)
    config = job.config(recordings, {"init": init, "pretrained": pretrained, "background": background}, smoke)
    going_on = results.check(run, fold, config, resume, overwrite)
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), Background() as writer:
        training, saved = _begun(job, own, writer, going_on, init, pretrained, smoke)
        warnings = (*recordings.warnings, *job.folds.warnings, *job.idle(), *job.notes(), *training.notes)
        for warning in warnings:
            log(f"warning: {warning}")
        accelerator.wait_for_everyone()  # nobody looks at the folder any more, and nothing can be refused
        if saved:
            training.restore(saved)
            log(f"going on at step {training.loop.step} of {training.loop.steps}")
        elif accelerator.is_main_process:
            results.prepare(run, fold, config)
            training.save_state()
        _train_through(training, f"{run.name}-fold{fold}", track, log, progress)
        training.finish(run, log)
    if push_to_hub and accelerator.is_main_process:
        tracking.push(push_to_hub, own, fold, log)
    table = results.log_of(training.history)
    metrics = {name: math.nan if value is None else value for name, value in training.best.items()}
    skipped = tuple(f"{name} left out: {why}" for name, why in training.skipped().items())
    return Trained(run, fold, own / "best.json", table, metrics, (*warnings, *skipped), accelerator.is_main_process)


def _planned(member: Member | str, settings: Settings | None, smoke: bool) -> tuple[Member, Settings]:
    """The member and how it is trained. InputError: a loss that it cannot learn by."""
    member = members.get(member) if isinstance(member, str) else member
    settings = settings or Settings(member.recipe)
    if settings.recipe.loss not in member.losses:
        wanted = " or ".join(member.losses)
        raise InputError(f"`--loss` must be {wanted} for {member.name}, got {settings.recipe.loss!r}.")
    return smoke_test.smaller(member, settings) if smoke else (member, settings)


def _begun(
    job: Job, own: Path, writer: Background, going_on: bool, init: Path | None, pretrained: bool, smoke: bool
) -> tuple[Training, State | None]:
    """The training with its first weights, and the state that it goes on from."""
    torch.manual_seed(job.settings.seed * 1000 + job.fold)
    model = members.assemble(job.member, len(job.labels), **job.options)
    saved = resume_state.load(own / "state") if going_on else None
    where = saved.facts["init"] if saved else begin(model.network, job.member, init, pretrained)
    return Training(job, model, own, where, writer, smoke or where["source"] != "random"), saved


def _train_through(
    training: Training, name: str, track: str | None, log: Callable[[str], None], progress: bool
) -> None:
    """All epochs, each told to `log` and to the board `track`."""
    settings, loop, main = training.job.settings, training.loop, training.main
    with (
        no_denormals(),
        tracking.Tracker(track if main else None, name, settings.to_json()) as tracker,
        Progress("training", loop.steps, "steps", loop.step, progress and main) as bar,
    ):
        for row in training.epochs(bar):
            tracker.log(row, row["step"])
            log(_told(row, settings.recipe.epochs))


def _on_cpu(settings: Settings) -> bool:
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("`--device`: expected a GPU for cuda, got none that PyTorch sees. A CPU build of PyTorch?")
    return settings.device == "cpu"


def _told(row: dict, epochs: int) -> str:
    scores = ", ".join(
        f"{words} {row[name]:.4f}"
        for name, words in (("macro_auc", "AUC"), ("cmap", "cmAP"), ("accuracy", "accuracy"), ("kl", "KL"))
        if row.get(name) is not None
    )
    return f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, held out {scores}; {row['clips_per_s']:.1f} clips/s"
