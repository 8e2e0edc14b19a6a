"""The one progress bar: on stderr, gone when it is done; in a log, where no bar can be drawn, a line now and then."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

BEAT_S = 2.0  # seconds after which work that cannot be counted says that it goes on
LINE_S = 20.0  # seconds between lines where stderr is no terminal
_silent = False  # for the whole process, as `--quiet` wishes


def silence(wanted: bool) -> None:
    """No bars from now on, or bars again."""
    global _silent
    _silent = wanted


def silent() -> bool:
    """Whether the user asked for results, warnings and errors only."""
    return _silent


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
        elif self._lines and time.perf_counter() - self._told >= LINE_S:
            self._told = time.perf_counter()
            print(f"{self._what}: {self.done:,} of {self._of}, {self.elapsed_s:.0f} s", file=sys.stderr, flush=True)
