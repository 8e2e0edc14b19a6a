"""The bar of a training: epochs done, loss and held-out score; on stderr, and only on a terminal."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """A context manager. total: epochs of all models."""

    def __init__(self, total: int, wanted: bool = True):
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}, held-out AUC {task.fields[score]:.4f},"),
            TimeRemainingColumn(),
            TextColumn("left"),
        )
        quiet = not wanted or not sys.stderr.isatty()
        self._bar = Bar(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        self._task = self._bar.add_task("training", total=total, loss=0.0, score=0.0)

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    @property
    def done(self) -> int:
        """Epochs of single models done."""
        return int(self._bar.tasks[0].completed)

    @done.setter
    def done(self, epochs: int):
        self._bar.update(self._task, completed=epochs)

    def ticker(self, head: str) -> Callable[[int, float, float], None]:
        """What the loop calls after each epoch: how many models it trained, loss, score."""
        self._bar.update(self._task, description=head)
        return lambda models, loss, score: self._bar.update(self._task, advance=models, loss=loss, score=score)
