"""The bar of a training: epoch, steps, loss and speed; on stderr, and only on a terminal."""

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

EVERY_S = 0.5  # reading the loss waits for the GPU, so it is not done at every step


class Progress:
    """A context manager. steps: of the whole training; done: those of an earlier start."""

    def __init__(self, steps: int, done: int, wanted: bool = True):
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(
                "step {task.completed}/{task.total}, loss {task.fields[loss]:.4f}, {task.fields[speed]:.1f} clips/s,"
            ),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        self.quiet = not wanted or not sys.stderr.isatty()
        self._bar = Bar(*columns, console=Console(stderr=True), disable=self.quiet, transient=True)
        self._task = self._bar.add_task("training", total=steps, completed=done, loss=0.0, speed=0.0)
        self._shown, self._clips = time.perf_counter(), 0

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def stage(self, words: str) -> None:
        self._bar.update(self._task, description=words)
        self._shown, self._clips = time.perf_counter(), 0

    def step(self, clips: int, loss) -> None:
        """After a step of so many clips. loss: a scalar tensor, looked at now and then."""
        self._bar.advance(self._task)
        self._clips += clips
        now = time.perf_counter()
        if not self.quiet and now - self._shown > EVERY_S:
            self._bar.update(self._task, loss=float(loss), speed=self._clips / (now - self._shown))
            self._shown, self._clips = now, 0
