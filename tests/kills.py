"""Kills at random moments of every command that resumes: python -m tests.kills --kills 200.

Each command runs once undisturbed. Then, again and again in a new folder, it is killed (SIGKILL, SIGINT; the process
alone or with its children) either at one of the moments when it touches a file or at some moment of its work, and run
again, once or after a second kill. The rerun must succeed, give what the undisturbed run gave, value for value, and
leave no file behind that the undisturbed run did not leave.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from tests.tiny import tiny_dataset
from tests.world import EPOCHS, RATE, make_world, tree

ROOT = Path(__file__).parents[1]
GROUPS = ("--group-regex", "^(G[0-9]+)")
COMMANDS = {
    "extract": ("extract", "{w}/m.onnx", "{w}/clips", "-o", "{o}/s.h5", "--batch-size", "2", *GROUPS, *RATE),
    "extract --jobs 2": ("extract", "{w}/m.onnx", "{w}/many", "-o", "{o}/s.h5", "--jobs", "2", *GROUPS, *RATE),
    "sweep": (
        "sweep",
        "{w}/m.onnx",
        "{w}/clips",
        "-o",
        "{o}/run",
        "--projection",
        "pca",
        "--no-timing",
        *GROUPS,
        *RATE,
    ),
    "predict": ("predict", "{w}/fused.onnx", "{w}/sounds", "-o", "{o}/p.csv", "--workers", "1"),
    "train": ("train", "{w}/s.h5", "-o", "{o}/run", "--head", "linear", "--taps", "-1", *EPOCHS),
    "train over time": ("train", "{w}/s.h5", "-o", "{o}/run", "--head", "protossm", "--taps", "-1", *EPOCHS),
    "finetune": (
        *("finetune", "pebble", "{w}/tones", "-o", "{o}/run", "--epochs", "3", "--folds", "2", "--device", "cpu"),
        *("--batch-size", "4", "--state-every", "0", *GROUPS),
    ),
    "fuse": ("fuse", "{w}/heads", "{w}/m.onnx", "-o", "{o}/f.onnx"),
    "export": ("export", "{w}/member", "-o", "{o}/e.onnx"),
    "store export": ("store", "export", "{w}/s.h5", "-o", "{o}/x.npz"),
    "blend": ("blend", "{w}/a.csv", "{w}/b.csv", "-o", "{o}/b.csv", "--truth", "{w}/truth.csv", "--gaussian", "1"),
}
# A file is touched by: (audit event, index of its path among the arguments)
TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.listdir", "tempfile.mkdtemp")
REFUSING = ("fuse", "export", "store export", "blend")  # quick, not resumed: what is there already needs --overwrite
VOLATILE = (
    "resumed_files",
    "minutes_audio",
    "minutes_audio_per_second",
    "created",
    "versions",
    "command",
    "seconds",
    "date",
    "started",
    "finished",
    "path",
    "sha256",
    "written",
)
VOLATILE_COLUMNS = ("seconds", "ms_per_window", "clips_per_s", "windows_per_s")


@dataclass(frozen=True)
class Kill:
    """at: the number of the file that is touched, or seconds after the first one; group: its children too."""

    signal: int
    at: int | float
    group: bool

    @property
    def text(self) -> str:
        return json.dumps([self.signal, self.at, self.group])


@dataclass(frozen=True)
class Done:
    """How a command ended. session: of all its processes."""

    returncode: int
    session: int
    stderr: str


def child(plan: str, watched: str, report: str, words: list[str]) -> None:
    """The command itself, in this process, which kills itself as planned. watched: the folder of its results."""
    from birdprobe.features.store import store as store_module
    from birdprobe.probe.cli.app import main

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    store_module.COMMIT_ROWS = 4  # several commits, in the process that is killed
    kill = Kill(*json.loads(plan)) if plan else None
    count, began = 0, 0.0

    def strike() -> None:
        assert kill is not None
        (os.killpg if kill.group else os.kill)(os.getpid(), kill.signal)

    def note(event: str, arguments: tuple) -> None:
        nonlocal count, began
        if event not in TOUCHES or not any(isinstance(a, str) and a.startswith(watched) for a in arguments):
            return
        count += 1
        if count == 1:
            began = time.monotonic()
            if kill is not None and isinstance(kill.at, float):
                timer = threading.Timer(kill.at, strike)
                timer.daemon = True
                timer.start()
        if kill is not None and isinstance(kill.at, int) and count == kill.at:
            strike()

    sys.addaudithook(lambda event, arguments: note(event, tuple(map(str, arguments))) if event in TOUCHES else None)
    sys.argv = ["birdprobe", *words]
    if words[0] in ("finetune", "export"):
        from tests import pebble

        pebble.register()
    try:
        main()
    finally:
        if kill is None:
            Path(report).write_text(json.dumps({"touches": count, "seconds": time.monotonic() - began}))


def run(name: str, world: Path, out: Path, kill: Kill | None = None, more: tuple[str, ...] = ()) -> Done:
    out.mkdir(exist_ok=True)
    words = [word.replace("{w}", str(world)).replace("{o}", str(out)) for word in (*COMMANDS[name], *more)]
    plan = kill.text if kill else ""
    code = "import sys; from tests.kills import child; child(*sys.argv[1:4], sys.argv[4:])"
    report = str(out.with_suffix(".report"))
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    words = [sys.executable, "-c", code, plan, str(out), report, *words]
    with tempfile.TemporaryFile("w+") as said:  # no pipe, which children that are left behind would keep open
        process = subprocess.Popen(
            words, cwd=ROOT, env=os.environ | one, stdout=said, stderr=said, start_new_session=True
        )
        process.wait()
        said.seek(0)
        return Done(process.returncode, process.pid, said.read())


def left_running(session: int, patience_s: float = 60.0) -> list[str]:
    """Processes that a killed one has left behind, once they had time to notice."""
    until = time.monotonic() + patience_s
    while (found := _in_session(session)) and time.monotonic() < until:
        time.sleep(0.2)
    return found


def _in_session(session: int) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, its_session = (place / "stat").read_text().rsplit(")", 1)[1].split()[:4]
            if int(its_session) == session and state != "Z":
                found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        except (OSError, ValueError):
            continue
    return found


class Series:
    """One command's undisturbed run, and kills that are compared with it."""

    def __init__(self, name: str, world: Path, folder: Path):
        self.name, self.world, self.folder = name, world, folder
        self.wanted = folder / "same-place"  # results tell their own place: every run has the same one
        done = run(name, world, self.wanted)
        assert done.returncode == 0, f"{name}: {done.stderr}"
        about = json.loads(self.wanted.with_suffix(".report").read_text())
        self.touches, self.seconds = max(1, about["touches"]), max(0.01, about["seconds"])
        self.wanted = self.wanted.rename(folder / "wanted")

    def draw(self, rng: Random) -> Kill:
        kind = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT))
        at = rng.randint(1, self.touches) if rng.random() < 0.6 else rng.uniform(0, self.seconds)
        return Kill(kind, at, rng.random() < 0.5)

    def kill(self, rng: Random) -> tuple[list[str], int]:
        """Kill and run again; (what is wrong afterwards, how many kills struck)."""
        out, struck, plans = self.folder / "same-place", 0, []
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(1 + (rng.random() < 0.25)):
            plan = self.draw(rng)
            done = run(self.name, self.world, out, plan)
            if done.returncode == 0 or (struck and self.refuses(done)):
                break
            struck += 1
            plans.append(plan.text)
            if left := left_running(done.session):
                return [f"{plans}: processes left behind: {left}"], struck
            if done.returncode not in (-plan.signal, 130):
                return [f"{plans}: exit {done.returncode} when killed: {done.stderr[-1500:]}"], struck
        done = self.again(out)
        if self.name in REFUSING and self.refuses(done):
            done = run(self.name, self.world, out, more=("--overwrite",))
        if done.returncode and not self.refuses(done):
            return [f"{plans}: the rerun fails: {done.stderr[-1500:]}"], struck
        return [f"{plans}: {fault}" for fault in differences(self.wanted, out)], struck

    def refuses(self, done: Done) -> bool:
        """Whether a result is there by now, which the command does not replace: the kill came behind its end."""
        return done.returncode == 1 and "--overwrite" in done.stderr

    def again(self, out: Path, patience_s: float = 120.0) -> Done:
        """The same command; once more while children of the killed process still hold its files."""
        until = time.monotonic() + patience_s
        while True:
            done = run(self.name, self.world, out)
            if done.returncode == 0 or "in use by" not in done.stderr or time.monotonic() > until:
                return done
            time.sleep(1.0)


