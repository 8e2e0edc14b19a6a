"""What is predicted already: OUT.csv.part, JSON lines that only ever grow.

The first line pins everything that the rows depend on: the predictor's identity, its labels, the rows and windows, the
files and their sizes. Then a line a finished file: its stem, seconds of audio, and the probabilities (float32
[rows, K], base64, so that they come back bit for bit) with a checksum. Every line is on the disk before the next file
counts as done, so a kill costs the files under way and nothing else; half a line at the end is cut off again.

It goes away once everything is predicted. A run that the budget stopped leaves it, and in it the hash of the OUT.csv
that was written: the same command goes on from there and may replace that very file.
"""

import base64
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...features import InputError

FORMAT = "birdprobe predictions 1"


@dataclass(frozen=True)
class Entry:
    """One finished file: float32 [rows, K], seconds of audio."""

    probabilities: np.ndarray
    audio_s: float


class Journal:
    """A context manager. `entries`: stem -> Entry, what was there and what `add` added."""

    def __init__(self, path: Path, header: dict, entries: dict[str, Entry], keep: int):
        self.path, self.entries = path, entries
        self._file = path.open("r+b" if keep else "wb")
        self._file.seek(keep)
        self._file.truncate()
        if not keep:
            self._append({"format": FORMAT} | header)

    @classmethod
    def open(cls, path: Path, header: dict, overwrite: bool = False) -> "Journal":
        """Go on with a journal of the same header, or begin one.

        InputError, naming the field: a journal of another header is there; `overwrite` begins anew instead.
        """
        if path.is_symlink():
            raise InputError(f"{path}: a symbolic link found where unfinished predictions are kept. Move it away.")
        found, entries, _, keep = read(path)
        if found is not None:
            if (difference := differs(found, {"format": FORMAT} | header)) is None:
                return cls(path, header, entries, keep)
            if not overwrite:
                raise InputError(
                    f"{path}: unfinished predictions with {difference}. Repeat the command that began them, give "
                    "another name, or --overwrite to lose them."
                )
        elif path.exists() and not (path.is_file() and _begun(path)):
            raise InputError(f"{path}: something else found where unfinished predictions are kept. Move it away?")
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path, header, {}, 0)

    @property
    def audio_s(self) -> float:
        """Seconds of audio in all entries."""
        return sum(entry.audio_s for entry in self.entries.values())

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_):
        self._file.close()

    def add(self, stem: str, entry: Entry) -> None:
        """On the disk when this returns. From one thread."""
        data = np.ascontiguousarray(entry.probabilities, np.float32).tobytes()
        text = base64.b64encode(data).decode("ascii")
        self._append({"stem": stem, "audio_s": entry.audio_s, "crc": zlib.crc32(data), "values": text})
        self.entries[stem] = entry

    def writes(self, sha256: str) -> None:
        """An OUT.csv of this hash is about to be written from these entries."""
        self._append({"written": sha256})

    def remove(self) -> None:
        self._file.close()
        self.path.unlink()

    def _append(self, record: dict) -> None:
        self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path: Path) -> tuple[dict | None, dict[str, Entry], set[str], int]:
    """(header, entries, what `writes` noted, bytes that are whole); header None where there is none. A damaged line
    ends it."""
    header: dict | None = None
    entries: dict[str, Entry] = {}
    written: set[str] = set()
    keep = 0
    if not path.is_file():
        return header, entries, written, keep
    with path.open("rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n"):
                    break
                record = json.loads(line)
                if header is None:
                    width = len(record["labels"])
                    header = record
                elif "written" in record:
                    written.add(record["written"])
                else:
                    data = base64.b64decode(record["values"], validate=True)
                    if zlib.crc32(data) != record["crc"]:
                        break
                    values = np.frombuffer(data, np.float32).reshape(-1, width)
                    entries[record["stem"]] = Entry(values, record["audio_s"])
            except (ValueError, KeyError, TypeError):  # half a line, or somebody else's
                break
            keep += len(line)
    return header, entries, written, keep


def _begun(path: Path) -> bool:
    """Whether a file without a whole first line is the beginning of one of ours."""
    with path.open("rb") as file:
        head = file.read(32)
    return json.dumps({"format": FORMAT}).encode()[:-1].startswith(head[:20])


def differs(found: dict, wanted: dict) -> str | None:
    """The first field that is not the same, in words."""
    for name in dict.fromkeys([*found, *wanted]):
        a, b = found.get(name), wanted.get(name)
        if a != b:
            if name == "files" and isinstance(a, dict) and isinstance(b, dict):
                odd = sorted(stem for stem in a.keys() | b.keys() if a.get(stem) != b.get(stem))
                return f"other files ({len(odd)} came, went or changed, the first {odd[0]})"
            return f"{name} {_short(a)}, {_short(b)} wanted"
    return None


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:40]}... ({len(value)})"
