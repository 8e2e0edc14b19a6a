"""What fusing saves: the fused file and the full model, timed in turns."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from ...probe.models.frontends.opening import open_model
from ...probe.models.registry import resolve
from ...probe.runtime import sessions
from ...probe.runtime.input_spec import described, row_of, waveform_shape
from ...probe.runtime.sessions import together

if TYPE_CHECKING:
    from .fused import Fused

TIMED_BATCH = 4  # windows a call; conclusions at batch 1 are noise


def speeds(fused: "Fused", model: Path | str, threads: int = 1, budget_s: float = 20.0) -> dict[str, float]:
    """{"fused": ms, "full": ms}: median milliseconds a window at batch 4 of the fused file and of the model that it
    came from (behind its front end, where it has one), called in turns."""
    model = resolve(model)
    about = described(onnx.load(fused.path, load_external_data=False))
    rate = about[1] if about else None
    window_s = fused.window_samples / rate if rate and fused.frontend else None
    whole = open_model(model, fused.frontend, fused.inputs, rate, window_s)
    row = row_of(waveform_shape(whole, model.name, fused.window_samples))
    opened = {"fused": sessions.open_session(fused.path, threads), "full": sessions.open_session(whole, threads)}
    del whole
    specs = {name: sessions.data_input(session) for name, session in opened.items()}
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
