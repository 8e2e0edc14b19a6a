"""Waveforms of clips on demand, from any number of threads: decoded pieces, or whole recordings kept in memory.

Keeping changes the time and nothing else: a piece is decoded alone only where that gives the very samples that a cut
from the whole recording has, so the same run with and without memory trains the same weights.
"""

from collections.abc import Sequence

import numpy as np

from ...features import InputError
from ...features.audio import Info, info, read
from ...features.recordings import Clip
from ...features.windows import Selection, cut, select
from .energy_peaks import PEAKS, Peaks

CACHE_BYTES = 2 << 30  # decoded audio kept by default: 4.6 hours at 32 kHz
SEEKABLE = frozenset({"WAV", "WAVEX", "FLAC", "OGG", "AIFF"})  # libsndfile seeks to the sample; in mp3 it does not
TAIL_S = 0.1


class Waveforms:
    """Clips by number, float32 mono at sample_rate (Hz). An unreadable clip raises InputError each time it is read.

    cache_bytes: how much decoded audio may stay in memory: the first clips of the list that fit together; 0 for none.
    """

    def __init__(self, clips: Sequence[Clip], sample_rate: int, cache_bytes: int = CACHE_BYTES):
        self.clips, self.sample_rate = tuple(clips), sample_rate
        self._spans: dict[int, tuple[int, int] | None] = {}
        self._kept: dict[int, np.ndarray] = {}
        self.keeps = self._leading(cache_bytes)  # clips 0 .. keeps - 1 stay in memory once they were read

    def whole(self, i: int) -> np.ndarray:
        """Clip i, float32 [samples]; not to be written to."""
        if (waveform := self._kept.get(i)) is None:
            clip = self.clips[i]
            waveform = read(clip.path, self.sample_rate, start_s=clip.start_s, end_s=clip.end_s)
            if i < self.keeps:
                self._kept[i] = waveform
        return waveform

    def windows(self, i: int, samples: int) -> np.ndarray:
        """All windows of clip i, float32 [w, samples], zero-padded."""
        waveform, rule = self.whole(i), Selection("all")
        return cut(waveform, select(waveform, self.sample_rate, samples / self.sample_rate, rule), samples)

    def random_window(self, i: int, samples: int, rng: np.random.Generator) -> np.ndarray:
        """A window of clip i at a uniform offset, float32 [samples], zero-padded where the clip is shorter."""
        if (length := self._length(i)) is None:
            length = len(self.whole(i))
        return self.window(i, int(rng.integers(max(0, length - samples) + 1)), samples)

    def energy_window(self, i: int, samples: int, rng: np.random.Generator, peaks: Peaks) -> np.ndarray:
        """A window around one of clip i's PEAKS strongest energy peaks, drawn evenly; float32 [samples]."""
        if (starts := peaks.get(self.clips[i])) is not None:
            return self.window(i, int(rng.choice(starts)), samples)
        waveform = self.whole(i)
        starts = select(waveform, self.sample_rate, samples / self.sample_rate, Selection("energy", PEAKS))
        peaks.put(self.clips[i], starts)
        return cut(waveform, np.array([rng.choice(starts)]), samples)[0]

    def window(self, i: int, start: int, samples: int) -> np.ndarray:
        """The window of clip i from a sample on, float32 [samples], zero-padded at the clip's end."""
        span = None if i < self.keeps else self._span(i)
        if span is None:
            return cut(self.whole(i), np.array([start]), samples)[0]
        begin, rate = span[0] + start, self.sample_rate
        end = min(begin + samples, span[1])
        try:
            piece = read(self.clips[i].path, rate, start_s=begin / rate, end_s=end / rate)
        except InputError:  # a recording may be silent for a while; otherwise this says what is wrong with it
            piece = self.whole(i)[start : start + samples]
        return cut(piece, np.array([0]), samples)[0]

    def _length(self, i: int) -> int | None:
        """Samples of clip i where they are known without decoding all of it."""
        if i < self.keeps:
            return len(self.whole(i))
        span = self._span(i)
        return span and span[1] - span[0]

    def _span(self, i: int) -> tuple[int, int] | None:
        """First and last sample of clip i in its file, where a piece can be decoded alone; else None."""
        if i not in self._spans:
            clip, about = self.clips[i], _about(self.clips[i])
            span = None
            if about and about.format in SEEKABLE and about.sample_rate == self.sample_rate:
                span = _bounds(clip, about)
                end_s = span[1] / self.sample_rate
                try:  # the end of a recording shows whether it was cut short, and is quickly read
                    read(
                        clip.path,
                        self.sample_rate,
                        start_s=max(span[0] / self.sample_rate, end_s - TAIL_S),
                        end_s=end_s,
                    )
                except InputError:
                    span = None  # reading it in full decides
            self._spans[i] = span
        return self._spans[i]

    def _leading(self, cache_bytes: int) -> int:
        """How many clips, from the first on, fit into cache_bytes once decoded."""
        for i, clip in enumerate(self.clips):
            if about := _about(clip):
                first, last = _bounds(clip, about)
                cache_bytes -= 4 * round((last - first) / about.sample_rate * self.sample_rate)
            else:  # of unknown length, or unreadable
                cache_bytes -= 10 * clip.path.stat().st_size if clip.path.is_file() else 0
            if cache_bytes < 0:
                return i
        return len(self.clips)


def _about(clip: Clip) -> Info | None:
    """What the file says of itself; None for what libsndfile cannot open, and where the length is unknown."""
    about = info(clip.path)
    return about if about and about.frames else None


def _bounds(clip: Clip, about) -> tuple[int, int]:
    """First and last frame of a clip in its file, as features.audio counts them."""
    first = round((clip.start_s or 0.0) * about.sample_rate)
    last = about.frames if clip.end_s is None else min(round(clip.end_s * about.sample_rate), about.frames)
    return first, max(first, last)
