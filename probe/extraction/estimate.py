"""What an extraction will cost, from a short trial of the very thing: seconds, bytes and money."""

import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ...features import InputError, audio
from ...features.recordings import Clip, Recordings
from ...features.store import FeatureStore
from ...features.store.file import feature_bytes
from ...features.windows import Selection
from ..runtime.backbone import Backbone
from ..runtime.cores import cores
from .extract import extract

TRIAL_S = 12.0  # the trial goes on until one extraction takes so long, or everything was tried
FIRST_S = 30.0  # seconds of audio of the first try, which only warms up
PIECE_S = 60.0  # of longer recordings, a piece from the middle is tried
ARCHIVE_H = 1000.0


@dataclass(frozen=True)
class Load:
    """audio_s: seconds of recordings. seconds: of this machine. windows: rows. bytes: of the store. price: or None.

    cpu_s: seconds that its cores compute for it, which other programs on the machine do not change.
    """

    audio_s: float
    seconds: float
    windows: int
    bytes: int
    price: float | None
    cpu_s: float = 0.0

    def __str__(self) -> str:
        money = "" if self.price is None else f", {self.price:,.3g} at that price"
        hours = self.audio_s / 3600
        computing = f" ({_span(self.cpu_s)} of computing)" if self.cpu_s else ""
        size = f"{self.bytes / 1e6:,.1f} MB" if self.bytes < 1e9 else f"{self.bytes / 1e9:,.2f} GB"
        return f"{hours:,.2f} hours of audio: {_span(self.seconds)}{computing}, {self.windows:,} windows, {size}{money}"


def _span(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600 else f"{seconds / 3600:,.2f} h"


@dataclass(frozen=True)
class Estimate:
    """whole: the recordings that were given. archive: 1,000 hours like them. tried: what was measured.

    open_s: seconds to open the model, in `whole` and `archive` too. n_cores: what the trial could use.
    """

    whole: Load
    archive: Load
    tried: Load
    open_s: float
    n_cores: int

    def __str__(self) -> str:
        tried = f"measured on {self.tried.audio_s:,.0f} s of audio in {self.tried.seconds:.1f} s, {self.n_cores} cores"
        return f"all of it, {self.whole}\nan archive, {self.archive}\n({tried}; opening the model: {self.open_s:.1f} s)"


def estimate(
    backbone: Backbone,
    recordings: Recordings,
    *,
    selection: Selection,
    dtype: str = "float32",
    seed: int = 0,
    open_s: float = 0.0,
    price: float | None = None,
    trial_s: float = TRIAL_S,
    **how: Any,
) -> Estimate:
    """Extract a random part of the recordings into a store that is thrown away, and reckon the rest from it.

    selection, dtype, seed, how: as `extract`; one process, whatever `how` says. open_s: seconds that opening the
    backbone took. price: of one core for one hour. trial_s: seconds of the longest try, about half of all. InputError:
    no recording whose header tells how long it is, or none that can be used.
    """
    lengths = [_seconds(clip) for clip in recordings.clips]
    known = [(clip, length) for clip, length in zip(recordings.clips, lengths) if length]
    if not known:
        raise InputError(f"{recordings.root}: no recording tells how long it is, so nothing can be reckoned.")
    whole_s = sum(length for _, length in known) * len(lengths) / len(known)
    pieces = [_piece(clip, length) for clip, length in known]
    random.Random(seed).shuffle(pieces)
    how |= {"selection": selection, "dtype": dtype, "seed": seed, "jobs": 1, "cluster": None}
    trial = _tried(backbone, recordings, pieces, trial_s, **how)
    windows_a_clip = _windows_a_clip(selection)

    def load(audio_s: float, n_clips: float, fixed_s: float) -> Load:
        windows = round(n_clips * windows_a_clip) if windows_a_clip else round(trial.rows * audio_s / trial.audio_s)
        times = n_clips / trial.clips if windows_a_clip else audio_s / trial.audio_s
        took = fixed_s + trial.seconds * times
        size = feature_bytes(backbone.dims, dtype, windows) + round(trial.text_bytes / max(trial.rows, 1) * windows)
        money = None if price is None else price * took / 3600 * cores()
        return Load(audio_s, took, windows, size, money, trial.cpu_s * times)

    archive_s = ARCHIVE_H * 3600
    return Estimate(
        whole=load(whole_s, len(lengths), open_s),
        archive=load(archive_s, len(lengths) * archive_s / whole_s, open_s),
        tried=load(trial.audio_s, trial.clips, 0.0),
        open_s=open_s,
        n_cores=cores(),
    )


class _Trial(NamedTuple):
    """Clips and seconds of audio that were tried, what that took, and what lies in the store of it."""

    clips: int
    audio_s: float
    seconds: float
    cpu_s: float
    rows: int
    text_bytes: int


def _tried(
    backbone: Backbone, recordings: Recordings, pieces: list[tuple[Clip, float]], trial_s: float, **how: Any
) -> _Trial:
    """Extract more and more of the pieces until that takes `trial_s`, or everything was tried; the last time counts."""
    wanted_s = FIRST_S
    with TemporaryDirectory() as folder:
        while True:
            part, tried_s = _first(pieces, wanted_s)
            store = Path(folder) / f"{wanted_s:g}.h5"
            begun, computed = time.perf_counter(), time.process_time()
            extract(backbone, replace(recordings, clips=part), store, **how, progress=False)
            seconds, cpu_s = time.perf_counter() - begun, time.process_time() - computed
            everything = len(part) == len(pieces)
            if wanted_s > FIRST_S and (seconds >= trial_s or everything):
                break
            wanted_s *= 2.0 if everything else max(2.0, min(64.0, 1.2 * trial_s / max(seconds, 0.01)))
        with FeatureStore.open(store) as tried:
            return _Trial(len(part), tried_s, seconds, cpu_s, len(tried), tried.text("rows").nbytes)


def _seconds(clip: Clip) -> float | None:
    """How long a clip is, by its table or its file's header."""
    if clip.end_s is not None:
        return clip.end_s - (clip.start_s or 0.0)
    about = audio.info(clip.path)
    return None if about is None or about.frames is None else about.frames / about.sample_rate - (clip.start_s or 0.0)


def _piece(clip: Clip, length: float) -> tuple[Clip, float]:
    if length <= 1.5 * PIECE_S:
        return clip, length
    start = (clip.start_s or 0.0) + (length - PIECE_S) / 2
    return replace(clip, start_s=start, end_s=start + PIECE_S), PIECE_S


def _first(pieces: list[tuple[Clip, float]], wanted_s: float) -> tuple[tuple[Clip, ...], float]:
    """As many of the pieces as fill `wanted_s`, at least one; and their length."""
    part: list[Clip] = []
    total = 0.0
    for clip, length in pieces:
        if part and total >= wanted_s:
            break
        part.append(clip)
        total += length
    return tuple(part), total


def _windows_a_clip(selection: Selection) -> int | None:
    """None where it depends on the recording's length."""
    return None if selection.rule == "all" else selection.count or 1
