"""Where the energy peaks of clips are, kept in the user's cache: finding them takes far longer than reading a window.

A minute of audio costs about 0.3 s of one core, a reading of five seconds about 5 ms. The loader's threads find them in
the first epoch on these recordings. What is kept is what would be found again, so the file changes the time of every
later run and nothing else.
"""

import hashlib
import json
import threading
from pathlib import Path

import numpy as np

from ...features.files import write_json
from ...features.recordings import Clip
from ...features.user_cache import caching, user_cache

PEAKS = 5  # candidates a clip, as in Perch's public training code (max_intervals)
EVERY = 2000  # new clips after which the file is written again


def peaks_file(root: Path, sample_rate: int, samples: int) -> Path | None:
    """Where the peaks of the recordings in this place are kept; None where nothing may be."""
    if not caching():
        return None
    place = hashlib.sha256(f"{Path(root).resolve()}|{sample_rate}|{samples}".encode("utf-8", "surrogateescape"))
    return user_cache() / "energy-peaks" / f"{place.hexdigest()[:16]}.json"


class Peaks:
    """Starts of the candidate windows of clips, int64 [1 .. PEAKS] each. path: the file; None keeps them in memory.

    A file of another sample rate or window, or one that cannot be read, is written anew. Any thread may ask and tell.
    """

    def __init__(self, sample_rate: int, samples: int, path: Path | None = None):
        self.made_for = {"sample_rate": sample_rate, "window_samples": samples, "peaks": PEAKS}
        self.path, self._new, self._lock = path, 0, threading.Lock()
        self._starts: dict[str, list[int]] = self._read()

    def get(self, clip: Clip) -> np.ndarray | None:
        starts = self._starts.get(_key(clip))
        return None if starts is None else np.array(starts, dtype=np.int64)

    def put(self, clip: Clip, starts: np.ndarray) -> None:
        with self._lock:
            self._starts[_key(clip)] = starts.tolist()
            self._new += 1
            due = self._new >= EVERY
        if due:
            self.save()

    def save(self) -> None:
        """Write what is new, beside what others (folds, processes) have written since; whole or not at all."""
        if self.path is None or not self._new:
            return
        with self._lock:
            self._starts = self._read() | self._starts
            write_json(self.path, self.made_for | {"starts": self._starts}, indent=None)
            self._new = 0

    def _read(self) -> dict[str, list[int]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8")) if self.path else {}
        except (OSError, ValueError):
            return {}
        same = isinstance(found, dict) and all(found.get(name) == value for name, value in self.made_for.items())
        return found["starts"] if same and isinstance(found.get("starts"), dict) else {}


def _key(clip: Clip) -> str:
    """Which audio this is; size and time of the last change stand for its content."""
    status = clip.path.stat() if clip.path.is_file() else None
    content = f"{status.st_size}|{status.st_mtime_ns}" if status else None
    return f"{clip.name}|{clip.start_s}|{clip.end_s}|{content}"
