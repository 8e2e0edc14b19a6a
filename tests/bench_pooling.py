"""Part of `make bench`: what pooling inside the graph saves, in time and in the memory of processes of their own."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.input_spec import row_of, waveform_shape
from birdprobe.probe.runtime.opening import build
from birdprobe.probe.runtime.sessions import audio_like, data_input, open_session, run_chunks, together
from birdprobe.probe.surgery.expose import rebuild, unpooled
from tests.bench_race import BATCH, Bare, race, row


def bench_pooling(name: str, path: Path, rounds: int) -> None:
    """Taps pooled inside the graph against whole maps fetched and averaged in numpy: speed here, memory in children."""
    backbone = Backbone.open(path)
    model = backbone.model
    shape = row_of(waveform_shape(model, path.name, backbone.window_samples))
    blocks = [backbone.architecture.taps[t] for t in backbone.taps]
    raw = unpooled(model, blocks)[0]
    raw = rebuild(raw, raw.graph.node, [o for o in raw.graph.output if o.name.startswith("birdprobe/")])
    models = {"graph": build(model, blocks, "mean", False, shape)[0].pruned().model, "numpy": raw}
    bare = {how: Bare(opened, shape) for how, opened in models.items()}
    times = race({"graph": bare["graph"], "numpy": lambda: averaged(bare["numpy"]())}, rounds)
    row(f"{name}: maps averaged in numpy / pooled in the graph, time", times["numpy"] / times["graph"])
    with tempfile.TemporaryDirectory() as folder:
        peak, fetched = {}, {}
        for how, opened in models.items():
            file = Path(folder) / f"{how}.onnx"
            onnx.save(opened, file)
            peak[how], fetched[how] = map(float, child(how, str(file)).split())
    note = f"{peak['numpy']:.0f} against {peak['graph']:.0f} MB, most of it the session's own"
    row(f"{name}: the same, peak memory of the process", peak["numpy"] / peak["graph"], note=note, timed=False)
    note = f"{1000 * fetched['numpy'] / BATCH / 4:.0f} against {1000 * fetched['graph'] / BATCH / 4:.1f} kB a window"
    row(f"{name}: the same, memory fetched", fetched["numpy"] / fetched["graph"], note=note, timed=False)


def averaged(runs: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Maps [N, C, ...] to [N, C]."""
    return [m.reshape(*m.shape[:2], -1).mean(axis=2) for maps in runs for m in maps]


def forward_memory(how: str, path: Path) -> str:
    """In a process of its own, which keeps the features of four batches: its peak in MB, and MB that were fetched."""
    session = open_session(path)
    spec = data_input(session)
    x = audio_like((4 * BATCH, *spec.shape[1:]))
    kept, fetched = [], 0
    for i in range(4):
        runs = list(run_chunks(session, x[i * BATCH : (i + 1) * BATCH], together(spec)))
        fetched += sum(a.nbytes for arrays in runs for a in arrays)
        kept.append(averaged(runs) if how == "numpy" else runs)
    return f"{status_mb('VmHWM')} {fetched / 2**20}"


def status_mb(field: str) -> float:
    """Of this process alone: what getrusage tells is inherited from the parent."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def child(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench_pooling", *arguments], check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":  # a child that does one variant and tells its peak memory in MB
    print(forward_memory(sys.argv[1], Path(sys.argv[2])))
