"""What each tap costs: measured milliseconds a window of the model cut off right after it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from ...features import InputError
from ..blocks.architecture import Block
from ..surgery.expose import Exposed
from ..surgery.pooling import Pooling
from .backbone import build, candidates
from .input_spec import row_of, waveform_shape
from .sessions import ORT_ERRORS, audio_like, data_input, open_session, run_chunks, together

BATCH = 4  # windows a call; conclusions at batch 1 are noise
REST_S = 0.02  # between calls


@dataclass(frozen=True)
class Timing:
    """Milliseconds a window up to a tap: the lower quartile of all calls, and half their interquartile range."""

    ms: float
    spread: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Timing":
        """From the seconds of calls of BATCH windows each."""
        low, high = np.percentile(seconds, (25, 75)) / BATCH * 1000.0
        return cls(float(low), float(high - low) / 2)


def ms_per_window(
    model: onnx.ModelProto,
    taps: Sequence[Block],
    window_samples: int,
    pooling: str | Pooling = "mean",
    fold: bool = True,
    threads: int | None = None,
    budget_s: float = 24.0,
    repeats: int = 6,
    tick: Callable[[str], None] = lambda tap: None,
) -> dict[str, Timing]:
    """{tap: milliseconds a window and their spread} at batch 4, each tap alone on its own truncated model, in a session
    of its own (one at a time), folded and threaded as for extraction.

    The taps are gone through twice, forwards and backwards, so that a machine that drifts does not favour one end. Each
    time, after one call to warm up, a tap is timed `repeats` times, but at least twice and no longer than its share of
    `budget_s`. The lower quartile of all calls counts: what else a machine does only ever adds time. `tick` hears each
    tap, twice.
    """
    row = row_of(waveform_shape(model, "model", window_samples))
    failed: Exception | None = None
    for candidate in candidates(model):
        whole, _ = build(candidate, taps, pooling, fold, row)
        try:
            seconds: dict[str, list[float]] = {tap: [] for tap in whole.outputs}
            for name in (*seconds, *reversed(seconds)):
                share = budget_s / len(seconds) / 2
                seconds[name] += time_calls(whole.pruned([name]), row, threads, share, repeats)
                tick(name)
            return {name: Timing.of(times) for name, times in seconds.items()}
        except ORT_ERRORS as error:  # one window is built into this form of the graph
            failed = error
    raise InputError(f"the model cannot be timed: {failed}") from failed


def time_calls(
    exposed: Exposed, row: tuple[int, ...], threads: int | None = None, budget_s: float = 1.0, repeats: int = 4
) -> list[float]:
    """Seconds of each call of one exposed model on BATCH windows; see ms_per_window."""
    started = time.perf_counter()
    session = open_session(exposed.model, threads, spinning=False)
    spec = data_input(session)
    x = audio_like((BATCH, *row), spec.dtype)
    times: list[float] = []
    while len(times) < 3 or (len(times) <= repeats and time.perf_counter() - started < budget_s):
        time.sleep(REST_S)
        begun = time.perf_counter()
        for _ in run_chunks(session, x, together(spec)):
            pass
        times.append(time.perf_counter() - begun)
    return times[1:]
