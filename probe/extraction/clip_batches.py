"""ClipBatch: some consecutive clips that are decoded and inferred together, the unit of work of an extraction.

The split depends on the table of clips, the files' sizes and the batch size, and the rows of a batch reach the store
in one append. So the windows that share a batch are the same in every run, whatever was resumed where and
whichever thread was faster, and the features are the same bit for bit.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ...features import InputError, audio
from ...features.files import sha256
from ...features.playback import AS_RECORDED, Playback
from ...features.recordings import Clip
from ...features.store import ROW_COLUMNS
from ...features.windows import Selection, cut, normalise_file, normalise_windows, select

BATCH_BYTES = 1 << 21  # of audio files: about a minute or two of compressed sound


@dataclass(frozen=True)
class ClipBatch:
    """clips[i] has number first + i in the table of recordings."""

    first: int
    clips: tuple[Clip, ...]

    def without(self, done: set[int]) -> "ClipBatch":
        """Less the clips at its start that are done."""
        n = 0
        while n < len(self.clips) and self.first + n in done:
            n += 1
        return ClipBatch(self.first + n, self.clips[n:])

    def split(self, selection: Selection, batch_size: int) -> "list[ClipBatch]":
        """Into batches of about `batch_size` windows or more, as far as that is known before decoding."""
        known = {"center": 1, "first": 1}.get(selection.rule, selection.count)  # windows per clip, None for all
        most = -(-batch_size // known) if known else batch_size
        batches, start, size = [], 0, 0
        for i, clip in enumerate(self.clips):
            size += clip.path.stat().st_size if known is None and clip.path.is_file() else 0
            if i + 1 - start >= most or size >= BATCH_BYTES or i + 1 == len(self.clips):
                batches.append(ClipBatch(self.first + start, self.clips[start : i + 1]))
                start, size = i + 1, 0
        return batches


@dataclass(frozen=True)
class Settings:
    """What features depend on besides the backbone and the audio."""

    selection: Selection
    seed: int
    batch_size: int
    playback: Playback = AS_RECORDED


@dataclass(frozen=True)
class BatchFeatures:
    """The rows of a batch (ROW_COLUMNS, n rows), tap -> float32 [n, *dim], and skipped clips (number, name, reason).

    warnings: what was read otherwise than a file's header or channels would have it, a line each.
    """

    rows: pd.DataFrame
    features: dict[str, np.ndarray]
    skipped: tuple[tuple[int, str, str], ...]
    warnings: tuple[str, ...] = ()


def compute(backbone, batch: ClipBatch, settings: Settings) -> BatchFeatures:
    """Decode, cut, normalise and infer a batch of clips; clips that cannot be used are skipped with the reason."""
    rows: list[tuple] = []
    skipped: list[tuple[int, str, str]] = []
    warnings: list[str] = []
    window_batches = _WindowBatches(backbone, settings.batch_size)
    try:
        for number, clip in enumerate(batch.clips, batch.first):
            try:
                waveform = audio.read(
                    *(clip.path, backbone.sample_rate),
                    start_s=clip.start_s,
                    end_s=clip.end_s,
                    warn=warnings.append,
                    playback=settings.playback,
                )
            except InputError as error:
                reason = str(error).removeprefix(str(clip.path)).lstrip(":, ")  # the name stands beside it
                skipped.append((number, clip.name, reason))
                continue
            waveform = normalise_file(waveform, backbone.normalise)
            seed = seed_of(clip, settings.seed)
            starts = select(waveform, backbone.sample_rate, backbone.window_s, settings.selection, seed)
            played, speed = settings.playback.rate(backbone.sample_rate), settings.playback.speed
            rows += _rows(number, clip, starts / played, backbone.window_s * speed)
            window_batches.add(waveform, starts)
        features = window_batches.finish()
    except _Refused as error:
        if len(batch.clips) == 1:
            return BatchFeatures(_table([]), window_batches.none(), ((batch.first, batch.clips[0].name, str(error)),))
        # one of them is to blame: each alone, so that the others are kept
        alone = [ClipBatch(number, (clip,)) for number, clip in enumerate(batch.clips, batch.first)]
        return _merge([compute(backbone, one, settings) for one in alone])
    return BatchFeatures(_table(rows), features, tuple(skipped), tuple(warnings))


class _Refused(Exception):
    """The backbone has no features for these windows (NaN, overflow)."""


class _WindowBatches:
    """Windows [batch_size, samples], filled from one clip after the other; holds one batch, never all windows."""

    def __init__(self, backbone, batch_size: int):
        self.backbone = backbone
        try:
            self.windows = np.empty((batch_size, backbone.window_samples), np.float32)
        except MemoryError:
            samples = backbone.window_samples
            raise InputError(
                f"`--batch-size` must leave room in memory, got {batch_size} windows of {samples:,} samples. Fewer?"
            ) from None
        self.filled = 0
        self.parts: list[dict[str, np.ndarray]] = []

    def add(self, waveform: np.ndarray, starts: np.ndarray):
        at = 0
        while at < len(starts):
            n = min(len(starts) - at, len(self.windows) - self.filled)
            piece = cut(waveform, starts[at : at + n], self.windows.shape[1])
            self.windows[self.filled : self.filled + n] = normalise_windows(piece, self.backbone.normalise)
            at, self.filled = at + n, self.filled + n
            if self.filled == len(self.windows):
                self._infer()

    def finish(self) -> dict[str, np.ndarray]:
        """tap -> float32 [all windows, *dim]"""
        if self.filled:
            self._infer()
        return {tap: np.concatenate([none, *(part[tap] for part in self.parts)]) for tap, none in self.none().items()}

    def none(self) -> dict[str, np.ndarray]:
        return {tap: np.empty((0, *self.backbone.dims[tap]), np.float32) for tap in self.backbone.taps}

    def _infer(self):
        try:
            self.parts.append(self.backbone(self.windows[: self.filled]))
        except InputError as error:
            raise _Refused(str(error)) from error
        self.filled = 0


def seed_of(clip: Clip, seed: int) -> int:
    """A clip's own seed: it depends on which clip it is, not on its place in the table or in time."""
    identity = f"{seed}|{clip.name}|{clip.start_s}|{clip.end_s}"
    return int.from_bytes(hashlib.sha256(identity.encode("utf-8", "surrogateescape")).digest()[:8], "big")


def _rows(number: int, clip: Clip, starts_s: np.ndarray, window_s: float) -> list[tuple]:
    """Times are the recording's, from the start of its file; a padded window ends after it."""
    offset = clip.start_s or 0.0
    status = clip.path.stat()
    digest = _sha256(clip.path, status.st_size, status.st_mtime_ns)
    about = (clip.label, ";".join(clip.labels), clip.group, clip.fold, status.st_size, digest)
    return [(number, clip.name, offset + start, offset + start + window_s, *about) for start in starts_s.tolist()]


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    """Of a file's bytes; remembered, because a table may name many pieces of one long file."""
    return sha256(path)


def _table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(ROW_COLUMNS), dtype=object)


def _merge(parts: list[BatchFeatures]) -> BatchFeatures:
    rows = [record for part in parts for record in part.rows.itertuples(index=False, name=None)]
    features = {tap: np.concatenate([part.features[tap] for part in parts]) for tap in parts[0].features}
    skipped = tuple(skip for part in parts for skip in part.skipped)
    return BatchFeatures(_table(rows), features, skipped, tuple(line for part in parts for line in part.warnings))
