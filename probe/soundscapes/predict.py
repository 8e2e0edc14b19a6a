"""predict(): many soundscapes, one predictor, one submission.

Each worker thread takes one file from end to end: it decodes, cuts and computes, and while one decodes the others keep
the cores busy with theirs. (Threads that only decode ahead were measured to gain nothing.) So at most `workers` decoded
recordings are in memory, however many files there are, and of each at most one batch of windows. A recording is decoded
whole: an hour at 32 kHz is 0.46 GB.
"""

import os
import platform
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from ...features import InputError
from ...features.files import Lock, sha256, write_json
from ...features.playback import AS_RECORDED, Playback
from ...features.progress import Progress
from ...features.recordings.bandwidth import narrow_band
from ...features.spelling import composed, printable
from ..runtime.device_session import BATCH
from . import journal as journals
from .journal import Entry, Journal
from .placement import Placement, as_shifts, predict_file
from .predictor import Predictor
from .rows import Soundscape, expected, find, passed_over
from .submission import Form, about_path, assemble, published
from .time_budget import Budget, told

AHEAD = 2  # files handed out for each worker: the next one begins while the last one's rows are written
WRITING_S, WRITING_S_A_CELL = 2.0, 6e-6  # kept back from a budget: a few times what writing and checking take


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used."""

    file: str
    reason: str


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

    def __str__(self) -> str:
        fallback = f", {len(self.fallback_rows)} of them fallback" if self.fallback_rows else ""
        return (
            f"{self.path}: {self.rows} rows of {self.files} soundscapes{fallback}; {self.minutes_audio:.1f} minutes of "
            f"audio in {self.seconds:.1f} s ({self.rate:.2f} a second)"
        )


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
    played = played_as(predictor, playback)
    rate = played.rate(predictor.sample_rate)
    placement = Placement(
        predictor.window_samples / rate if row_s is None else float(row_s),
        as_shifts(shifts),
        usual_batch(predictor) if batch_size is None else batch_size,
    )
    placement.row_samples(rate)
    if budget_minutes is not None and not budget_minutes >= 0:
        raise InputError(f"`--budget-minutes` must be 0 or more, got {budget_minutes:g}.")
    form = Form.of(predictor.labels, classes, sample_submission)
    for folder in passed_over(soundscapes):
        say(f"warning: {printable(str(folder))}: a hidden folder that holds audio is left out")
    files = _asked(find(soundscapes), form, say)
    if narrow := narrow_band([file.path for file in files], predictor.sample_rate, played):
        say(f"warning: {narrow}")
    part = _refuse(out, overwrite)
    known, asked = set(predictor.labels), set(form.columns)
    lacking = tuple(name for name in form.columns if name not in known)
    dropped = tuple(name for name in predictor.labels if name not in asked)
    for names, what in ((lacking, "classes are unknown to the model, 0 everywhere"), (dropped, "classes left out")):
        if names:
            say(f"warning: {len(names)} {what}: {', '.join(names[:5])}{', ...' * (len(names) > 5)}")
    budget = Budget(budget_minutes, time.monotonic, _writing_s(files, form, placement, rate), started)
    with Lock(out), Journal.open(part, _header(predictor, placement, files, played), overwrite) as journal:
        resumed = len(journal.entries)
        if resumed:
            say(f"{resumed} of {len(files)} soundscapes were predicted before; going on")
        audio_before = sum(entry.audio_s for entry in journal.entries.values())
        skipped, stopped = _run(predictor, files, placement, played, journal, budget, workers, say, progress)
        if not journal.entries and not stopped:
            journal.remove()
            raise InputError(f"none of the {len(files)} soundscapes can be used. The first: {skipped[0].reason}")
        made = assemble(files, journal.entries, predictor.labels, form, placement.row_s, rate)
        audio_s = sum(entry.audio_s for entry in journal.entries.values()) - audio_before
        _warn(made, stopped, budget_minutes, say)
        seconds = time.perf_counter() - began
        predicted = Predicted(
            path=out,
            rows=len(made.table),
            files=len(files),
            resumed=resumed,
            fallback_rows=made.fallback,
            skipped=skipped,
            stopped=stopped,
            lacking=lacking,
            dropped=dropped,
            minutes_audio=audio_s / 60,
            seconds=seconds,
            rate=audio_s / 60 / seconds,
        )
        with published(made, out) as digest:
            journal.writes(digest)
        write_json(about_path(out), _about(predicted, predictor, placement, played, budget_minutes, digest, command))
        if not stopped:
            journal.remove()
    return predicted


class _Stopped(Exception):
    """A file that was not begun, or given up: the budget is spent, or the run is being ended."""


def _run(
    predictor: Predictor,
    files: Sequence[Soundscape],
    placement: Placement,
    played: Playback,
    journal: Journal,
    budget: Budget,
    workers: int | None,
    say: Callable[[str], None],
    progress: bool,
) -> tuple[tuple[Skipped, ...], bool]:
    """Predicts what the journal lacks; (files that cannot be used, whether the budget stopped it)."""
    todo = [file for file in files if file.stem not in journal.entries]
    left_s = sum(file.duration_s or 0.0 for file in todo)
    ended, skipped, stopped, warnings = threading.Event(), {}, False, deque[str]()

    def check() -> None:
        if ended.is_set() or budget.spent:
            raise _Stopped

    def work(file: Soundscape) -> Entry:
        check()
        if budget.stop(file.duration_s or 0.0):
            raise _Stopped
        begun = time.monotonic()
        found, audio_s = predict_file(predictor, file.path, placement, check, warnings.append, played, file.stem)
        budget.done(audio_s, time.monotonic() - begun)
        return Entry(found, audio_s)

    workers = workers or usual_workers(predictor)
    waiting: dict[Future[Entry], Soundscape] = {}
    upcoming = iter(todo)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
    with (
        getattr(predictor, "at_work", nullcontext)(),
        Progress("predicting", len(files), "files", wanted=progress) as bar,
    ):
        bar.skip(len(files) - len(todo))
        try:
            while True:
                while len(waiting) < AHEAD * workers and (file := next(upcoming, None)):
                    waiting[pool.submit(work, file)] = file
                if not waiting:
                    break
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    file = waiting.pop(future)
                    left_s -= file.duration_s or 0.0
                    try:
                        journal.add(file.stem, future.result())
                    except _Stopped:
                        stopped = True
                    except InputError as error:
                        skipped[file.stem] = Skipped(file.path.name, str(error))
                        say(f"warning: {error} Its rows are fallback.")
                    while warnings:
                        say(f"warning: {warnings.popleft()}")
                    bar.advance(note=told(budget, left_s).removeprefix(", "))
        finally:  # after an error or Ctrl-C, what has begun ends at its next batch
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return tuple(skipped[file.stem] for file in files if file.stem in skipped), stopped


def usual_batch(predictor: Predictor) -> int:
    """Windows a call where none were asked for; the same in every run, since a resumed one has to go on alike."""
    check = getattr(predictor, "device_check", None)
    return BATCH if check is None else check.batch or BATCH


def usual_workers(predictor: Predictor) -> int:
    """A thread per core where the predictor computes with one; at least two, so that one decodes meanwhile."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = getattr(predictor, "threads", 1) or cores
    return max(2, cores // threads)


def _asked(files: tuple[Soundscape, ...], form: Form, say: Callable[[str], None]) -> tuple[Soundscape, ...]:
    """The files that a sample submission names, all of them without one."""
    if form.stems is None or form.row_ids is None:
        return files
    spelled = {composed(stem): stem for stem in form.stems}  # macOS writes accents otherwise than tables do
    asked = tuple(replace(file, stem=spelled[name]) for file in files if (name := composed(file.stem)) in spelled)
    if not asked:
        raise InputError(
            f"sample submission: row {form.row_ids[0]} and others found, none of the {len(files)} soundscapes among "
            f"them (such as {files[0].stem}). Those of another set?"
        )
    if len(asked) < len(files):
        say(f"warning: {len(files) - len(asked)} soundscapes are not in the sample submission and left out")
    if missing := sorted(form.stems - {file.stem for file in asked}):
        say(f"warning: {len(missing)} soundscapes of the sample submission are missing (the first {missing[0]})")
    return asked


def _refuse(out: Path, overwrite: bool) -> Path:
    """The journal of `out`. An existing result is replaced only if it is told to be, or is the unfinished one of this
    very journal."""
    if out.is_dir():
        raise InputError(f"{out}: a folder found, the name of a CSV wanted.")
    part = out.with_name(f"{out.name}.part")
    if overwrite or not (out.exists() or about_path(out).exists()):
        return part
    if out.exists() and sha256(out) in journals.read(part)[2]:
        return part
    there = out if out.exists() else about_path(out)
    raise InputError(f"{there}: exists, a new file wanted. Use --overwrite to replace it.")


def _header(predictor: Predictor, placement: Placement, files: Sequence[Soundscape], played: Playback) -> dict:
    """Everything that the rows depend on."""
    return {
        **_told(played),
        "identity": predictor.identity,
        "labels": list(predictor.labels),
        "row_s": placement.row_s,
        "shifts": list(placement.shifts),
        "batch_size": placement.batch_size,
        "sample_rate": predictor.sample_rate,
        "window_samples": predictor.window_samples,
        "normalise": predictor.normalise,
        "files": {file.stem: [file.size, file.changed_ns] for file in files},
    }


def played_as(predictor: Predictor, playback: Playback | None) -> Playback:
    """How recordings are played to a predictor: as it was trained, else as asked. InputError: the two differ."""
    trained: Playback | None = getattr(predictor, "playback", None)
    if trained is not None and playback not in (None, trained):
        raise InputError(
            f"`--speed {playback.speed:g} --bandpass {playback.bandpass}`, but it was trained at speed "
            f"{trained.speed:g}, bandpass {trained.bandpass}. Leave both out."
        )
    return trained or playback or AS_RECORDED


def _told(played: Playback) -> dict:
    return {} if played == AS_RECORDED else {"speed": played.speed, "bandpass": played.bandpass}


def _writing_s(files: Sequence[Soundscape], form: Form, placement: Placement, rate: float) -> float:
    rows = len(form.row_ids or ()) or sum(expected(f, placement.row_s, rate) or 12 for f in files)
    return WRITING_S + WRITING_S_A_CELL * rows * len(form.columns)


def _warn(made, stopped: bool, budget_minutes: float | None, say: Callable[[str], None]) -> None:
    if stopped:
        say(f"warning: stopped before the budget of {budget_minutes:g} minutes; the same command goes on from here")
    if made.fallback:
        say(
            f"warning: {len(made.fallback)} of {len(made.table)} rows are fallback, the mean of each class over the "
            f"others (the first {made.fallback[0]}; all are listed in the .json)"
        )
    if made.surplus:
        say(f"warning: {made.surplus} predicted rows are not in the sample submission and left out")


def _about(
    predicted: Predicted,
    predictor: Predictor,
    placement: Placement,
    played: Playback,
    budget_minutes: float | None,
    digest: str,
    command: str,
) -> dict:
    """OUT.json."""
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
        **_told(played),
        "row_s": placement.row_s,
        "shifts": list(placement.shifts),
        "batch_size": placement.batch_size,
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
