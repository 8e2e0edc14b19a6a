"""Writing beside the training: one thread, one job at a time, in the order in which they came."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self


class Background:
    """A context manager. What goes wrong in a job is raised by the next call; leaving the block waits for the last."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._under_way: Future | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind, *_) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()

    def submit(self, job: Callable[[], None]) -> None:
        """Begin with a job as soon as the one before is done, which is waited for: one set of copies is in memory."""
        self.wait()
        self._under_way = self._pool.submit(job)

    def wait(self) -> None:
        """Until everything is on the disk."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()
