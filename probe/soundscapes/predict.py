"""predict(): many soundscapes, one predictor, one submission."""

import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ...features import InputError
from ...features.files import check_new, sha256, write_json
from ...features.locks import Lock
from ...features.playback import Playback
from ...features.spelling import counted, share
from . import journal as journals
from .journal import Journal
from .placement import Placement, as_shifts
from .predictor import Predictor
from .predictor.protocol import played_as, usual_batch
from .rows import Skipped
from .submission import Form, Submission, about_path, assemble, published
from .task import Task, files_of
from .workers import Budget, predict_files


@dataclass(frozen=True)
class Predicted:
    """What `predict` wrote to `path`.

    files: soundscapes asked for, resumed: of these done before. fallback_rows: row ids that nothing predicted, because
    a file was skipped, is missing, or the budget stopped first (`stopped`). lacking: classes that the model does not
    know (0 everywhere); dropped: classes of the model that nobody asked for. minutes_audio, seconds, rate: of this call
    (minutes of audio, seconds, minutes of audio a second).
    """

    path: Path
    rows: int
    files: int
    resumed: int
    fallback_rows: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    stopped: bool
    lacking: tuple[str, ...]
    dropped: tuple[str, ...]
    minutes_audio: float
    seconds: float
    rate: float

    def __repr__(self) -> str:
        fallback = f", {len(self.fallback_rows)} of them fallback" if self.fallback_rows else ""
        rows = f"{counted(self.rows, 'row')} of {counted(self.files, 'soundscape')}"
        return (
            f"{self.path}: {rows}{fallback}; {self.minutes_audio:.1f} minutes of "
            f"audio in {self.seconds:.1f} s ({self.rate:.2f} a second)"
        )


def warn(
    made: Submission,
    skipped: Sequence[Skipped],
    stopped: bool,
    budget_minutes: float | None,
    out: Path,
    say: Callable[[str], None],
) -> None:
    """What the table `out` lacks, and why."""
    if stopped:
        say(f"warning: stopped before the budget of {budget_minutes:g} minutes; the same command goes on from here")
    if made.fallback:
        unread = f"; {counted(len(skipped), 'file')} could not be used" if skipped else ""
        rows = share(len(made.fallback), len(made.table), "row", "is", "are")
        say(
            f"warning: {rows} fallback and no prediction, each class's mean over the others (the first "
            f"{made.fallback[0]}{unread}): see fallback_rows and skipped in {about_path(out)}"
        )
    if made.surplus:
        say(f"warning: {made.surplus} predicted rows are not in the sample submission and left out")


def about(predicted: Predicted, task: Task, budget_minutes: float | None, digest: str, command: str) -> dict:
    """OUT.json. digest: the hash of OUT.csv."""
    predictor = task.predictor
    libraries = ["birdprobe", "onnxruntime", "numpy", "soundfile", "soxr", *["torch"] * ("torch" in sys.modules)]
    return {
        "command": command,
        "csv_sha256": digest,
        "rows": predicted.rows,
        "files": predicted.files,
        "predictor": {
            "identity": predictor.identity,
            "classes": len(predictor.labels),
            "sample_rate": predictor.sample_rate,
            "window_s": predictor.window_samples / predictor.sample_rate,
            "normalise": predictor.normalise,
        },
        **task.settings,
        "budget_minutes": budget_minutes,
        "stopped": predicted.stopped,
        "resumed_files": predicted.resumed,
        "minutes_audio": round(predicted.minutes_audio, 3),
        "seconds": round(predicted.seconds, 3),
        "minutes_audio_per_second": round(predicted.rate, 4),
        "lacking_classes": list(predicted.lacking),
        "dropped_classes": list(predicted.dropped),
        "skipped": [{"file": one.file, "reason": one.reason} for one in predicted.skipped],
        "fallback_rows": list(predicted.fallback_rows),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in libraries},
    }


