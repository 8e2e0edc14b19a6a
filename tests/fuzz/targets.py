"""What is attacked: how a case is made, and what is done with it. Anything but success and InputError is a find.

A case is bytes. Where a case stands for a file of tests.world it begins with that file's name and a line end.
"""

import contextlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from tests.fuzz.files import (
    JSONS,
    TABLES,
    WEIGHTS,
    change_weights,
    copy_world,
    named,
    refused_if,
    run_file,
    same,
    seeds_of,
    split,
)
from tests.fuzz.models import change_model
from tests.fuzz.mutations import change_bytes, change_json, change_table
from tests.fuzz.stores import change_store
from tests.world import RATE, run_command, tree

CORPUS = Path(__file__).parent / "corpus"
LIMIT = 1 << 20  # bytes of a case


@dataclass(frozen=True)
class Target:
    """seeds: of the world's folder. change: (case, rng, other cases) -> case. run: (case, world, empty folder)."""

    seeds: Callable[[Path], list[bytes]]
    change: Callable[[bytes, Random, list[bytes]], bytes]
    run: Callable[[bytes, Path, Path], None]


def inside(*changes: Callable) -> Callable[[bytes, Random, list[bytes]], bytes]:
    """One of the changes, of the content behind the name."""

    def change(case: bytes, rng: Random, others: list[bytes]) -> bytes:
        name, content = split(case)
        return named(name, rng.choice(changes)(content, rng, [split(other)[1] for other in others]))

    return change


def either(*changes: Callable) -> Callable[[bytes, Random, list[bytes]], bytes]:
    return lambda case, rng, others: rng.choice(changes)(case, rng, others)


# ---- models


def model_seeds(world: Path) -> list[bytes]:
    from tests.fuzz.random_graphs import random_model
    from tests.waveform_models import convolutional, framed, transformer

    models = [convolutional()[0], convolutional(batch=1, nhwc=True)[0], transformer()[0], framed()[0], random_model(3)]
    return [(world / "m.onnx").read_bytes(), *(model.SerializeToString() for model in models)]


def run_model(case: bytes, world: Path, folder: Path) -> None:
    from birdprobe.features import InputError
    from birdprobe.probe.api import find_blocks, open_backbone

    path = folder / "m.onnx"
    path.write_bytes(case)
    (folder / "w.data").write_bytes(bytes(4096))
    failed = None
    for call in (find_blocks, lambda path: open_backbone(path, sample_rate=8000, threads=1)):
        try:
            call(path)
        except InputError as error:
            failed = error
    if failed:
        raise failed


def run_graph(case: bytes, world: Path, folder: Path) -> None:
    from tests.fuzz.graph_checks import check

    check(json.loads(case), folder)


# ---- stores


def store_seeds(world: Path) -> list[bytes]:
    return [(world / name).read_bytes() for name in ("small.h5", "s.h5")]


def run_store(case: bytes, world: Path, folder: Path) -> None:
    path = folder / "s.h5"
    path.write_bytes(case)
    extract = ("extract", world / "m.onnx", world / "clips", "-o", path, "--group-regex", "^(G[0-9]+)", *RATE)
    codes = [run_command("store", "info", path), run_command("store", "check", path)]
    codes.append(run_command("store", "export", path, "-o", folder / "x.csv"))
    codes.append(run_command("store", "export", path, "-o", folder / "y.npz"))
    if zlib.crc32(case) % 4:  # the rest takes ten times as long
        return refused_if(codes)
    codes.append(run_command(*extract))
    assert run_command(*extract, "--overwrite") == 0, "no way back with --overwrite"
    assert run_command("store", "check", path) == 0, "not sound after --overwrite"
    refused_if(codes)


# ---- audio


def audio_seeds(world: Path) -> list[bytes]:
    rng = np.random.default_rng(0)
    found = []
    for kind, options in (
        *((suffix, {}) for suffix in ("wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf")),
        *(("wav", {"subtype": kind}) for kind in ("PCM_24", "FLOAT", "IMA_ADPCM", "GSM610")),
        ("ogg", {"subtype": "OPUS"}),
    ):
        memory = io.BytesIO()
        channels = 1 if "ADPCM" in str(options) or "GSM" in str(options) else 2
        soundfile.write(memory, rng.normal(0, 0.1, (2400, channels)), 8000, format=kind, **options)
        found.append(named(f"a.{kind}", memory.getvalue()))
    return [*found, named("a.wav", split(found[0])[1] * 2), named("a.ogg", split(found[2])[1] * 2)]


def run_audio(case: bytes, world: Path, folder: Path) -> None:
    from birdprobe.features import InputError, audio

    name, content = split(case)
    path = folder / ("a" + Path(name).suffix[:8].replace("\x00", ""))
    path.write_bytes(content)
    audio.info(path)
    failed = None
    for piece in ({}, {"start_s": 0.1, "end_s": 0.2}):
        try:
            samples = audio.read(path, 32000, **piece)
            assert samples.dtype == np.float32 and samples.ndim == 1 and np.isfinite(samples).all()
        except InputError as error:
            failed = error
    if failed:
        raise failed


# ---- options


def run_line(case: bytes, world: Path, folder: Path) -> None:
    """One command line on a copy of the world: an exit of 0, 1 or 2, and unless it is 0 nothing has changed."""
    from tests import pebble

    pebble.register()
    here = folder / "w"
    copy_world(world, here)
    before = tree(here)
    words = [word.replace("{w}", str(here)) for word in json.loads(case)]
    with contextlib.chdir(here):  # what is written to a relative path is seen, too
        code = run_command(*words)
    assert code in (0, 1, 2), code
    if code:
        same(before, tree(here), " ".join(words))
    refused_if([code])


def new_line(case: bytes, rng: Random, others: list[bytes]) -> bytes:
    from tests.fuzz.options import line

    return line(rng)


TARGETS = {
    "onnx": Target(model_seeds, either(change_bytes, change_model, change_model), run_model),
    "surgery": Target(lambda world: [b"0"], lambda case, rng, others: str(rng.randrange(1 << 31)).encode(), run_graph),
    "store": Target(store_seeds, either(change_bytes, change_store, change_store), run_store),
    "audio": Target(audio_seeds, inside(change_bytes), run_audio),
    "csv": Target(seeds_of(TABLES), inside(change_bytes, change_table, change_table), run_file),
    "json": Target(seeds_of(JSONS), inside(change_bytes, change_json, change_json, change_json), run_file),
    "safetensors": Target(seeds_of(WEIGHTS), inside(change_weights), run_file),
    "options": Target(lambda world: [], new_line, run_line),
}


def seeds(name: str, world: Path) -> list[bytes]:
    """The target's seeds, and the committed cases: those that a fault was found with."""
    kept = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    return [*TARGETS[name].seeds(world), *kept]
