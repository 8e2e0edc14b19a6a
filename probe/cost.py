"""What each tap costs: measured milliseconds a window of the model cut off right after it."""

import time
from collections.abc import Sequence

import numpy as np
import onnx

from features import InputError
from probe.architecture import Block
from probe.backbone import build, candidates
from probe.contract import row_of, waveform_shape
from probe.pooling import Pooling
from probe.proof import together
from probe.runtime import ORT_ERRORS, audio_like, data_input, open_session, run_chunks
from probe.surgery import Exposed

BATCH = 4  # windows a call; conclusions at batch 1 are noise
REST_S = 0.02  # between calls


def ms_per_window(
    model: onnx.ModelProto,
    taps: Sequence[Block],
    window_samples: int,
    pooling: str | Pooling = "mean",
    fold: bool = True,
    threads: int | None = None,
    budget_s: float = 20.0,
    repeats: int = 7,
) -> dict[str, float]:
    """{tap: median milliseconds a window} at batch 4, each tap alone on its own truncated model, in a session of its
    own (one at a time), folded and threaded as for extraction.

    After one call to warm up, each tap is timed `repeats` times, but at least twice and no longer than its share of
    `budget_s`. A busy machine makes all of these numbers larger.
    """
    row = row_of(waveform_shape(model, "model", window_samples))
    failed: Exception | None = None
    for candidate in candidates(model):
        whole, _ = build(candidate, taps, pooling, fold, row)
        try:
            return {
                block.name: measure(whole.pruned([block.name]), row, threads, budget_s / len(taps), repeats)
                for block in taps
            }
        except ORT_ERRORS as error:  # one window is built into this form of the graph
            failed = error
    raise InputError(f"the model cannot be timed: {failed}") from failed


def measure(
    exposed: Exposed, row: tuple[int, ...], threads: int | None = None, budget_s: float = 1.0, repeats: int = 7
) -> float:
    """Median milliseconds a window of one exposed model; see ms_per_window."""
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
    return float(np.median(times[1:])) / BATCH * 1000.0
