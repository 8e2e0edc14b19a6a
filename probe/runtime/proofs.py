"""What was proven about a file is kept in the user's cache folder, so that it is proven once and not at each opening.

A record is small: the blocks that were found, which form of the graph runs, and how far it was from the untouched file.
Its name is a hash over all that could change it: the file's bytes, taps, pooling, window, folding, this program's own
source and the versions of what it stands on. A record that is missing, damaged or cannot be written costs time only.
`BIRDPROBE_CACHE` names another folder; `off` keeps nothing.
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...features import InputError, files
from ...features.user_cache import caching, user_cache

ROOMS = ("graph", "blocks", "surgery", "runtime", "models")  # of probe/: what a proof was made by
PACKAGES = ("onnx", "onnxruntime", "numpy")


@cache
def program() -> str:
    """A hash over the source that finds, opens and proves, and the versions below it."""
    digest = hashlib.sha256(f"{platform.machine()} {platform.processor()}".encode())
    for room in ROOMS:
        for path in sorted((Path(__file__).parent.parent / room).rglob("*.py")):
            digest.update(path.read_bytes())
    for name in PACKAGES:
        with suppress(ImportError):  # onnxruntime-gpu has another name; its version is asked for at runtime anyway
            digest.update(f"{name} {version(name)}".encode())
    return digest.hexdigest()


def place(**about: Any) -> Path | None:
    """The file of a record."""
    if not caching():
        return None
    text = json.dumps([program(), about], sort_keys=True, default=str)
    return user_cache() / "proofs" / f"{hashlib.sha256(text.encode()).hexdigest()}.json"


def read(path: Path | None) -> dict | None:
    """A record, or None."""
    if path is None:
        return None
    try:
        return files.read_json(path)
    except InputError:
        return None


def write(path: Path | None, record: Mapping[str, Any]) -> None:
    """Keep a record, if that can be done."""
    if path is not None:
        with suppress(OSError, InputError):
            files.write_json(path, record, indent=None)
