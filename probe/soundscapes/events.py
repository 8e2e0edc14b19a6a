"""Events: from probabilities over time to onset, offset and score, class by class; and their tables.

    probabilities [frames, K] -> stretches of at least `release` that reach `threshold` -> gaps closed -> short ones out

Two thresholds (hysteresis) keep an event whole that dips for a frame, and begin none on a flicker. Tables: Raven Pro's
selection table (Cornell), and CSV with crowsetta's names for columns beside the score; both are read back as AUDIO.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.csv_files import write_csv
from ...features.files import write_text

RAVEN, CSV = (".txt", ".tsv"), (".csv",)


@dataclass(frozen=True)
class Rule:
    """threshold, release: probabilities at which an event begins to count, and down to which it lasts; release None is
    half the threshold. gap_s: events of a class that are no farther apart become one. shortest_s: shorter ones go.
    InputError: a number that makes no sense."""

    threshold: float = 0.5
    release: float | None = None
    gap_s: float = 0.0
    shortest_s: float = 0.0

    def __post_init__(self):
        if not 0 < self.threshold <= 1:
            raise InputError(f"`--threshold` must be above 0 and at most 1, got {self.threshold:g}.")
        if self.release is not None and not 0 < self.release <= self.threshold:
            raise InputError(
                f"`--release` must be above 0 and at most the threshold, {self.threshold:g}, got {self.release:g}."
            )
        for name, value in (("--gap", self.gap_s), ("--shortest", self.shortest_s)):
            if not 0 <= value < np.inf:
                raise InputError(f"`{name}` must be 0 seconds or more, got {value:g}.")

    @property
    def low(self) -> float:
        return self.threshold / 2 if self.release is None else self.release


@dataclass(frozen=True)
class Event:
    """onset_s, offset_s: seconds in the recording. score: the highest probability in between."""

    file: Path
    label: str
    onset_s: float
    offset_s: float
    score: float


def events_of(p: np.ndarray, frame_s: float, rule: Rule) -> list[tuple[int, float, float, float]]:
    """(class, onset, offset, score) by onset, of probabilities float [frames, K]; frame_s: seconds of a frame."""
    found = []
    for k in np.flatnonzero(p.max(axis=0, initial=0.0) >= rule.threshold):
        column = p[:, k]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], column >= rule.low, [False]]).astype(np.int8)))
        joined: list[list[int]] = []
        for first, end in edges.reshape(-1, 2).tolist():
            if column[first:end].max() < rule.threshold:
                continue
            if joined and (first - joined[-1][1]) * frame_s <= rule.gap_s + 1e-9:
                joined[-1][1] = end
            else:
                joined.append([first, end])
        found += [
            (int(k), first * frame_s, end * frame_s, float(column[first:end].max()))
            for first, end in joined
            if (end - first) * frame_s >= rule.shortest_s - 1e-9
        ]
    return sorted(found, key=lambda event: (event[1], event[0]))


def check_name(path: Path) -> None:
    """InputError: a name that says neither which table is wanted."""
    if path.suffix.lower() not in (*RAVEN, *CSV):
        raise InputError(f"{path}: expected a name that ends in .txt or .tsv (a Raven selection table), or .csv.")


def write(path: Path, events: Sequence[Event], offsets: Sequence[float], highest_hz: float) -> pd.DataFrame:
    """The table in the form that the name asks for. offsets: where each event's recording begins when all of them are
    played one after another, as Raven opens several; highest_hz: what the model can hear."""
    table = raven(events, offsets, highest_hz) if path.suffix.lower() in RAVEN else annotations(events)
    if path.suffix.lower() in RAVEN:
        text = table.to_csv(sep="\t", index=False, float_format="%.6f", lineterminator="\n")
    else:
        text = write_csv(table, index=False, float_format="%.6f", lineterminator="\n") or ""
    write_text(path, text)
    return table


def raven(events: Sequence[Event], offsets: Sequence[float], highest_hz: float) -> pd.DataFrame:
    """Raven Pro's columns, then ours: Annotation and Score."""
    return pd.DataFrame(
        {
            "Selection": np.arange(1, len(events) + 1),
            "View": "Spectrogram 1",
            "Channel": 1,
            "Begin Time (s)": [offset + event.onset_s for event, offset in zip(events, offsets)],
            "End Time (s)": [offset + event.offset_s for event, offset in zip(events, offsets)],
            "Low Freq (Hz)": 0.0,
            "High Freq (Hz)": highest_hz,
            "Begin Path": [str(event.file.absolute()) for event in events],
            "File Offset (s)": [event.onset_s for event in events],
            "Annotation": [" ".join(event.label.split()) for event in events],
            "Score": [event.score for event in events],
        }
    )


def annotations(events: Sequence[Event]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": [event.label for event in events],
            "onset_s": [event.onset_s for event in events],
            "offset_s": [event.offset_s for event in events],
            "score": [event.score for event in events],
            "notated_path": [str(event.file.absolute()) for event in events],
        }
    )