def differences(wanted: Path, found: Path) -> list[str]:
    """Files that are missing, too many or different, one line each."""
    a, b = tree(wanted), tree(found)
    faults = [f"{name} is missing" for name in sorted(a.keys() - b.keys())]
    faults += [f"{name} is left behind" for name in sorted(b.keys() - a.keys())]
    for name in sorted(a.keys() & b.keys()):
        if a[name] != b[name] and not equal(wanted / name, found / name):
            faults.append(f"{name} differs")
    return faults


def equal(a: Path, b: Path) -> bool:
    """Two files with the same values; what tells the time and the way apart."""
    if a.suffix == ".json":
        return settled(json.loads(a.read_text())) == settled(json.loads(b.read_text()))
    if a.suffix == ".csv":
        import pandas as pd

        one, other = (
            pd.read_csv(path, dtype=str).drop(columns=list(VOLATILE_COLUMNS), errors="ignore") for path in (a, b)
        )
        return one.equals(other)
    if a.suffix == ".h5":
        return same_store(a, b)
    if a.suffix == ".npz":
        with np.load(a) as one, np.load(b) as other:
            return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)
    return a.suffix in (".png", ".pdf", ".html", ".md")  # drawn and written from the tables


def same_store(a: Path, b: Path) -> bool:
    from birdprobe.features.store import open_store

    with open_store(a) as one, open_store(b) as other:
        return (
            one.check() == other.check() == []
            and one.key == other.key
            and one.rows().equals(other.rows())
            and one.skipped().equals(other.skipped())
            and all(np.array_equal(one.read(tap), other.read(tap)) for tap in one.taps)
        )


def settled(found: object) -> object:
    """JSON without the fields that differ from run to run."""
    if isinstance(found, dict):
        return {key: settled(value) for key, value in found.items() if not key.endswith(VOLATILE)}
    return [settled(part) for part in found] if isinstance(found, list) else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng, counts, faults = Random(given.seed), Counter(), []
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        world = make_world(Path(place) / "world")
        tiny_dataset(world / "many", clips=32, seconds=0.5)  # three shards
        series = []
        for name in given.command or COMMANDS:
            (folder := Path(place) / name.replace(" ", "-")).mkdir()
            series.append(Series(name, world, folder))
            print(f"{name}: {series[-1].touches} touches in {series[-1].seconds:.1f} s", flush=True)
        turn = 0
        while sum(counts.values()) < given.kills:
            one = series[turn % len(series)]
            turn += 1
            found, struck = one.kill(rng)
            counts[one.name] += struck
            for fault in found:
                faults.append(f"{one.name}: {fault}")
                print(faults[-1], flush=True)
            print(f"{sum(counts.values())} kills: {dict(counts)}, {len(faults)} faults", flush=True)
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
