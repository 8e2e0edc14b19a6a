"""What fusing saves: the fused file and the full model, timed in turns."""

import time
from pathlib import Path

import numpy as np

from ...probe.graph.load import load
from ...probe.models.registry import resolve
from ...probe.runtime import sessions
from ...probe.runtime.input_spec import row_of, waveform_shape
from ...probe.runtime.sessions import together

TIMED_BATCH = 4  # windows a call; conclusions at batch 1 are noise


def speeds(fused: Path, model: Path, window_samples: int, threads: int = 1, budget_s: float = 20.0) -> dict[str, float]:
    """{"fused": ms, "full": ms}: median milliseconds a window at batch 4 of two ONNX files, called in turns."""
    fused, model = Path(fused), resolve(model)
    opened = {"fused": sessions.open_session(fused, threads), "full": sessions.open_session(model, threads)}
    specs = {name: sessions.data_input(session) for name, session in opened.items()}
    row = row_of(waveform_shape(load(model), model.name, window_samples))
    inputs = {name: sessions.audio_like((TIMED_BATCH, *row), spec.dtype) for name, spec in specs.items()}
    times: dict[str, list[float]] = {name: [] for name in opened}
    started = time.perf_counter()
    while len(times["full"]) < 3 or (len(times["full"]) < 50 and time.perf_counter() - started < budget_s):
        for name, session in opened.items():
            begun = time.perf_counter()
            for _ in sessions.run_chunks(session, inputs[name], together(specs[name])):
                pass
            times[name].append(time.perf_counter() - begun)
    return {name: float(np.median(each[1:])) / TIMED_BATCH * 1000 for name, each in times.items()}
