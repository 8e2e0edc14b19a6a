"""Seconds an epoch of the heads, and folds one after another against stacked, beside the arithmetic floor.

python -m tests.bench_heads [rows]
"""

import sys
import time

import numpy as np
import torch

from birdprobe.heads.modules import build, parameters_count
from birdprobe.heads.training.folds import Batches, Split
from birdprobe.heads.training.loop import Stack, train_epoch
from tests.bench_race import save

REPEATS = 15
WIDTHS, CLASSES, FOLDS = {"block_21": 232, "block_24": 384, "block_25": 384}, 234, 5
# Multiply-accumulates of one row, forward: what the head computes, not what its parameters would suggest.
MACS = {
    "attention": 1000 * 256 + 4 * 256 * 4 * 2 + 256 * 256 * 2 + 2 * 256 * 512 + 256 * CLASSES,
    "scalarmix": 1000 * 256 + 256 * CLASSES,
    "concat": 1000 * CLASSES,
    "linear": 384 * CLASSES,
}


def widths_of(kind: str) -> dict[str, int]:
    """All three taps; the linear head is of one."""
    return {"block_25": WIDTHS["block_25"]} if kind == "linear" else WIDTHS


def matrix_rate(seconds: float = 1.0) -> float:
    """Multiply-accumulates a second of float32 [1024, 1024] products on this machine, the best of many."""
    a, b, best, until = torch.randn(1024, 1024), torch.randn(1024, 1024), np.inf, time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return 1024**3 / best


def milliseconds_a_step(kind: str, rows: int, batch: int, folds: int) -> tuple[float, float]:
    """Median over training steps (batch drawn, mixed up, forward, backward, AdamW) of `folds` stacked models, and half
    the interquartile range over it."""
    generator = torch.Generator().manual_seed(0)
    xs = [torch.randn(rows, width, generator=generator) for width in widths_of(kind).values()]
    targets = (torch.rand(rows, CLASSES, generator=generator) < 0.01).float()
    stack = Stack([build(kind, widths_of(kind), CLASSES) for _ in range(folds)])
    split = Split((np.arange(rows),), np.arange(0))
    batches = [Batches(split, batch, (1.0,), 0.2, (k,)) for k in range(folds)]
    optimiser = torch.optim.AdamW(stack.parameters(), lr=1e-3)
    times = []
    for _ in range(REPEATS + 3):
        started = time.perf_counter()
        train_epoch(stack, xs, targets, batches, 1, optimiser, "bce")
        times.append(1000 * (time.perf_counter() - started))
    low, median, high = np.percentile(times[3:], (25, 50, 75))
    return float(median), float((high - low) / 2 / median)


def main(rows: int):
    rate = matrix_rate()
    print(f"{rows} rows, {torch.get_num_threads()} threads, float32 products {2 * rate / 1e9:.0f} GFLOP/s")
    table = []
    totals = {batch: np.zeros(3) for batch in (64, 256, 1024)}  # floor, in turn, stacked: all heads x folds
    for kind, macs in MACS.items():
        for batch in totals:
            steps = rows / batch / 1000
            (one, spread), (again, _), (stacked, _) = (
                milliseconds_a_step(kind, rows, batch, folds) for folds in (1, 1, FOLDS)
            )
            floor = 3 * macs * rows / rate  # forward, and twice that backward
            count = parameters_count(build(kind, widths_of(kind), CLASSES))
            told = {"head": kind, "parameters": count, "batch": batch, "floor s": floor, "one model s": steps * one}
            told |= {"spread": spread, "control": again / one, "5 folds in turn s": FOLDS * steps * one}
            table.append(told | {"stacked s": steps * stacked, "gain": FOLDS * one / stacked})
            print(
                ", ".join(f"{name} {value:.3g}" if name != "head" else kind for name, value in told.items()), flush=True
            )
            totals[batch] += FOLDS * floor, FOLDS * steps * one, steps * stacked
    for batch, (floor, turn, stacked) in totals.items():
        told = {"head": f"{len(MACS)} heads x {FOLDS} folds", "batch": batch, "floor s": floor}
        table.append(told | {"5 folds in turn s": turn, "stacked s": stacked, "gain": turn / stacked})
    save("heads", REPEATS, rows=[{name: _short(value) for name, value in told.items()} for told in table], about="")


def _short(value: object) -> object:
    return round(value, 2) if isinstance(value, float) else value


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