def predict(
    predictor: Predictor,
    soundscapes: Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    row_s: float | None = None,
    shifts: Sequence[float] = (0.0,),
    budget_minutes: float | None = None,
    classes: Sequence[str] | None = None,
    sample_submission: Path | str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    command: str = "",
    started: float | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
    playback: Playback | None = None,
) -> Predicted:
    """Predict a folder, a file or a list of soundscapes, and write OUT.csv with OUT.json beside it.

    row_s: seconds of a row (None: the model's window); see `placement` where the two differ. shifts: test-time shifts
    in seconds. classes: the columns, in the taxonomy's order. sample_submission: a CSV whose rows and columns the
    result gets. budget_minutes: stop before so many have passed since `started` (a time.monotonic(), None: now) and
    still write a whole file. workers: threads (None: one per core). batch_size: windows a call (None: 8, on a GPU 32).
    playback: slower, or filtered, for an ONNX file that does not say; a run and what was fused of it know what they
    were trained on. Seconds are the recording's.
    The same bytes come out whatever `workers` is and wherever a killed run was resumed: the same command goes on.
    A file that cannot be used costs a warning and fallback rows, no more. InputError: an OUT.csv that exists (without
    `overwrite`), nothing to predict, no file that can be used, options or classes that do not fit.
    """
    began, out = time.perf_counter(), Path(out)
    if budget_minutes is not None and not budget_minutes >= 0:
        raise InputError(f"`--budget-minutes` must be 0 or more, got {budget_minutes:g}.")
    part = check_output(out, overwrite)
    played = played_as(predictor, playback)
    rate = played.rate(predictor.sample_rate)
    placement = Placement(
        predictor.window_samples / rate if row_s is None else float(row_s),
        as_shifts(shifts),
        usual_batch(predictor) if batch_size is None else batch_size,
    )
    placement.row_samples(rate)
    form = Form.of(predictor.labels, classes, sample_submission)
    task = Task(predictor, files_of(soundscapes, say, form), placement, played, form)
    task.warn(say)
    budget = Budget(budget_minutes, time.monotonic, task.writing_s, started)
    with Lock(out), Journal.open(part, task.header, overwrite) as journal:
        resumed, audio_before = len(journal.entries), journal.audio_s
        if resumed:
            said = share(resumed, len(task.files), "soundscape", "was", "were")
            say(f"{said} predicted before; going on")
        skipped, stopped = predict_files(task, journal, budget, workers, say, progress)
        if not journal.entries and not stopped:
            journal.remove()
            raise InputError(f"none of the {len(task.files)} soundscapes can be used. The first: {skipped[0].reason}")
        made = assemble(task.files, journal.entries, predictor.labels, form, placement.row_s, rate)
        warn(made, skipped, stopped, budget_minutes, out, say)
        minutes, seconds = (journal.audio_s - audio_before) / 60, time.perf_counter() - began
        predicted = Predicted(
            path=out,
            rows=len(made.table),
            files=len(task.files),
            resumed=resumed,
            fallback_rows=made.fallback,
            skipped=skipped,
            stopped=stopped,
            lacking=task.lacking,
            dropped=task.dropped,
            minutes_audio=minutes,
            seconds=seconds,
            rate=minutes / seconds,
        )
        with published(made, out) as digest:
            journal.writes(digest)
        write_json(about_path(out), about(predicted, task, budget_minutes, digest, command))
        if not stopped:
            journal.remove()
    return predicted


def check_output(out: Path, overwrite: bool) -> Path:
    """The journal of `out`. InputError: a place that cannot be written; an existing result, which is replaced only if
    it is told to be, or is the unfinished one of this very journal."""
    part = out.parent / f"{out.name}.part"
    resumed = out.is_file() and sha256(out) in journals.read(part)[2]
    check_new(out, overwrite or resumed)
    if not resumed:
        check_new(about_path(out), overwrite)
    return part
