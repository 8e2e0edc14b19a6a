"""Progress bars, on stderr and only on a terminal: of an extraction, and of any stage that goes tap by tap."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """The bar of an extraction: clips done, windows a second, time left. `advance` is called from one thread."""

    def __init__(self, n_clips: int, wanted: bool = True):
        columns = (
            TextColumn("extracting"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("clips, {task.fields[rate]:.1f} windows/s,"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        quiet = not wanted or not sys.stderr.isatty()
        self._bar = Bar(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        self._task = self._bar.add_task("extracting", total=n_clips, rate=0.0)
        self._windows = 0

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def skip(self, clips: int):
        """Clips that were done before: no part of the speed."""
        self._bar.reset(self._task, completed=int(self._bar.tasks[0].completed) + clips)

    def advance(self, clips: int, windows: int):
        self._windows += windows
        elapsed = self._bar.tasks[0].elapsed or 0.0
        self._bar.update(self._task, advance=clips, rate=self._windows / elapsed if elapsed else 0.0)


@contextmanager
def steps(what: str, total: int, wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """A bar of `total` steps; the function that it gives is called with the name of each step that is done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[last]}"))
    quiet = not wanted or not sys.stderr.isatty()
    with Bar(*columns, console=Console(stderr=True), disable=quiet, transient=True) as bar:
        task = bar.add_task(what, total=total, last="")
        yield lambda name: bar.update(task, advance=1, last=name)
