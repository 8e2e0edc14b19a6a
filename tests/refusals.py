"""Bad calls of every command, made from those that work: what is refused must lose nothing and leave nothing behind."""

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from tests.fuzz.options import WORKING
from tests.world import run_command, tree

BAD_OPTIONS = {
    "extract": (("--taps", "block_99"), ("--select", "never"), ("--group-regex", "(")),
    "sweep": (("--folds", "30"), ("--k", "0"), ("--k", "17"), ("--readout", "x"), ("--shots", "-1"), ("--score", "x")),
    "compare": (("--readout", "x"), ("--seed", "x")),
    "store": (("--taps", "x"),),
    "train": (("--head", "x"), ("--taps", "block_99"), ("--folds", "99"), ("--fractions", "x"), ("--loss", "x")),
    "fuse": (("--head", "x"), ("--fold", "9")),
    "predict": (("--row", "-1"), ("--tta-shifts", "x"), ("--budget-minutes", "-1"), ("--taxonomy", "{w}/a.csv")),
    "finetune": (("--loss", "x"), ("--fold", "9"), ("--device", "x"), ("--selection", "x"), ("--init", "{w}/a.csv")),
    "export": (("--fold", "9"), ("--init", "{w}/a.csv")),
    "blend": (
        ("--weights", "1"),
        ("--space", "x"),
        ("--power", "nan"),
        ("--prior", "{w}/a.csv"),
        ("--truth", "{w}/nope"),
    ),
    "kernel": (("--row", "-1"), ("--prior", "{w}/a.csv"), ("--taxonomy", "{w}/nope")),
    "paper": (("--run", "{w}/nope"), ("--run", "{w}/m.onnx")),
}
RESUMED = ("extract", "predict", "sweep", "finetune")  # after a full disk they go on from where they were


def inputs(words: tuple[str, ...]) -> list[int]:
    """Places of words that are inputs in the world's folder."""
    out = {i + 1 for i, word in enumerate(words) if word == "-o"}
    return [i for i, word in enumerate(words) if word.startswith("{w}/") and i not in out]


def bad_calls() -> Iterator[tuple[str, tuple[str, ...], str | None]]:
    """(what is wrong, words, the input that is broken first)."""
    for words in WORKING:
        if words[0] == "demo":
            continue
        for i in inputs(words):
            yield f"no {words[i]}", (*words[:i], "{w}/nope", *words[i + 1 :]), None
            yield f"another kind than {words[i]}", (*words[:i], "{w}/broken", *words[i + 1 :]), None
            if words[i] not in ("{w}/sounds", "{w}/clips", "{w}/tones", "{w}/nope"):
                yield f"{words[i]} cut short", words, words[i]
        for option in BAD_OPTIONS.get(words[0], ()):
            yield " ".join(option), (*words, *option), None
        if "-o" in words:
            at = words.index("-o") + 1
            for place in ("{w}/theirs", "{w}/theirs/notes.txt", "{w}/a.csv/x", "{w}/" + "n" * 300):
                yield f"-o {place[:40]}", (*words[:at], place, *words[at + 1 :]), None
                yield f"-o {place[:40]} --overwrite", (*words[:at], place, *words[at + 1 :], "--overwrite"), None


def prepare(world: Path, here: Path) -> Path:
    """A copy of the world with somebody else's folder and a file that is nothing in it."""
    shutil.copytree(world, here, ignore=shutil.ignore_patterns("*.pdf"))
    (here / "theirs").mkdir()
    for name in ("notes.txt", "config.json", "report.html", "index.json"):
        (here / "theirs" / name).write_text('{"theirs": 1}')
    (here / "broken").write_bytes(b"\xff\x00 nothing that anything can read")
    return here


def cut_short(path: Path) -> None:
    """The file, or every file of the folder, without its second half."""
    for one in [path] if path.is_file() else [part for part in path.rglob("*") if part.is_file()]:
        one.write_bytes(one.read_bytes()[: one.stat().st_size // 2])


def lost(before: dict[str, bytes], here: Path) -> list[str]:
    """What a refused command has changed or left, one line each."""
    after = tree(here)
    faults = [f"{name} is lost or changed" for name, content in before.items() if after.get(name) != content]
    return faults + [f"{name} is left behind" for name in sorted(after.keys() - before.keys())]


def attempt(words: tuple[str, ...], here: Path) -> int:
    """The command's exit code."""
    with chdir(here):
        return run_command(*(word.replace("{w}", str(here)) for word in words))


class FullDisk:
    """From the nth time on that a file or folder below `folder` is to be made, there is no space for it."""

    active: "FullDisk | None" = None
    hooked = False

    def __init__(self, folder: Path, n: int):
        self.folder, self.n, self.count = str(folder), n, 0

    def see(self, event: str, arguments: tuple) -> None:
        path = arguments[0] if arguments else None
        if not isinstance(path, str | os.PathLike) or not str(path).startswith(self.folder):
            return
        if event == "open":
            _, mode, flags = arguments
            if not (set(mode or "") & set("wax+") or (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        self.count += 1
        if self.count >= self.n:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))


@contextmanager
def full_disk(folder: Path, n: int) -> Iterator[FullDisk]:
    """See FullDisk; a hook of the interpreter cannot be taken back, so one stays and looks whether it is wanted."""
    if not FullDisk.hooked:
        sys.addaudithook(_hook)
        FullDisk.hooked = True
    FullDisk.active = FullDisk(folder, n)
    try:
        yield FullDisk.active
    finally:
        FullDisk.active = None


def _hook(event: str, arguments: tuple) -> None:
    if FullDisk.active is not None and event in ("open", "os.mkdir"):
        FullDisk.active.see(event, arguments)
