"""`make bench`: the speeds that the design rests on, each as a ratio measured side by side in one run.

How it times. Variants of one comparison take turns in an order shuffled anew each round, with a pause between calls,
because ONNX Runtime's threads go on spinning after one; figures are medians over the rounds. Where it matters the same
variant stands in twice as a control: how far that ratio is from 1 is how far to trust the others. Leave the machine
alone meanwhile. A miss is printed as a miss.
"""

import argparse
import contextlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import sklearn
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from birdprobe.analysis import knn, readouts
from birdprobe.analysis.tables import Table
from birdprobe.features.files import write_text
from birdprobe.features.recordings import Recordings, choose, read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.synthetic.clips import write_dataset
from birdprobe.features.windows import Selection
from birdprobe.probe.demo import GROUP_REGEX, WREN
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.extraction.writer import cores
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.input_spec import row_of, waveform_shape
from birdprobe.probe.runtime.opening import build
from birdprobe.probe.runtime.sessions import audio_like, data_input, open_session, run_chunks, together
from birdprobe.probe.surgery.expose import rebuild, unpooled
from birdprobe.probe.sweep.data import fold_clips
from birdprobe.probe.sweep.score import items_of, score_taps
from birdprobe.probe.sweep.settings import Settings

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
BIRDNET = DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
ESC10 = DATA / "esc10"
BATCH = 8
PAUSE_S = 0.15
CONTROL = "the first once more"


class Times(dict[str, float]):
    """Median seconds of each variant. spread: half the interquartile range over the median, the largest of them.
    control: the first variant's second copy over the first."""

    spread: float
    control: float


LAST = Times()  # of the race that the next rows are told from
ROWS: list[dict] = []


def race(variants: dict[str, Callable[[], object]], rounds: int, seed: int = 0) -> Times:
    """One warm-up each, then `rounds` rounds in shuffled order; the first variant runs twice a round, as a control."""
    global LAST
    rng = np.random.default_rng(seed)
    first = next(iter(variants))
    variants = {**variants, CONTROL: variants[first]}
    for run in variants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    names = list(variants)
    for _ in range(rounds):
        for name in rng.permutation(names):
            time.sleep(PAUSE_S)
            began = time.perf_counter()
            variants[name]()
            seconds[name].append(time.perf_counter() - began)
    LAST = Times({name: float(np.median(times)) for name, times in seconds.items()})
    quartiles = [np.percentile(times, (25, 50, 75)) for times in seconds.values()]
    LAST.spread = float(max((high - low) / 2 / median for low, median, high in quartiles))
    LAST.control = LAST.pop(CONTROL) / LAST[first]
    return LAST


def row(what: str, figure: float, aim: str = "", met: bool | None = None, note: str = "") -> None:
    """Print a figure of the last race, and keep it for `save`."""
    verdict = "" if met is None else ("met" if met else "MISS")
    spread, control = getattr(LAST, "spread", np.nan), getattr(LAST, "control", np.nan)
    told = {"what": what, "figure": round(figure, 3), "aim": aim, "verdict": verdict}
    ROWS.append(told | {"spread": round(spread, 3), "control": round(control, 3), "note": note})
    print(f"{what:<72} {figure:>7.2f}  {aim:<8} {verdict:<5} +-{spread:.0%}, control {control:.2f}  {note}", flush=True)


def save(folder: Path, rounds: int) -> None:
    """bench.csv and bench.md: every row with the machine and the versions it was measured on."""
    table = pd.DataFrame(ROWS)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "bench.csv", index=False)
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (onnxruntime, onnx, np, sklearn))
    about = f"{processor()}, {cores()} cores, {platform.system()}, Python {platform.python_version()}, {versions}"
    lines = (
        *(f"{about}. Medians of {rounds} rounds or more, batch {BATCH}; spread: half the interquartile range over the",
          "median; control: the same thing twice in the same rounds, 1 where the machine was quiet.", ""),
        Table.from_frame(table.astype(str)).to_markdown(),
    )  # fmt: skip
    write_text(folder / "bench.md", "\n".join(lines) + "\n")


def processor() -> str:
    """The CPU's name, where the system says it."""
    with contextlib.suppress(OSError):
        if found := re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text()):
            return found[1]
    return platform.processor() or platform.machine()


