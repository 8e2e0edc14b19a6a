"""What each tap costs: measured milliseconds a window of everything that leads to it, all taps from the same runs.

ONNX Runtime's profiler says what each node of the optimised graph took. A tap's cost is the sum over the nodes that it
depends on, less its own pooling, so a deeper tap on the same path can never come out cheaper than an earlier one.
"""

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from ...features import InputError
from ..graph.dataflow import reads_of
from ..surgery.expose import Exposed
from .sessions import ORT_ERRORS, audio_like, data_input, open_session, reason, run_chunks, together

BATCH = 4  # windows a call; conclusions at batch 1 are noise
REST_S = 0.02  # between calls
KERNEL = "_kernel_time"  # how the profiler ends a node's name
LAYOUTS = ("ReorderOutput", "ReorderInput", "Transpose", "Cast", "Reshape")  # between a tap's tensor and its pooling


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


def open_timed(
    exposed: Exposed,
    row: tuple[int, ...],
    threads: int | None = None,
    spinning: bool = False,
    budget_s: float = 2.0,
    repeats: int = 8,
) -> tuple[ort.InferenceSession, dict[str, Timing]]:
    """A session of an opened model on the CPU, and tap -> what it costs in it, at batch 4: one session for both.

    exposed: its nodes get other names. row: the shape of one window, without the batch axis. budget_s: seconds for the
    calls; at least two are made after one to warm up, and at most `repeats`. The lower quartile of the calls counts:
    what else a machine does only ever adds time. InputError: ONNX Runtime cannot open or run the model.
    """
    with tempfile.TemporaryDirectory(prefix="birdprobe-") as folder:
        prefix = Path(folder) / "profile"
        for i, node in enumerate(exposed.model.graph.node):
            node.name = f"node_{i}"  # the profiler knows them by name, and files may have none
        session = open_session(exposed.model, threads, spinning, profile=prefix)
        spec = data_input(session)
        x, chunk = audio_like((BATCH, *row), spec.dtype), together(spec)
        until, calls = 0.0, 0
        try:
            while calls < 3 or (calls <= repeats and time.perf_counter() < until):
                time.sleep(REST_S)
                for _ in run_chunks(session, x, chunk):
                    pass
                until = until or time.perf_counter() + budget_s  # the first call warms up
                calls += 1
        except ORT_ERRORS as error:
            raise InputError(f"the model cannot be timed: {reason(error)}") from error
        events = json.loads(Path(session.end_profiling()).read_text())  # from now on it runs as any session does
        graph = onnx.load(prefix.with_suffix(".onnx"), load_external_data=False).graph
    seconds = node_seconds(events, calls)
    needs = {tap: needed(graph, output) for tap, output in exposed.outputs.items()}
    none = np.zeros(calls)  # a tap that lies on the input itself
    totals = {tap: sum((seconds.get(name, none) for name in names), none) for tap, names in needs.items()}
    return session, {tap: Timing.of(total[1:].tolist()) for tap, total in totals.items()}


def node_seconds(events: Sequence[dict], calls: int) -> dict[str, np.ndarray]:
    """Node -> seconds [calls]. A call may have been several runs of fewer windows: these are added up."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
            found[event["name"].removesuffix(KERNEL)].append(event["dur"] * 1e-6)
    return {
        name: np.array(times).reshape(calls, -1).sum(axis=1) for name, times in found.items() if len(times) % calls == 0
    }


def needed(graph: onnx.GraphProto, output: str) -> set[str]:
    """Names of the nodes that a tap's output depends on, less those at its end that pool it."""
    producer = {name: node for node in graph.node for name in node.output}
    names, todo = set[str](), [(output, True)]
    while todo:
        tensor, own = todo.pop()
        node = producer.get(tensor)
        if node is None or node.name in names:
            continue
        own = own and (any(name.startswith(output) for name in node.output) or node.op_type in LAYOUTS)
        if not own:
            names.add(node.name)
        todo += [(name, own) for name in reads_of(node)]
    return names
