"""The files of a task, predicted by several threads.

Each worker thread takes one file from end to end: it decodes, cuts and computes, and while one decodes the others keep
the cores busy with theirs. (Threads that only decode ahead were measured to gain nothing.) So at most `workers` decoded
recordings are in memory, however many files there are, and of each at most one batch of windows. A recording is decoded
whole: an hour at 32 kHz is 0.46 GB.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext

from ...features import InputError
from ...features.progress import Progress
from .journal import Entry, Journal
from .placement import predict_file
from .predicted import Skipped
from .predictor.protocol import usual_workers
from .rows import Soundscape
from .task import Task
from .time_budget import Budget, told

AHEAD = 2  # files handed out for each worker: the next one begins while the last one's rows are written


class Stopped(Exception):
    """A file that was not begun, or given up: the budget is spent, or the run is being ended."""


def predict_files(
    task: Task,
    journal: Journal,
    budget: Budget,
    workers: int | None,
    say: Callable[[str], None],
    progress: bool,
) -> tuple[tuple[Skipped, ...], bool]:
    """Predicts what the journal lacks; (files that cannot be used, whether the budget stopped it)."""
    todo = [file for file in task.files if file.stem not in journal.entries]
    left_s = sum(file.duration_s or 0.0 for file in todo)
    ended, skipped, stopped, warnings = threading.Event(), {}, False, deque[str]()

    def check() -> None:
        if ended.is_set() or budget.spent:
            raise Stopped

    def work(file: Soundscape) -> Entry:
        check()
        if budget.stop(file.duration_s or 0.0):
            raise Stopped
        begun = time.monotonic()
        found, audio_s = predict_file(
            task.predictor, file.path, task.placement, check, warnings.append, task.played, file.stem
        )
        budget.done(audio_s, time.monotonic() - begun)
        return Entry(found, audio_s)

    workers = workers or usual_workers(task.predictor)
    waiting: dict[Future[Entry], Soundscape] = {}
    upcoming = iter(todo)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="predict")
    with (
        getattr(task.predictor, "at_work", nullcontext)(),
        Progress("predicting", len(task.files), "files", wanted=progress) as bar,
    ):
        bar.skip(len(task.files) - len(todo))
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
                    except Stopped:
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
    return tuple(skipped[file.stem] for file in task.files if file.stem in skipped), stopped
