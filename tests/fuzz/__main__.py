"""Fuzzing of everything that reads a user's file: python -m tests.fuzz --minutes 10 [--target NAME].

Cases are random changes of seeds; those that reach new lines of our code become seeds. The only exceptions that are
allowed are InputError and usage errors, within 20 s of processor time and 4 GB. Finds are written to --output, one
file a fault, the case and how it failed; `--replay FILE` runs one again. Exit 1 where there are any.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha1
from pathlib import Path
from random import Random

from tests.fuzz.pool import ROOT, Worker
from tests.fuzz.targets import LIMIT, TARGETS, seeds

LARGEST = 300  # cases kept as seeds of a target


def fuzz(names: list[str], minutes: float, output: Path, seed: int, world: Path) -> dict:
    """Equal processor time for all targets until the time is over; how many cases of each kind, and the finds."""
    rng, worker = Random(seed), Worker(world)
    corpus = {name: seeds(name, world) for name in names}
    spent = dict.fromkeys(names, 0.0)
    counts: Counter[str] = Counter()
    finds: dict[str, dict] = {}
    todo = [(name, case) for name in names for case in corpus[name]]  # the seeds as they are come first
    until, told = time.monotonic() + 60 * minutes, 0.0
    try:
        while time.monotonic() < until:
            if todo:
                name, case = todo.pop()
            else:
                name = min(spent, key=spent.__getitem__)
                others = corpus[name]
                case = TARGETS[name].change(rng.choice(others) if others else b"", rng, others)[:LIMIT]
            began = time.monotonic()
            found = worker.run(name, case)
            spent[name] += time.monotonic() - began
            counts[f"{name} {found['end']}"] += 1
            if found["new"] and found["end"] != "find" and len(corpus[name]) < LARGEST:
                corpus[name].append(case)
            if found["end"] == "find":
                note(output, name, case, found, finds)
            if time.monotonic() - told > 60:
                told = time.monotonic()
                summary(output, counts, spent, finds, corpus)
    finally:
        worker.stop()
        summary(output, counts, spent, finds, corpus)
    return finds


def note(output: Path, name: str, case: bytes, found: dict, finds: dict[str, dict]) -> None:
    """The first case of each fault is kept."""
    key = f"{name}: {found['signature']}"
    if key in finds:
        finds[key]["times"] += 1
        return
    stem = f"{name}-{sha1(key.encode()).hexdigest()[:10]}"
    finds[key] = {"times": 1, "case": stem}
    (output / stem).write_bytes(case)
    (output / f"{stem}.txt").write_text(f"{key}\n\n{found.get('trace', '')}", "utf-8", "replace")
    print(f"find {stem}: {key}", flush=True)


def summary(output: Path, counts: Counter, spent: dict, finds: dict, corpus: dict) -> None:
    rows = {
        name: {end: counts[f"{name} {end}"] for end in ("passed", "refused", "find")}
        | {"minutes": round(spent[name] / 60, 2), "seeds": len(corpus[name])}
        for name in spent
    }
    (output / "summary.json").write_text(json.dumps({"targets": rows, "finds": finds}, indent=2))


def make_world(folder: Path) -> Path:
    """The inputs, in a process of their own."""
    world = folder / "world"
    code = "import sys; from pathlib import Path; from tests.fuzz.files import finish_world; "
    code += "from tests.world import make_world; finish_world(make_world(Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", code, str(world)], cwd=ROOT, check=True, capture_output=True)
    return world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--output", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--seed", type=int, default=None, help="another one every time otherwise")
    parser.add_argument("--replay", type=Path, nargs="+", help="cases to run again, named TARGET-...")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        world = make_world(Path(place))
        if given.replay:
            worker = Worker(world)
            ends = [worker.run(path.name.split("-")[0], path.read_bytes()) for path in given.replay]
            worker.stop()
            for path, found in zip(given.replay, ends):
                print(f"{path.name}: {found['end']} {found.get('signature', '')}\n{found.get('trace', '')}")
            return int(any(found["end"] == "find" for found in ends))
        given.output.mkdir(parents=True, exist_ok=True)
        seed = time.time_ns() % (1 << 32) if given.seed is None else given.seed
        print(f"seed {seed}", flush=True)
        finds = fuzz(given.target or list(TARGETS), given.minutes, given.output, seed, world)
    print((given.output / "summary.json").read_text())
    return int(bool(finds))


if __name__ == "__main__":
    sys.exit(main())
