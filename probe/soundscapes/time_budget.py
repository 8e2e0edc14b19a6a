"""Minutes that may be spent: the pace so far, what is left to do at that pace, and when to stop.

A file that has begun cannot be hurried, so what counts is whether one more still fits: `stop` asks that before it
begins, at the slowest pace seen so far and with the time that writing the result will take kept back. `spent` is the
last resort, asked between batches: a file that turned out slower than any before it is given up there.
"""

import threading
from collections.abc import Callable

MARGIN = 1.5  # a file may be this much slower, per second of audio, than the slowest so far


class Budget:
    """minutes: None for as long as it takes. clock: seconds, monotonic. started: the clock's reading from which the
    minutes count (None: now). writing_s: seconds kept back for writing. Safe to use from several threads.
    """

    def __init__(
        self, minutes: float | None, clock: Callable[[], float], writing_s: float = 0.0, started: float | None = None
    ):
        self.limit_s = float("inf") if minutes is None else 60.0 * minutes
        self._clock, self._writing_s = clock, writing_s
        self._begun = clock()
        self._started = self._begun if started is None else started
        self._audio_s = self._slowest = 0.0
        self._lock = threading.Lock()

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._started

    @property
    def left_s(self) -> float:
        return self.limit_s - self.elapsed_s

    @property
    def rate(self) -> float:
        """Seconds of audio predicted a second, all threads together; 0 before the first file is done."""
        took = self._clock() - self._begun
        return self._audio_s / took if took > 0 else 0.0

    def done(self, audio_s: float, took_s: float) -> None:
        """A file of audio_s seconds took one thread took_s."""
        with self._lock:
            self._audio_s += audio_s
            if audio_s > 0:
                self._slowest = max(self._slowest, took_s / audio_s)

    def eta_s(self, audio_left_s: float) -> float | None:
        """Seconds until audio_left_s more are predicted; None while no pace is known."""
        return audio_left_s / self.rate if self.rate > 0 else None

    def stop(self, next_s: float) -> bool:
        """Whether a file of next_s seconds should not be begun."""
        return self.left_s <= self._writing_s + MARGIN * self._slowest * next_s

    @property
    def spent(self) -> bool:
        """Whether only the time for writing is left."""
        return self.left_s <= self._writing_s


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
