"""Files of tests.world that are attacked: one is replaced in a copy of the world, and what reads it is run.

A case begins with the file's name and a line end.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.mutations import change_bytes, change_json
from tests.world import run_command, tree


def named(name: str, content: bytes) -> bytes:
    return name.encode() + b"\n" + content


def split(case: bytes) -> tuple[str, bytes]:
    name, _, content = case.partition(b"\n")
    return name.decode("utf-8", "replace"), content


def words_of(line: str, world: Path) -> list[str]:
    return [word.replace("{w}", str(world)) for word in line.split()]


def refused_if(codes: list[int]) -> None:
    """Count the case as refused where a command refused it."""
    from birdprobe.features import InputError

    if any(codes):
        raise InputError("refused")


PREDICT = "predict {w}/m.onnx {w}/sounds --sample-rate 8000 --labels {w}/labels.txt"
HEADS = "predict {w}/heads {w}/sounds --model {w}/m.onnx -o {w}/out.csv"
MEMBER = "predict {w}/member {w}/sounds -o {w}/out.csv"
FINETUNE = "finetune pebble {w}/tones --epochs 1 --folds 2 --device cpu"
MAY_KEEP = ("extract", "finetune", "predict")  # what was done before it failed is gone on with
READERS = {
    "a.csv": (
        "score {w}/a.csv {w}/truth.csv",
        "blend {w}/a.csv {w}/b.csv -o {w}/out.csv --missing skip --taxonomy {w}/taxonomy.csv --gaussian 1 --power 0.4",
        "blend {w}/b.csv -o {w}/out2.csv --sample-submission {w}/a.csv",
        "blend {w}/a.csv {w}/b.csv -o {w}/s.csv --weights search --oof {w}/a.csv,{w}/b.csv --oof-truth {w}/truth.csv",
    ),
    "truth.csv": (
        "score {w}/a.csv {w}/truth.csv",
        "blend {w}/a.csv -o {w}/out.csv --truth {w}/truth.csv --no-call 0.1",
    ),
    "taxonomy.csv": (
        "blend {w}/a.csv -o {w}/out.csv --taxonomy {w}/taxonomy.csv",
        PREDICT + " -o {w}/out2.csv --taxonomy {w}/taxonomy.csv",
        "train {w}/s.h5 -o {w}/out --head linear --taps -1 --epochs 1 --folds 2 --taxonomy {w}/taxonomy.csv",
    ),
    "sample.csv": (PREDICT + " -o {w}/out.csv --sample-submission {w}/sample.csv",),
    "labels.txt": (PREDICT + " -o {w}/out.csv",),
    "manifest.csv": ("extract {w}/m.onnx {w}/manifest.csv -o {w}/out.h5 --sample-rate 8000",),
    "annotations.csv": (
        "extract {w}/m.onnx {w}/annotations.csv -o {w}/out.h5 --sample-rate 8000",
        "blend {w}/a.csv -o {w}/out.csv --prior {w}/annotations.csv",
    ),
    "j.csv.part": (PREDICT + " -o {w}/j.csv",),
    "prior.json": ("kernel {w}/fused.onnx -o {w}/out --prior {w}/prior.json",),
    "run/config.json": ("figures {w}/run depth", "OPEN", "compare {w}/run {w}/run2 -o {w}/out"),
    "run/answer.json": ("OPEN",),
    "run/ranking.csv": ("OPEN", "figures {w}/run depth", "compare {w}/run {w}/run2 -o {w}/out"),
    "run/readouts.csv": ("OPEN", "figures {w}/run readouts"),
    "run/predictions.csv": ("OPEN", "figures {w}/run classes"),
    "run/projection.csv": ("figures {w}/run trajectories",),
    "run/cka.csv": ("figures {w}/run similarity",),
    "heads/config.json": (
        "fuse {w}/heads {w}/m.onnx -o {w}/f.onnx",
        HEADS,
        "figures {w}/heads",
        "train {w}/s.h5 -o {w}/heads --head linear --taps -1 --epochs 1 --folds 2 --overwrite",
    ),
    "heads/scores.csv": ("figures {w}/heads",),
    "heads/tap_weights.csv": ("figures {w}/heads",),
    "heads/heads/linear-fold0.json": (HEADS,),
    "heads/heads/linear-fold0.safetensors": ("HASH", HEADS),
    "member/config.json": (MEMBER, FINETUNE + " -o {w}/member --fold 1"),
    "member/fold0/best.json": (MEMBER, "export {w}/member -o {w}/e.onnx"),
    "member/fold0/best.safetensors": (
        FINETUNE + " -o {w}/out --init {w}/member/fold0/best.safetensors",
        "HASH",
        MEMBER,
    ),
}
TABLES = [name for name in READERS if name.endswith((".csv", ".txt"))]
JSONS = [name for name in READERS if name.endswith((".json", ".part"))]
WEIGHTS = [name for name in READERS if name.endswith(".safetensors")]


def seeds_of(names: list[str]) -> Callable[[Path], list[bytes]]:
    """Files of the world, its own place in them written {w}."""

    def read(world: Path) -> list[bytes]:
        found = [(name, world / name) for name in names]
        return [named(name, path.read_bytes().replace(bytes(world), b"{w}")) for name, path in found if path.exists()]

    return read


def run_file(case: bytes, world: Path, folder: Path) -> None:
    """The file replaced in a copy of the world; what reads it must answer, and lose nothing where it refuses."""
    from tests import pebble

    name, content = split(case)
    if name not in READERS:
        return
    here = folder / "w"
    copy_world(world, here)
    (here / name).write_bytes(content.replace(b"{w}", bytes(here)))
    pebble.register()
    codes = []
    for line in READERS[name]:
        if line == "HASH":
            rehash(here / name)
            continue
        before = tree(here)
        codes.append(opened(here / "run") if line == "OPEN" else run_command(*words_of(line, here)))
        if codes[-1] and line.split()[0] not in MAY_KEEP:
            same(before, tree(here), line)
    refused_if(codes)


def copy_world(world: Path, here: Path) -> None:
    shutil.copytree(world, here, ignore=shutil.ignore_patterns("*.pdf", "small.h5"))


def same(before: dict[str, bytes], after: dict[str, bytes], what: str) -> None:
    """AssertionError where a refused command has changed anything."""
    lost = [name for name, content in before.items() if after.get(name) != content]
    new = after.keys() - before.keys()
    assert not lost, f"refused, and yet lost or changed: {lost} by {what}"
    assert not new, f"refused, and yet left behind: {sorted(new)} by {what}"


def opened(run: Path) -> int:
    """All that a notebook may ask of a finished sweep."""
    from birdprobe.features import InputError
    from birdprobe.probe.sweep.result import open_sweep

    try:
        found = open_sweep(run)
        _ = found.answer, found.sentence, found.config, found.readouts, found._repr_html_(), found.features("embedding")
        return 0
    except InputError:
        return 1


def rehash(weights: Path) -> None:
    """Changed weights whose description says that they are as they were."""
    from birdprobe.features.files import sha256

    text = weights.with_suffix(".json")
    about = json.loads(text.read_text())
    text.write_text(json.dumps(about | {"weights_sha256": sha256(weights)}))


def change_weights(case: bytes, rng: Random, others: list[bytes]) -> bytes:
    """The header of a safetensors file is JSON behind its length."""
    size = int.from_bytes(case[:8], "little")
    if rng.random() < 0.5 or size > len(case):
        return change_bytes(case, rng, others)
    header = change_json(case[8 : 8 + size], rng, others)
    return len(header).to_bytes(8, "little") + header + case[8 + size :]


def finish_world(world: Path) -> None:
    """What only fuzzing needs of a world: a store of a few rows, a journal, a prior, a second run."""
    from birdprobe.probe.soundscapes.journal import Journal
    from tests.features.stores import fill

    fill(world / "small.h5", range(3))
    shutil.copytree(world / "run", world / "run2")
    remove, Journal.remove = Journal.remove, lambda self: self._file.close()  # type: ignore[method-assign]
    try:
        assert run_command(*words_of(PREDICT + " -o {w}/j.csv", world)) == 0
    finally:
        Journal.remove = remove  # type: ignore[method-assign]
    (world / "j.csv").unlink()
    (world / "j.json").unlink()
    assert run_command(*words_of("blend {w}/a.csv -o {w}/p.csv --prior {w}/annotations.csv", world)) == 0
    (world / "p-prior.json").rename(world / "prior.json")
