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
from .predictor.protocol import usual_workers
from .rows import Skipped, Soundscape
from .task import Task

AHEAD = 2  # files handed out for each worker: the next one begins while the last one's rows are written
MARGIN = 1.5  # a file may be this much slower, per second of audio, than the slowest so far


class Budget:
    """Minutes that may be spent: the pace so far, what is left to do at that pace, and when to stop.

    A file that has begun cannot be hurried, so what counts is whether one more still fits: `stop` asks that before it
    begins, at the slowest pace seen so far and with the time that writing the result will take kept back. `spent` is
    the last resort, asked between batches: a file that turned out slower than any before it is given up there.

    minutes: None for as long as it takes. clock: seconds, monotonic. started: the clock's reading from which the
    minutes count (None: now). writing_s: seconds kept back for writing. Safe to use from several threads.
    """

    def __init__(
        self, minutes: float | None, clock: Callable[[], float], writing_s: float = 0.0, started: float | None = None
    ):
        self.limit_s = float("inf") if minutes is None else 60.0 * minutes
        self._clock, self._writing_s = clock, writing_s
        self._begun = clock()
        self._started = self._begun if started is None else started
        self._audio_s = self._slowest = 0.0
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        return self.limit_s - self.elapsed_s

    @property
    def rate(self) -> float:
        """Seconds of audio predicted a second, all threads together; 0 before the first file is done."""
        took = self._clock() - self._begun
        return self._audio_s / took if took > 0 else 0.0

    def done(self, audio_s: float, took_s: float) -> None:
        """A file of audio_s seconds took one thread took_s."""
        with self._lock:
            self._audio_s += audio_s
            if audio_s > 0:
                self._slowest = max(self._slowest, took_s / audio_s)

    def eta_s(self, audio_left_s: float) -> float | None:
        """Seconds until audio_left_s more are predicted; None while no pace is known."""
        return audio_left_s / self.rate if self.rate > 0 else None

    def stop(self, next_s: float) -> bool:
        """Whether a file of next_s seconds should not be begun."""
        return self.left_s <= self._writing_s + MARGIN * self._slowest * next_s

    @property
    def spent(self) -> bool:
        """Whether only the time for writing is left."""
        return self.left_s <= self._writing_s


def told(budget: Budget, audio_left_s: float) -> str:
    """`, 1.25 min of audio/s, 3:05 left, budget 71:12`; what is not known yet is left out."""
    eta_s = budget.eta_s(audio_left_s)
    parts = [] if eta_s is None else [f"{budget.rate / 60:.2f} min of audio/s", f"{clock(eta_s)} left"]
    if budget.limit_s < float("inf"):
        parts.append(f"budget {clock(max(0.0, budget.left_s))}")
    return "".join(f", {part}" for part in parts)


def clock(seconds: float) -> str:
    """185 -> `3:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


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
