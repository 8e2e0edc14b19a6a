"""What fusing saves: the fused file and the full model, timed in turns."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from ...probe.models.frontends.opening import open_model
from ...probe.models.registry import resolve
from ...probe.runtime import sessions
from ...probe.runtime.input_spec import described, row_of, waveform_shape
from ...probe.runtime.sessions import together
from ...probe.surgery.expose import rebuild
from .result import Fused

TIMED_BATCH = 4  # windows a call; conclusions at batch 1 are noise


def speeds(fused: Fused, model: Path | str, threads: int = 1, budget_s: float = 20.0) -> dict[str, float]:
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

    def run(name: str) -> None:
        for _ in sessions.run_chunks(opened[name], inputs[name], together(specs[name])):
            pass

    return {name: ms / TIMED_BATCH for name, ms in in_turns(opened, run, budget_s).items()}


def in_turns(names: Iterable[str], run: Callable[[str], object], budget_s: float) -> dict[str, float]:
    """Median milliseconds of each, the first call left out: at most 50 calls, 3 at least however long they take."""
    times: dict[str, list[float]] = {name: [] for name in names}
    started = time.perf_counter()
    for done in range(50):
        if done >= 3 and time.perf_counter() - started >= budget_s:
            break
        for name, each in times.items():
            begun = time.perf_counter()
            run(name)
            each.append(time.perf_counter() - begun)
    return {name: float(np.median(each[1:])) * 1000 for name, each in times.items()}


FILES, WINDOWS = 600, 12  # of a BirdCLEF+ test set: one-minute files in 5-s windows
PERCH_MS = (125.0, 250.0)  # a window of Perch v2 on the competition's four virtual processors, as reported
BUDGET_MINUTES = 90.0


@dataclass(frozen=True)
class HeadCost:
    """Milliseconds a recording of `windows`: of a fused file, and of its backbone alone (one thread, median)."""

    windows: int
    fused_ms: float
    backbone_ms: float

    @property
    def head_ms(self) -> float:
        return max(0.0, self.fused_ms - self.backbone_ms)

    def minutes(self, backbone_ms_a_window: float) -> float:
        """Of 600 files of 12 windows behind a backbone of this speed."""
        calls = FILES * WINDOWS / self.windows
        return (FILES * WINDOWS * backbone_ms_a_window + calls * self.head_ms) / 60_000

    def __str__(self) -> str:
        low, high = map(self.minutes, PERCH_MS)
        head = FILES * WINDOWS / self.windows * self.head_ms / 1000
        return (
            f"heads {self.head_ms:.1f} ms a recording of {self.windows} windows, backbone {self.backbone_ms:.1f} (one "
            f"thread); {FILES} files of {WINDOWS} windows: {head:.0f} s for the heads, with Perch v2's reported "
            f"{PERCH_MS[0]:g} to {PERCH_MS[1]:g} ms a window {low:.0f} to {high:.0f} of {BUDGET_MINUTES:g} minutes"
        )


def head_cost(fused: Fused, threads: int = 1, budget_s: float = 20.0) -> HeadCost:
    """What heads over time cost beside their backbone: the fused file and its own graph up to the taps, timed in turns
    on full recordings."""
    model = onnx.load(fused.path)
    taps = [name for node in model.graph.node if node.op_type == "Pad" for name in node.input[:1]]
    taps = [name for name in dict.fromkeys(taps) if name.startswith("birdprobe/")]
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in taps]
    alone = rebuild(model, model.graph.node, infos)
    kept = [value for value in alone.graph.input if value.name not in ("site", "hour")]
    del alone.graph.input[:]
    alone.graph.input.extend(kept)
    opened = {"fused": sessions.open_session(fused.path, threads), "alone": sessions.open_session(alone, threads)}
    spec = sessions.data_input(opened["fused"])
    row = (1,) * (len(spec.shape) - 2) + (fused.window_samples,)
    audio = {spec.name: sessions.audio_like((fused.recording, *row), spec.dtype)}
    names = [value.name for value in opened["fused"].get_inputs()[1:]]
    given = {"fused": audio | {name: np.array([0]) for name in names}, "alone": audio}
    medians = in_turns(opened, lambda name: opened[name].run(None, given[name]), budget_s)
    return HeadCost(fused.recording, medians["fused"], medians["alone"])
