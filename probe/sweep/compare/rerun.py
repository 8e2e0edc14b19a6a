"""A comparison that is asked for again: what of the finished one is otherwise than asked for."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ....features.files import sha256
from ....features.output_folder import first_difference, read_index
from ....features.spelling import counted
from ...extraction.workers import shards_of


def differing(there: dict, asked: dict, paths: Sequence[Path]) -> str:
    """What a finished comparison has otherwise than asked for, in words: settings or runs; "" if nothing."""
    if told := first_difference(there["settings"], asked):
        return told
    known = [model["content"] for model in there["models"]]
    if len(known) != len(paths):
        return f"{counted(len(known), 'run')} there, {len(paths)} asked for"
    changed = (
        f"of another run than {path}, or of what it was before"
        for path, content in zip(paths, known)
        if content_of(path) != content
    )
    return next(changed, "")


def content_of(path: Path) -> str:
    """A hash over all that a comparison reads of a run or of a store; "" where that is not there."""
    stores = [path / "features.h5" if path.is_dir() else path]
    stores += sorted(shards_of(stores[0]).glob("shard-*.h5"))
    files = [*stores, path / "predictions.csv"] if path.is_dir() else stores
    if not all(file.is_file() for file in files):
        return ""
    about = read_index(path / "config.json") if path.is_dir() else {}
    about.pop("files", None)  # figures may have been added
    return hashlib.sha256(f"{sha256(*files)} {json.dumps(about, sort_keys=True)}".encode()).hexdigest()
