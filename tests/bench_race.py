"""How the benchmarks time, tell and keep what they measure.

Variants of one comparison take turns in an order shuffled anew each round, with a pause between calls, because ONNX
Runtime's threads go on spinning after one; figures are medians over the rounds. The first variant stands in twice as a
control: how far that ratio is from 1 is how far to trust the others. Leave the machine alone meanwhile. A miss is
printed as a miss.
"""

import contextlib
import platform
import re
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from birdprobe.analysis.tables import Table
from birdprobe.features.files import write_text
from birdprobe.probe.runtime.cores import cores
from birdprobe.probe.runtime.sessions import audio_like, data_input, open_session, run_chunks, together

BATCH = 8
PAUSE_S = 0.15
CONTROL = "the first once more"
RESULTS = Path("runs/bench")
VERSIONS = ("onnxruntime", "onnx", "numpy", "scikit-learn", "torch")


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


def row(what: str, figure: float, aim: str = "", met: bool | None = None, note: str = "", timed: bool = True) -> None:
    """Print a figure of the last race (of none: not `timed`), and keep it for `save`."""
    verdict = "" if met is None else ("met" if met else "MISS")
    spread, control = (LAST.spread, LAST.control) if timed else (np.nan, np.nan)
    told = {"what": what, "figure": round(figure, 3), "aim": aim, "verdict": verdict}
    medians = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in LAST.items() if timed)
    ROWS.append(told | {"spread": round(spread, 3), "control": round(control, 3), "medians": medians, "note": note})
    print(f"{what:<72} {figure:>7.2f}  {aim:<8} {verdict:<5} +-{spread:.0%}, control {control:.2f}  {note}", flush=True)


def save(
    name: str, rounds: int, folder: Path = RESULTS, rows: list[dict] = ROWS, about: str = f", batch {BATCH}"
) -> None:
    """`name`.csv and `name`.md: every row with the machine and the versions it was measured on."""
    table = pd.DataFrame(rows, dtype=object).fillna("")
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False)
    found = {}
    for package in VERSIONS:
        with contextlib.suppress(ImportError):
            found[package] = version(package)
    versions = ", ".join(f"{package} {found[package]}" for package in found)
    lines = (
        f"{processor()}, {cores()} cores, {platform.system()}, Python {platform.python_version()}, {versions}.",
        f"Medians of {rounds} rounds or more{about}; spread: half the interquartile range over the median;",
        "control: the same thing twice in the same rounds, 1 where the machine was quiet.",
        "",
        Table.from_frame(table.astype(str)).to_markdown(),
    )
    write_text(folder / f"{name}.md", "\n".join(lines) + "\n")


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
