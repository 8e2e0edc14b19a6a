"""Extraction by several processes, here or on a Dask cluster: shards of the clips, read as one store at the end."""

import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...features import InputError
from ...features.progress import Progress
from ...features.store import FeatureStore, StoreKey, join
from ..runtime.backbone import Backbone
from ..runtime.cores import cores
from .clip_batches import ClipBatch, Settings
from .writer import fill, fingerprint, misfit, quick_look

SHARD_CLIPS, MOST_SHARDS = 32, 64  # so that the shards do not depend on --jobs, and any number of jobs resumes them


Opening = tuple[tuple[str, Any], ...]  # arguments of `Backbone.open`: sessions cannot travel


def opening_of(backbone: Backbone) -> Opening:
    """How another process opens the same backbone."""
    same = ("pooling", "sample_rate", "window_s", "normalise", "frontend", "inputs", "device", "without")
    how = [(name, getattr(backbone, name)) for name in same]
    return (*how, ("path", backbone.path.resolve()), ("taps", ",".join(backbone.taps)))


@lru_cache(maxsize=1)
def _open(how: Opening) -> Backbone:
    return Backbone.open(**dict(how), threads=1)


def shards_of(path: Path) -> Path:
    """The folder of the shards of the store `path`."""
    return path.with_name(path.name + ".shards")


def extract_shards(
    backbone: Backbone,
    clips: ClipBatch,
    path: Path,
    key: StoreKey,
    meta: dict,
    settings: Settings,
    jobs: int,
    cluster: str | None,
    overwrite: bool,
    bar: Progress,
) -> tuple[str, ...]:
    """Fill the shards of `path` in `jobs` processes or on the cluster at the address `cluster`, and join them there.

    On a cluster the model, the audio and the store have to lie under the same paths everywhere. A shard that fits is
    resumed; one of another key is an InputError, or replaced with `overwrite`. Returns the warnings about the files.
    """
    from joblib import delayed  # slow to import, and one process needs none of it

    number = min(MOST_SHARDS, max(1, len(clips.clips) // SHARD_CLIPS))
    ends = np.linspace(0, len(clips.clips), number + 1).round().astype(int).tolist()
    there = tuple(replace(clip, path=clip.path.resolve()) for clip in clips.clips)  # whatever their working folder
    parts = [ClipBatch(a, there[a:b]) for a, b in pairwise(ends)]
    paths = [shards_of(path).resolve() / f"shard-{i:03d}.h5" for i in range(number)]
    workers = 1 if cluster else max(1, cores() // jobs)
    parent = None if cluster else os.getpid()
    with _processes(min(jobs, number), cluster) as parallel:
        tasks = [
            delayed(_shard)(opening_of(backbone), part, place, key, meta, settings, workers, overwrite, parent)
            for part, place in zip(parts, paths)
        ]
        warnings: set[str] = set()
        for n_clips, n_windows, lines in parallel(tasks):
            bar.advance(n_clips, f"{n_windows} windows")
            warnings |= set(lines)
    join(paths, path.resolve(), meta=meta)
    return tuple(sorted(warnings))


def _shard(
    how: Opening,
    clips: ClipBatch,
    path: Path,
    key: StoreKey,
    meta: dict,
    settings: Settings,
    workers: int,
    overwrite: bool,
    parent: int | None,
) -> tuple[int, int, tuple[str, ...]]:
    """Runs in another process: fill one shard; numbers of clips and windows, and warnings about the files.

    parent: the process whose death ends this one; None on a cluster.
    """
    if parent not in (None, os.getpid()):
        _leave_with(parent)
    if path.exists() and (problem := misfit(path, key, clips)):
        if not overwrite:
            raise InputError(problem)
        path.unlink()
    if path.exists():
        with FeatureStore.open(path) as store:
            if store.complete:
                return len(clips.clips), len(store), ()
    backbone = _open(how)
    if backbone.sha256 != key.model_sha256:
        raise InputError(f"{backbone.path}: another file here than where the extraction began. Is the path shared?")
    meta = {**meta, "clips": len(clips.clips), "clips_sha256": fingerprint(clips), "files_look": quick_look(clips)}
    silent = Progress("", 1, wanted=False)
    return len(clips.clips), *fill(path, key, backbone, clips, meta, settings, workers, silent)


@lru_cache(maxsize=1)
def _leave_with(parent: int) -> None:
    """End this process soon after its parent is killed: joblib's would wait for five minutes, and keep its pipes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _processes(jobs: int, cluster: str | None):
    """A joblib Parallel that yields results as they come."""
    from joblib import Parallel, parallel_config

    if not cluster:
        yield Parallel(n_jobs=jobs, return_as="generator_unordered")
        return
    try:
        from dask.distributed import Client
    except ImportError:
        raise InputError("--cluster: dask is not installed. pip install 'birdprobe[cluster]'") from None
    try:
        client = Client(cluster, timeout="20s")
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster {cluster}: no Dask scheduler answers there ({error}).") from None
    with client, parallel_config(backend="dask"):
        yield Parallel(n_jobs=-1)
