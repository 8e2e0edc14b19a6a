"""Random changes to HDF5 stores through HDF5 itself: attributes, lengths, types and texts, checksums made to fit."""

import io
import json
import zlib
from random import Random

import h5py
import numpy as np

from tests.fuzz.mutations import LONG_SIZES, SIZES, change_bytes, change_json, change_value

NUMBERS = (*SIZES, *(n for n in LONG_SIZES if n < 1 << 63), -1, -7)


def change_store(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """A few forged parts; changed bytes where the file does not open."""
    memory = io.BytesIO(data)
    try:
        with h5py.File(memory, "r+") as file:
            for _ in range(1 + int(rng.expovariate(0.7))):
                rng.choice(CHANGES)(file, rng)
        return memory.getvalue()
    except Exception:  # whatever HDF5 makes of what was broken before
        return change_bytes(data, rng, others)


def _any(file: h5py.File, rng: Random) -> str:
    names: list[str] = []
    file.visit(names.append)
    return rng.choice(names)


def _drop(file: h5py.File, rng: Random) -> None:
    del file[_any(file, rng)]


def _replace(file: h5py.File, rng: Random) -> None:
    name = _any(file, rng)
    del file[name]
    file[name] = rng.choice(
        (1.5, "text", np.zeros(3), np.zeros((2, 0, 3), np.float16), np.array([b"x"]), np.zeros((4, 9), "i8"))
    )


def _resize(file: h5py.File, rng: Random) -> None:
    file[_any(file, rng)].resize(rng.choice((0, 1, 3, *LONG_SIZES[:3])), axis=0)


def _number(file: h5py.File, rng: Random) -> None:
    data = file[rng.choice(("committed", "commits"))]
    data[tuple(rng.randrange(size) for size in data.shape)] = rng.choice(NUMBERS)


def _key(file: h5py.File, rng: Random) -> None:
    name = rng.choice(("key", "meta"))
    text = change_json(file[name].asstr()[()].encode(), rng, [])
    crc = file[name].attrs["crc"]
    del file[name]
    file.create_dataset(name, data=text.decode("utf-8", "ignore"), dtype=h5py.string_dtype()).attrs["crc"] = (
        zlib.crc32(text) if rng.random() < 0.8 else crc
    )


def _attribute(file: h5py.File, rng: Random) -> None:
    place = rng.choice((file, file["key"], file["commits"], file["rows"]))
    name = rng.choice((*place.attrs, "x"))
    place.attrs[name] = rng.choice((0, -1, 1.5, "text", "birdprobe store 2", np.zeros(3), np.float64("nan")))


def _rows(file: h5py.File, rng: Random) -> None:
    """A changed row, with the checksum of what is now there."""
    name, column = rng.choice((("rows", 1), ("skipped", 2)))
    done = int(file["committed"][0])
    start = int(file["commits"][done - 2, column]) if done > 1 else 0
    stop = int(file["commits"][done - 1, column])
    lines = file[name][start:stop].tobytes().decode().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = (
        json.dumps(change_value(json.loads(lines[at]), rng))
        if rng.random() < 0.9
        else rng.choice(("[", "", "1", "[[]]"))
    )
    text = np.frombuffer("".join(f"{line}\n" for line in lines).encode("ascii", "replace"), np.uint8)
    file[name].resize(start + len(text), axis=0)
    file[name][start:] = text
    commit = file["commits"][done - 1]
    commit[column] = start + len(text)
    commit[2 + column] = zlib.crc32(text.data)
    file["commits"][done - 1] = commit


def _values(file: h5py.File, rng: Random) -> None:
    data = file["taps"][rng.choice(list(file["taps"]))]
    data[rng.randrange(len(data))] = rng.choice((np.nan, np.inf, 0, 65_504))


def _text(file: h5py.File, rng: Random) -> None:
    data = file[rng.choice(("rows", "skipped"))]
    data[rng.randrange(len(data))] = rng.randrange(256)


CHANGES = (_drop, _replace, _resize, _number, _number, _key, _key, _attribute, _rows, _rows, _rows, _values, _text)
