"""`make bench`, the last mile: minutes of soundscapes a second against bare forward passes, and the memory it takes.

    python -m tests.bench_predict [--rounds 5] [--minutes 16] [--files 600]

Both sides run the same fused file. "Bare" is a plain ONNX Runtime session with a thread per core, on windows that are
ready in memory; "bare, a session a core" is the stricter floor: as many one-thread calls at a time as predict() makes.
predict() decodes, cuts, normalises, keeps its journal, writes and checks its CSV. Timed as in tests.bench. The peak is
that of a process of its own. The heads are untrained: what they say costs as much as if they were right.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from birdprobe.features.store import StoreKey
from birdprobe.features.synthetic.competition import Size, write_competition
from birdprobe.features.windows import normalise_windows
from birdprobe.finetune.checkpoint import save as save_weights
from birdprobe.heads.fuse import fuse
from birdprobe.heads.modules import build
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.heads.training import checkpoint
from birdprobe.probe.demo import WREN
from birdprobe.probe.runtime.backbone import Backbone
from birdprobe.probe.runtime.cores import cores
from birdprobe.probe.runtime.sessions import audio_like
from birdprobe.probe.soundscapes import predict
from tests.bench import BIRDNET, decode
from tests.bench_race import BATCH, Bare, race, row, save

CLASSES = tuple(f"species {i}" for i in range(234))
FEW = 20  # files that the memory of many is compared with
CHILD = """
import sys
from pathlib import Path
from birdprobe.heads.soundscapes import open_predictor
from birdprobe.probe.soundscapes import predict
predict(open_predictor(sys.argv[1]), sys.argv[2], sys.argv[3], progress=False)
print(Path("/proc/self/status").read_text())
"""


def fused(folder: Path, model: Path, kind: str, tokens: tuple[str, ...], folds: int) -> Path:
    """A fused file: the model's backbone and untrained heads."""
    backbone = Backbone.open(model, ",".join(tokens))
    noise = normalise_windows(audio_like((8, backbone.window_samples)), backbone.normalise)
    features = {tap: torch.from_numpy(x).flatten(1) for tap, x in backbone(noise).items()}
    widths = {tap: features[tap].shape[1] for tap in tokens}
    key = StoreKey(
        *(backbone.sha256, backbone.taps, backbone.pooling, backbone.sample_rate, backbone.window_s, "all", 0),
        backbone.normalise,
    )
    for fold in range(folds):
        module = build(kind, widths, len(CLASSES))
        module.fit_statistics([features[tap] for tap in tokens])
        said = checkpoint.Description(kind, widths, CLASSES, "sigmoid", key, fold)
        save_weights(folder / "heads" / f"{kind}-fold{fold}", module, said)
    return fuse(folder, model, folder / "fused.onnx").path


def recordings(folder: Path) -> list[Path]:
    """Four made-up one-minute soundscapes, ogg at 32 kHz."""
    size = Size(species=8, focal_per_species=1, labelled=1, unlabelled=1, test=4, sites=2, focal_s=(2, 3))
    return sorted((write_competition(folder / "competition", size) / "test_soundscapes").glob("*.ogg"))


def many(sources: list[Path], n: int, folder: Path) -> Path:
    """`n` names for these files."""
    folder.mkdir()
    for i in range(n):
        os.link(sources[i % len(sources)], folder / f"soundscape_{i:04d}.ogg")
    return folder


def bench_throughput(name: str, path: Path, sounds: Path, rounds: int) -> None:
    predictor = open_predictor(path)
    out = sounds.parent / f"{name}.csv"

    def whole():
        return predict(predictor, sounds, out, overwrite=True, progress=False)

    done = whole()
    calls = -(-done.rows // BATCH)
    plain = Bare(path, (predictor.window_samples,))
    x = normalise_windows(audio_like((BATCH, predictor.window_samples)), predictor.normalise)

    def each_core():
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda _: predictor(x), range(calls)))

    variants = {
        "predict": whole,
        "bare": lambda: [plain() for _ in range(calls)],
        "a session a core": each_core,
        "decoding": lambda: decode(sorted(sounds.iterdir()), predictor.sample_rate),
    }
    times = race(variants, rounds)
    pace = done.rows / times["predict"]
    ratio = pace / (calls * BATCH / times["bare"])
    note = f"{done.minutes_audio / times['predict']:.2f} minutes of audio/s, {pace:.1f} windows/s"
    row(f"{name}: predict / bare forward of the fused file, throughput", ratio, ">= 0.9", ratio >= 0.9, note)
    strict = pace / (calls * BATCH / times["a session a core"])
    row(f"{name}: predict / bare, a session a core", strict)
    forward = min(times["bare"], times["a session a core"]) * done.rows / (calls * BATCH)
    allowed = (forward + times["decoding"]) / times["predict"]
    limit = f"{done.minutes_audio / (forward + times['decoding']):.2f} minutes of audio/s"
    row(f"{name}: predict / what decoding and forward passes allow", allowed, ">= 0.9", allowed >= 0.9, limit)


def bench_memory(name: str, path: Path, sources: list[Path], files: int, folder: Path) -> None:
    peaks = {n: peak(path, many(sources, n, folder / f"{name}-{n}")) for n in (FEW, files)}
    ratio = peaks[files] / peaks[FEW]
    note = f"{peaks[files]:.0f} MB against {peaks[FEW]:.0f} of {FEW}"
    row(f"{name}: peak memory, {files} one-minute files / {FEW}", ratio, "<= 1.1", ratio <= 1.1, note, timed=False)


def peak(path: Path, sounds: Path) -> float:
    """MB, of a process that predicts these sounds and does nothing else. Not by getrusage, whose figure a child
    inherits from its parent."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(sounds), str(sounds.with_suffix(".csv"))],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(re.search(r"VmHWM:\s+(\d+) kB", done.stdout)[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=16, help="one-minute files of the throughput's folder")
    parser.add_argument("--files", type=int, default=600, help="one-minute files of the memory's folder")
    arguments = parser.parse_args()
    print(f"medians of {arguments.rounds} rounds, batch {BATCH}, {arguments.minutes} minutes of ogg at 32 kHz")
    print(f"{'':<72} {'ratio':>7}  {'aim':<8}", flush=True)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = recordings(folder)
        sounds = many(sources, arguments.minutes, folder / "sounds")
        models = {"Wren": fused(folder / "wren", WREN, "attention", ("block_21", "block_24", "block_25"), 5)}
        if BIRDNET.exists():
            models["BirdNET"] = fused(folder / "birdnet", BIRDNET, "linear", ("embedding",), 1)
        for name, path in models.items():
            bench_throughput(name, path, sounds, arguments.rounds)
        bench_memory("Wren", models["Wren"], sources, arguments.files, folder)
    save("predict", arguments.rounds)


if __name__ == "__main__":
    main()
