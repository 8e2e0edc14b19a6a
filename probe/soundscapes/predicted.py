"""What a prediction came to: the record that `predict` returns, and OUT.json."""

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .submission import Submission
from .task import Task


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


def warn(made: Submission, stopped: bool, budget_minutes: float | None, say: Callable[[str], None]) -> None:
    """What the table lacks, and why."""
    if stopped:
        say(f"warning: stopped before the budget of {budget_minutes:g} minutes; the same command goes on from here")
    if made.fallback:
        say(
            f"warning: {len(made.fallback)} of {len(made.table)} rows are fallback, the mean of each class over the "
            f"others (the first {made.fallback[0]}; all are listed in the .json)"
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
