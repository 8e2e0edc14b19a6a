"""detect(): soundscapes in, a table of events out.

A model with frames (a sound event detector, or what was exported of one) says within a window when a class calls. Any
other says it a window at a time; then an event is as long as the windows it fills.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...features import InputError, audio
from ...features.files import check_new
from ...features.playback import Playback
from ...features.progress import Progress
from ...features.spelling import counted, share, some
from ...features.windows import cut, grid, normalise_file, normalise_windows
from ..runtime.device_session import BATCH
from .events import Event, Rule, check_name, events_of, write
from .placement import Placement, probabilities
from .predictor import Predictor
from .predictor.protocol import played_as, usual_workers
from .rows import Skipped, Soundscape
from .task import files_of

MANY = 3  # windows: in a recording of more an event from end to end is suspect


@dataclass(frozen=True, eq=False)
class Detected:
    """What `detect` wrote to `path`. table: as it stands there. frame_s: seconds of a frame. skipped: of no use."""

    path: Path
    table: pd.DataFrame
    files: int
    frame_s: float
    skipped: tuple[Skipped, ...]

    def __repr__(self) -> str:
        classes = self.table["Annotation" if "Annotation" in self.table else "label"].nunique()
        left = f", {counted(len(self.skipped), 'file')} left out" if self.skipped else ""
        return (
            f"{self.path}: {counted(len(self.table), 'event')} of {counted(classes, 'class')} in "
            f"{counted(self.files, 'soundscape')}, to {self.frame_s:.3g} s{left}"
        )


def detect(
    predictor: Predictor,
    soundscapes: Path | str | Sequence[Path | str],
    out: Path | str,
    rule: Rule,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Detected:
    """The events of a folder, a file or a list of soundscapes, as OUT.txt (Raven) or OUT.csv.

    rule: what an event is. workers: files at a time, None: as `predict`. InputError: an OUT that exists (without
    `overwrite`) or of another suffix, nothing to hear, no file that can be used.
    """
    out = Path(out)
    check_name(out)
    check_new(out, overwrite)
    played = played_as(predictor, None)
    files = files_of(soundscapes, say)
    if not getattr(predictor, "has_frames", False):
        window_s = predictor.window_samples / played.rate(predictor.sample_rate)
        say(f"the model has no frames: events begin and end with its windows of {window_s:g} s")

    def work(file: Soundscape) -> tuple[list[Event], float, float] | InputError:
        try:
            p, frame_s, duration_s = over_time(predictor, file.path, played, file.stem)
        except InputError as error:
            return error
        found = [
            Event(file.path, predictor.labels[k], onset, min(offset, duration_s), score)
            for k, onset, offset, score in events_of(p, frame_s, rule)
        ]
        return found, frame_s, duration_s

    events: list[Event] = []
    endless: list[Event] = []  # from the beginning of a recording to its end
    offsets: list[float] = []
    skipped: list[Skipped] = []
    begin, frame_s = 0.0, math.nan
    with (
        getattr(predictor, "at_work", nullcontext)(),
        ThreadPoolExecutor(workers or usual_workers(predictor), thread_name_prefix="events") as pool,
        Progress("listening", len(files), "files", wanted=progress) as bar,
    ):
        for file, found in zip(files, pool.map(work, files)):
            bar.advance()
            if isinstance(found, InputError):
                skipped.append(Skipped(file.path.name, str(found)))
                say(f"warning: {found} Left out.")
                continue
            heard, frame_s, duration_s = found
            events += heard
            if duration_s > MANY * predictor.window_samples / played.rate(predictor.sample_rate):
                endless += [event for event in heard if event.offset_s - event.onset_s >= 0.99 * duration_s]
            offsets += [begin] * len(heard)
            begin += duration_s
    if len(skipped) == len(files):
        raise InputError(f"none of the {len(files)} soundscapes can be used. The first: {skipped[0].reason}")
    if endless:
        names = some(sorted({event.label for event in endless}))
        last = share(len(endless), len(events), "event", "lasts", "last")
        say(
            f"warning: {last} as long as the recording ({names}): the scores hardly fall below --release. "
            "Give a higher --threshold and --release, or try `train --loss ce`."
        )
    table = write(out, events, offsets, predictor.sample_rate / 2)
    return Detected(out, table, len(files), frame_s, tuple(skipped))


def over_time(predictor: Predictor, path: Path, played: Playback, stem: str = "") -> tuple[np.ndarray, float, float]:
    """(probabilities float32 [frames, K], seconds of a frame, seconds of the recording), windows back to back.

    InputError: the file cannot be used.
    """
    rate, size = played.rate(predictor.sample_rate), predictor.window_samples
    waveform = audio.read(path, predictor.sample_rate, partial=True, playback=played)
    if getattr(predictor, "has_frames", False):
        found = frames(predictor, waveform)  # [windows, frames, K]
    else:
        rows = Placement(size / rate, batch_size=BATCH)
        found = probabilities(predictor, waveform, rows, lambda: None, rate, stem)[:, None]
    if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1):
        raise InputError(f"{path}: predictions that are no probabilities.")
    duration_s, frame_s = len(waveform) / rate, size / rate / found.shape[1]
    found = found.reshape(-1, found.shape[2])
    return found[: max(1, math.ceil(duration_s / frame_s - 1e-6))], frame_s, duration_s


def frames(predictor: Any, waveform: np.ndarray) -> np.ndarray:
    """float32 [samples] -> float32 [windows, frames, K] of a predictor that has frames."""
    waveform, size = normalise_file(waveform, predictor.normalise), predictor.window_samples
    starts = grid(len(waveform), size)
    cuts = (cut(waveform, some, size) for some in np.array_split(starts, math.ceil(len(starts) / BATCH)))
    return np.concatenate([predictor.frames(normalise_windows(some, predictor.normalise)) for some in cuts])
