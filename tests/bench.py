"""`make bench`: the speeds that the design rests on, each as a ratio measured side by side in one run (see bench_race)."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from birdprobe.analysis import knn, readouts
from birdprobe.features.audio import read
from birdprobe.features.files import read_json
from birdprobe.features.recordings import Recordings, choose, read_recordings
from birdprobe.features.store import FeatureStore
from birdprobe.features.synthetic.clips import write_dataset
from birdprobe.features.windows import Selection
from birdprobe.probe.demo import GROUP_REGEX, WREN
from birdprobe.probe.extraction.extract import extract
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.cores import cores
from birdprobe.probe.runtime.input_spec import row_of, waveform_shape
from birdprobe.probe.runtime.opening import build
from birdprobe.probe.runtime.providers import find_device
from birdprobe.probe.runtime.sessions import audio_like
from birdprobe.probe.sweep.data import fold_clips
from birdprobe.probe.sweep.items import Items
from birdprobe.probe.sweep.score import score_taps
from birdprobe.probe.sweep.settings import Settings
from tests.bench_gpu import export_b3
from tests.bench_pooling import bench_pooling
from tests.bench_race import BATCH, RESULTS, Bare, race, row, save

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
BIRDNET = DATA / "birdnet" / "BirdNET_GLOBAL_6K_V2.4.onnx"
ESC10 = DATA / "esc10"
ESC10_OPTIONS = ("--fold-regex", r"^(\d)-", "--group-regex", r"^(\d-\d+)", "--per-class", "40")
AIMS = {"Wren": 1.05, "BirdNET": 0.39}  # all taps over the plain forward: the second's front end folds


def bench_taps(name: str, path: Path, rounds: int, rate: int | None = None, aim: float = 1.05) -> None:
    """All taps, pooled, in one pass against the untouched model's plain forward."""
    backbone = Backbone.open(path, sample_rate=rate, spinning=True)  # as the plain session: the machine to itself
    model = backbone.model
    shape = row_of(waveform_shape(model, path.name, backbone.window_samples))
    taps = [backbone.architecture.taps[t] for t in backbone.taps]
    x = audio_like((BATCH, backbone.window_samples))
    variants = {
        "plain": Bare(model, shape),
        "all taps": lambda: backbone(x),
        "all taps, front end not folded": Bare(build(model, taps, "mean", False, shape)[0].pruned().model, shape),
    }
    aims = {"all taps": aim, "all taps, front end not folded": 1.05}
    if "OpenVINOExecutionProvider" in onnxruntime.get_available_providers():
        other = Backbone.open(path, sample_rate=rate, spinning=True, device=find_device("openvino"))
        variants["all taps, OpenVINO"] = lambda: other(x)
        aims["all taps, OpenVINO"] = 0.33 if name == "BirdNET" else 1.05
    times = race(variants, rounds)
    print(f"{name}: plain {BATCH / times['plain']:.1f} windows/s")
    for what, most in aims.items():
        ratio = times[what] / times["plain"]
        row(f"{name}: {what} ({len(taps)}) / plain forward, time", ratio, f"<= {most:g}", ratio <= most)


def bench_transforms(rounds: int) -> None:
    """A Perch-shaped EfficientNet-B3 whose front end is a DFT operator, or the same as a matrix product."""
    with tempfile.TemporaryDirectory() as folder:
        for transform, aim in (("DFT", 0.2), ("MatMul", 0.9)):
            path = export_b3(Path(folder) / f"{transform}.onnx", transform)
            bench_taps(f"B3 with a {transform}", path, rounds, 32_000, aim)


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
                "decoding": lambda: decode([clip.path for clip in recordings.clips], backbone.sample_rate),
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
    allowed = (times["taps"] * windows / (calls * BATCH) + times["decoding"]) / times["extract"]
    row(f"{name}: extraction / what decoding and forward passes allow, throughput", allowed, ">= 0.9", allowed >= 0.9)


def decode(paths: Sequence[Path], sample_rate: int) -> None:
    """Every file, a thread a core."""
    with ThreadPoolExecutor(cores()) as pool:
        for _ in pool.map(lambda path: read(path, sample_rate), paths):
            pass


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
            items = Items.of(features, folded, folded.classes, settings.unit)
            names = readouts.parse(settings.readout)

            def scored():
                return score_taps(items, names, settings.k)

            times = race({"extract": whole, "read-outs": scored}, rounds)
    ratio, taps = times["read-outs"] / times["extract"], len(backbone.taps)
    note = f"{times['read-outs']:.1f} against {times['extract']:.1f} s, {len(items.targets)} clips, {', '.join(names)}"
    row(f"{name}: all read-outs of {taps} taps / extraction alone, time", ratio, "<= 0.25", ratio <= 0.25, note)


def bench_sweep(name: str, path: Path, audio: Path, options: Sequence[str], rounds: int) -> None:
    """The whole command, its start, pictures and page included, against the forward passes that it makes."""
    alone = Backbone.open(path, spinning=True)
    x = audio_like((BATCH, alone.window_samples))
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "birdprobe", "sweep", str(path), str(audio), "-o", str(run), *options]

        def whole():
            shutil.rmtree(run, ignore_errors=True)  # its features too, which a second run would take over
            subprocess.run(command, check=True, capture_output=True)

        whole()
        windows = read_json(run / "config.json")["audio"]["windows"]
        calls = -(-windows // BATCH)
        times = race({"taps": lambda: [alone(x) for _ in range(calls)], "sweep": whole}, rounds)
    ratio = times["sweep"] / (times["taps"] * windows / (calls * BATCH))
    note = f"{times['sweep']:.1f} s, {windows} windows"
    row(f"{name}: the whole sweep command / its forward passes, time", ratio, "<= 1.5", ratio <= 1.5, note)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for bench.md and bench.csv")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    print(f"medians of {rounds} rounds, batch {BATCH}\n{'':<72} {'ratio':>7}  {'aim':<8}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        audio = write_dataset(Path(folder) / "audio", n_species=20, clips_per_species=20, seed=0)
        models = {"Wren": (WREN, read_recordings(audio, group_regex=GROUP_REGEX))}
        if BIRDNET.exists() and ESC10.exists():
            models["BirdNET"] = (BIRDNET, choose(read_recordings(ESC10), 10, 16, 0))
        for name, (path, recordings) in models.items():
            bench_taps(name, path, 5 * rounds, aim=AIMS[name])  # short calls: more of them
            bench_extract(name, path, recordings, max(3, rounds // 2))
            bench_opening(name, path, rounds)
        if "BirdNET" in models:
            bench_readouts("BirdNET", BIRDNET, read_recordings(ESC10), max(3, rounds // 2))
            bench_sweep("BirdNET", BIRDNET, ESC10, ESC10_OPTIONS, max(3, rounds // 2))
        bench_transforms(rounds)
        bench_one_pass("Wren", WREN, rounds)
        for name, (path, _) in models.items():
            bench_pooling(name, path, rounds)
    bench_knn(rounds)
    save("bench", rounds, arguments.output)


if __name__ == "__main__":
    main()