class Bare:
    """A plain ONNX Runtime session on a batch that is already in memory: what any reader of the model pays."""

    def __init__(self, model, row: tuple[int, ...], batch: int = BATCH):
        self.session = open_session(model)
        self.x = audio_like((batch, *row), data_input(self.session).dtype)
        self.chunk = together(data_input(self.session))

    def __call__(self):
        return list(run_chunks(self.session, self.x, self.chunk))


def bench_taps(name: str, path: Path, rounds: int) -> None:
    """All taps, pooled, in one pass against the untouched model's plain forward."""
    backbone = Backbone.open(path, spinning=True)  # as the plain session, which has the machine to itself
    model = backbone.model
    shape = row_of(waveform_shape(model, path.name, backbone.window_samples))
    taps = [backbone.architecture.taps[t] for t in backbone.taps]
    plain = Bare(model, shape)
    unfolded = Bare(build(model, taps, "mean", False, shape)[0].pruned().model, shape)
    x = audio_like((BATCH, backbone.window_samples))
    times = race(
        {
            "plain": plain,
            "all taps": lambda: backbone(x),
            "all taps, front end not folded": unfolded,
        },
        rounds,
    )
    windows = BATCH / times["plain"]
    print(f"{name}: plain {windows:.1f} windows/s")
    for what in ("all taps", "all taps, front end not folded"):
        ratio = times[what] / times["plain"]
        row(f"{name}: {what} ({len(taps)}) / plain forward, time", ratio, "<= 1.05", ratio <= 1.05)


