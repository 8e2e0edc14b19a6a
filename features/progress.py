"""What a long job says while it runs, on stderr: lines, and the one progress bar, which is gone when it is done.

In a notebook the bar is one line that is written over; in a log, where neither can be, a line now and then.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BEAT_S = 2.0  # seconds after which work that cannot be counted says that it goes on
LINE_S = 20.0  # seconds between lines where stderr is no terminal
REDRAW_S = 0.2  # seconds between two states of the one line of a notebook
SERIOUS = ("warning:", "birdprobe:")  # beginnings of lines that are always said
_silent = False  # for the whole process, as `--quiet` wishes


def silence(wanted: bool) -> None:
    """No bars from now on, or bars again."""
    global _silent
    _silent = wanted


Log = Callable[[str], None]


def say(line: str) -> None:
    """A line on stderr, since results go to stdout; where the process is silent only warnings and errors are said."""
    if not _silent or line.startswith(SERIOUS):
        print(line, file=sys.stderr, flush=True)


def listener(log: Log | None, progress: bool = True) -> Log:
    """Who hears the lines of a job that was called from Python.

    Args:
        log: who was named for it; None: stderr. progress: False leaves warnings alone there, as `--quiet` does.
    """
    if log is not None:
        return log
    return say if progress else lambda line: say(line) if line.startswith(SERIOUS) else None


@contextmanager
def working(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """For work that has no steps to count: every two seconds of it, a line with the time that it has taken.

    Args:
        what: the words before the time, such as "exporting".
        say: hears the lines, from a thread of their own.
    """
    began, over = time.perf_counter(), threading.Event()

    def beat() -> None:
        while not over.wait(BEAT_S):
            say(f"{what}: {time.perf_counter() - began:.0f} s")

    thread = threading.Thread(target=beat, name="working", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Progress:
    """A bar of `total` steps, used as a context manager; called from one thread.

    Args:
        what: the words before the bar, such as "extracting".
        total: steps in all.
        unit: what one step is, such as "clips".
        done: steps done by an earlier start; no part of the time left.
        wanted: False keeps it silent.
    """

    def __init__(self, what: str, total: int, unit: str = "", done: int = 0, wanted: bool = True):
        self.quiet = _silent or not wanted or not sys.stderr.isatty()
        self.done = done
        self._what, self._of = what, f"{total:,} {unit}".rstrip()
        self._lines = not _silent and wanted and self.quiet
        self._notebook = self._lines and type(sys.stderr).__module__.startswith("ipykernel")
        self._shown = 0  # characters of the line that a notebook shows
        self._began = self._told = time.perf_counter()
        self._bar: Any = None  # rich's, which a silent run need not have
        if not self.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(unit + "{task.fields[note]}"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(what, total=total, completed=done, note="")

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._shown:
            self._write_over("")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the bar began."""
        return time.perf_counter() - self._began

    def describe(self, what: str) -> None:
        """Change the words before the bar."""
        self._what = what
        if self._bar is not None:
            self._bar.update(self._task, description=what)

    def skip(self, steps: int) -> None:
        """Steps that were done before: no part of the speed."""
        self.done += steps
        self._began = time.perf_counter()
        if self._bar is not None:
            self._bar.reset(self._task, completed=self.done)

    def advance(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` is shown behind the unit, such as the name of the last one."""
        self.done += steps
        if self._bar is not None:
            self._bar.update(self._task, advance=steps, note=f", {note}" if note else "")
        elif self._lines and time.perf_counter() - self._told >= (REDRAW_S if self._notebook else LINE_S):
            self._told = time.perf_counter()
            line = f"{self._what}: {self.done:,} of {self._of}, {self.elapsed_s:.0f} s"
            if self._notebook:
                self._write_over(line)
            else:
                print(line, file=sys.stderr, flush=True)

    def _write_over(self, line: str) -> None:
        """The line in the place of the one before; "" takes that away."""
        print(f"\r{line:{self._shown}}", end="" if line else "\r", file=sys.stderr, flush=True)
        self._shown = len(line)
