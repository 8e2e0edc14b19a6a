"""How many threads a machine has room for."""

import os


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_beside(threads: int | None) -> int:
    """How many at a time of what computes with `threads` each (None, 0: one per core); at least two, so that one
    decodes meanwhile."""
    return max(2, cores() // (threads or cores()))