def bench_extract(name: str, path: Path, recordings: Recordings, rounds: int) -> None:
    """Compressed audio to a finished store against forward passes alone, in windows a second."""
    backbone, alone = Backbone.open(path, threads=1), Backbone.open(path, spinning=True)
    plain = Bare(backbone.model, row_of(waveform_shape(backbone.model, path.name, backbone.window_samples)))
    x = audio_like((BATCH, backbone.window_samples))
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "features.h5"

        def whole():
            store.unlink(missing_ok=True)
            return extract(backbone, recordings, store, selection=Selection.parse("all"), progress=False)

        windows = whole().windows
        calls = -(-windows // BATCH)
        times = race(
            {
                "extract": whole,
                "plain": lambda: [plain() for _ in range(calls)],
                "taps": lambda: [alone(x) for _ in range(calls)],
            },
            rounds,
        )
    rate = windows / times["extract"]
    row(
        f"{name}: extraction / the untouched model's bare forward, throughput",
        rate / (calls * BATCH / times["plain"]),
        ">= 0.9",
        rate / (calls * BATCH / times["plain"]) >= 0.9,
        f"{rate:.1f} windows/s, {windows} windows",
    )
    row(f"{name}: extraction / bare forward of the opened model", rate / (calls * BATCH / times["taps"]))


def bench_readouts(name: str, path: Path, recordings: Recordings, rounds: int) -> None:
    """Every default read-out of every tap, against the extraction that they read from."""
    backbone, settings = Backbone.open(path, threads=1), Settings()
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "features.h5"

        def whole():
            store.unlink(missing_ok=True)
            return extract(backbone, recordings, store, selection=Selection.parse("all"), progress=False)

        whole()
        kept = Path(folder) / "kept.h5"
        shutil.copy(store, kept)
        with FeatureStore.open(kept) as features:
            folded = fold_clips(recordings, settings)
            units, targets = items_of(features, folded, folded.classes, settings.unit)
            names = readouts.parse(settings.readout)

            def scored():
                return score_taps(features, units, targets, names, settings.k)

            times = race({"extract": whole, "read-outs": scored}, rounds)
    ratio, taps = times["read-outs"] / times["extract"], len(backbone.taps)
    note = f"{times['read-outs']:.1f} against {times['extract']:.1f} s, {len(units.table)} clips, {', '.join(names)}"
    row(f"{name}: all read-outs of {taps} taps / extraction alone, time", ratio, "<= 0.25", ratio <= 0.25, note)


def bench_opening(name: str, path: Path, rounds: int) -> None:
    """A file that was proven before, opened again; a cache of its own, so that the first opening is a first one."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("BIRDPROBE_CACHE")
        os.environ["BIRDPROBE_CACHE"] = folder
        try:
            began = time.perf_counter()
            Backbone.open(path, threads=1)
            first = time.perf_counter() - began
            times = race({"opening": lambda: Backbone.open(path, threads=1)}, rounds)
        finally:
            os.environ.pop("BIRDPROBE_CACHE") if before is None else os.environ.update(BIRDPROBE_CACHE=before)
    took = times["opening"]
    row(f"{name}: opening a proven file, seconds", took, "<= 3", took <= 3, f"the first time {first:.1f} s")


def bench_one_pass(name: str, path: Path, rounds: int) -> None:
    """One pass for every tap against one truncated model a tap, the way people do it by hand."""
    backbone = Backbone.open(path)
    model = backbone.model
    shape = row_of(waveform_shape(model, path.name, backbone.window_samples))
    whole, _ = build(model, [backbone.architecture.taps[t] for t in backbone.taps], "mean", False, shape)
    each = [Bare(whole.pruned([tap]).model, shape) for tap in backbone.taps]
    one = Bare(whole.pruned().model, shape)
    times = race({"one pass": one, "one model a tap": lambda: [model() for model in each]}, rounds)
    ratio = times["one model a tap"] / times["one pass"]
    row(f"{name}: one truncated model a tap / one pass for {len(each)} taps, time", ratio, ">= 8", ratio >= 8)


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
            peak[how], fetched[how] = map(float, child("--peak", how, str(file)).split())
    note = f"{peak['numpy']:.0f} against {peak['graph']:.0f} MB, most of it the session's own"
    row(f"{name}: the same, peak memory of the process", peak["numpy"] / peak["graph"], note=note)
    note = f"{1000 * fetched['numpy'] / BATCH / 4:.0f} against {1000 * fetched['graph'] / BATCH / 4:.1f} kB a window"
    row(f"{name}: the same, memory fetched", fetched["numpy"] / fetched["graph"], note=note)


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


def bench_knn(rounds: int) -> None:
    """All taps of 600 clips: ours against scikit-learn's cross_val_score, single precision as both would get it."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(30), 20)
    folds = np.tile(np.arange(5), 120)
    taps = [
        (rng.standard_normal((600, d)) + 0.3 * y[:, None]).astype(np.float32)
        for d in [24, 32, 48, 96, 136] + [232] * 3 + [384] * 2
    ]

    def theirs():
        return [cross_val_score(KNeighborsClassifier(5), x, y, cv=PredefinedSplit(folds)) for x in taps]

    times = race({"theirs": theirs, "ours": lambda: [knn.predict(x, y, folds, 5) for x in taps]}, rounds)
    ratio = times["theirs"] / times["ours"]
    row("k-NN: scikit-learn's cross_val_score / ours, 600 clips x 10 taps, time", ratio, ">= 10", ratio >= 10)


def child(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *arguments], check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("runs/bench"), help="folder for bench.md and bench.csv")
    parser.add_argument("--peak", nargs=2, metavar=("HOW", "MODEL"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:  # a child that does one variant and tells its peak memory in MB
        print(forward_memory(arguments.peak[0], Path(arguments.peak[1])))
        return
    rounds = arguments.rounds
    print(f"medians of {rounds} rounds, batch {BATCH}\n{'':<72} {'ratio':>7}  {'aim':<8}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        audio = write_dataset(Path(folder) / "audio", n_species=20, clips_per_species=20, seed=0)
        models = {"Wren": (WREN, read_recordings(audio, group_regex=GROUP_REGEX))}
        if BIRDNET.exists() and ESC10.exists():
            models["BirdNET"] = (BIRDNET, choose(read_recordings(ESC10), 10, 16, 0))
        for name, (path, recordings) in models.items():
            bench_taps(name, path, 5 * rounds)  # short calls: more of them
            bench_extract(name, path, recordings, max(3, rounds // 2))
            bench_opening(name, path, rounds)
        if "BirdNET" in models:
            bench_readouts("BirdNET", BIRDNET, read_recordings(ESC10), max(3, rounds // 2))
        bench_one_pass("Wren", WREN, rounds)
        for name, (path, _) in models.items():
            bench_pooling(name, path, rounds)
    bench_knn(rounds)
    save(arguments.output, rounds)


if __name__ == "__main__":
    main()
