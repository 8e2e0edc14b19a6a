"""Random changes to bytes, tables and JSON: what is left to chance, and what chance would take too long to find."""

import json
import re
from random import Random

BYTES = (0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x22, 0x2C, 0x3B, 0xC3)
SIZES = (0, 1, 2, 127, 255, 32_768, 65_535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
LONG_SIZES = (1 << 32, 1 << 40, (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
WORDS = (
    *("", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "0", "1", "1e308", "9" * 400, "0x10", "007", "None", "true"),
    *(
        "=1+1",
        "@x",
        "a;b",
        ";",
        "['a' 'b']",
        '"',
        "\\",
        "\n",
        "\r",
        "é",
        "e\u0301",
        "\u202e",
        "\ufeff",
        "\x00",
        "..",
        "/",
    ),
    *("../../x", "a" * 300, "block_00", "embedding", "species 0", "00:00:05", "r0_20260101_060000.wav", "row_id"),
)
VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        1 << 70,
        1.5,
        float("nan"),
        float("inf"),
        -float("inf"),
        1e308,
        "",
        "x",
        "é",
        "\ud800",
    ),
    *("../..", [], [[]], [None], ["x", "x"], {}, {"x": 1}, [1, 2, 3], "0" * 300, "block_00", "embedding"),
)
TOKEN = re.compile(r"[^,\n\r]+")


def change_bytes(data: bytes, rng: Random, others: list[bytes], times: int | None = None) -> bytes:
    """A few random changes; `others` are cut and pasted from."""
    found = bytearray(data)
    for _ in range(times or 1 + int(rng.expovariate(0.7))):
        at = rng.randrange(len(found) + 1)
        kind = rng.randrange(9)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1 and found:
            found[at % len(found)] = rng.choice(BYTES)
        elif kind == 2:
            del found[at:]
        elif kind == 3:
            del found[at : at + rng.choice((1, 2, 4, 8, 64))]
        elif kind == 4:
            found[at:at] = found[at : at + rng.choice((1, 4, 16, 256))] * rng.choice((1, 2, 40))
        elif kind == 5:
            found[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
        elif kind == 6:
            size = rng.choice((2, 4, 8))
            value = rng.choice((*SIZES, *LONG_SIZES)) % (1 << 8 * size)
            found[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 7 and others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            found[at : at + rng.choice((0, 16, 256))] = other[start : start + rng.choice((4, 16, 256, 4096))]
        elif kind == 8 and found:
            found[at % len(found)] = rng.randrange(256)
    return bytes(found[: 1 << 20])


def change_table(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """A cell, a column or a line of a CSV changed."""
    text = data.decode("utf-8", "surrogateescape")
    for _ in range(1 + int(rng.expovariate(0.7))):
        lines, kind = text.split("\n"), rng.randrange(6)
        at = rng.randrange(len(lines))
        cells = list(TOKEN.finditer(text))
        if kind <= 2 and cells:
            cell = rng.choice(cells)
            text = text[: cell.start()] + rng.choice(WORDS) + text[cell.end() :]
            continue
        if kind == 3:
            lines.insert(at, rng.choice(lines))
        elif kind == 4:
            del lines[at]
        else:
            place = rng.randrange(8)
            lines = [",".join([*parts[:place], *parts[place + 1 :]]) for parts in (line.split(",") for line in lines)]
        text = "\n".join(lines)
    return text.encode("utf-8", "surrogateescape")


def change_json(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """One value of a JSON document, at any depth, replaced, removed or nested."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return change_bytes(data, rng, others)
    for _ in range(1 + int(rng.expovariate(1.2))):
        found = change_value(found, rng)
    text = json.dumps(found, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.02:
        text = "[" * 100_000 + text
    return text.encode("utf-8", "surrogatepass")


def change_value(found: object, rng: Random) -> object:
    """`found` with one part of it changed in place, or what takes its place."""
    parts: list[tuple[dict | list, object]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict | list):
            for key in list(node) if isinstance(node, dict) else range(len(node)):
                parts.append((node, key))
                walk(node[key])  # type: ignore[call-overload]

    walk(found)
    if not parts or rng.random() < 0.02:
        return rng.choice(VALUES)
    node, key = rng.choice(parts)
    kind = rng.randrange(8)
    if kind == 0:
        del node[key]  # type: ignore[arg-type]
    elif kind == 1 and isinstance(node, list):
        node.append(node[key])  # type: ignore[index]
    elif kind == 2:
        node[key] = [node[key]]  # type: ignore[index]
    elif kind == 3:
        node[key] = str(node[key])  # type: ignore[index]
    elif kind == 4 and isinstance(node, dict):
        node[rng.choice(("x", "", "format", "files"))] = rng.choice(VALUES)
    else:
        node[key] = rng.choice(VALUES)  # type: ignore[index]
    return found
