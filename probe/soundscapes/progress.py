"""The bar of a prediction: files done, minutes of audio a second, time left, budget left; only on a terminal."""

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from .time_budget import Budget


class Progress:
    """A context manager."""

    def __init__(self, total: int, wanted: bool = True):
        columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TextColumn("files{task.fields[told]}"))
        quiet = not wanted or not sys.stderr.isatty()
        self._bar = Bar(*columns, console=Console(stderr=True), disable=quiet, transient=True)
        self._task = self._bar.add_task("predicting", total=total, told="")

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def advance(self, files: int, budget: Budget, audio_left_s: float):
        self._bar.update(self._task, advance=files, told=told(budget, audio_left_s))


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
