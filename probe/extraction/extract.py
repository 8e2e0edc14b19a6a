"""Recordings in, a store of every tap out: the data's main path.

    decode -> windows -> backbone        each batch of clips by one thread, from end to end (clip_batches)
          -> store                       one writer takes them in the order of the table     (writer)

Memory is bounded: a few batches are under way at a time. An extraction that was stopped, at any moment and by any
means, goes on where it was when it is asked for again.
"""

import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ...features import InputError
from ...features.recordings import Recordings
from ...features.store import FeatureStore, StoreKey
from ...features.windows import Selection
from ..progress import Progress
from ..runtime.backbone import Backbone
from .clip_batches import ClipBatch, Settings
from .workers import extract_shards, shards_of
from .writer import fill, fingerprint, misfit, stale, workers_for


@dataclass(frozen=True)
class Skipped:
    """A clip that has no rows. `clip`: its number in the table of recordings."""

    clip: int
    file: str
    reason: str


@dataclass(frozen=True)
class Extraction:
    """What a store holds: `clips` with rows, their `windows` (rows), the skipped clips; `seconds` this call took."""

    store: Path
    clips: int
    windows: int
    skipped: tuple[Skipped, ...]
    seconds: float


def extract(
    backbone: Backbone,
    recordings: Recordings,
    store_path: Path | str,
    *,
    selection: Selection,
    dtype: str = "float32",
    batch_size: int = 8,
    jobs: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    cluster: str | None = None,
    progress: bool = True,
) -> Extraction:
    """Features of all windows that `selection` picks from `recordings`, in the FeatureStore `store_path`.

    A complete store of the same key and clips is left as it is, an incomplete one is resumed. Another key, other clips
    or audio files of other sizes are an InputError. `overwrite` replaces such a store, and a damaged one, and one whose
    skipped clips can be read by now; features that still hold are kept.
    With `jobs` > 1, or a Dask `cluster` (its address), other processes write shards in `STORE.shards/` and the store is
    a view of them. Clips that cannot be used are skipped and listed; InputError if that is all of them.
    """
    started, path = time.perf_counter(), Path(store_path)
    clips = ClipBatch(0, recordings.clips)
    if not clips.clips:
        raise InputError(f"{recordings.root}: no clips to extract")
    if path.is_dir():
        raise InputError(f"{path}: a folder, wanted the name of a store")
    key = key_of(backbone, selection, seed, dtype)
    meta = meta_of(backbone, recordings)
    settings = Settings(selection, seed, batch_size)
    if path.exists():
        problem = misfit(path, key, clips)
        if problem and not overwrite:
            raise InputError(problem)
        if problem or (overwrite and stale(path, backbone.sample_rate, clips)):
            _remove(path)
    with Progress(len(clips.clips), progress) as bar:
        if not path.exists() and (jobs > 1 or cluster or shards_of(path).exists()):
            extract_shards(backbone, clips, path, key, meta, settings, jobs, cluster, overwrite, bar)
        else:
            fill(path, key, backbone, clips, meta, settings, workers_for(backbone), bar)
    done = _summary(path, time.perf_counter() - started)
    if not done.windows:
        _remove(path)
        first = done.skipped[0]
        raise InputError(f"none of the {len(done.skipped)} clips can be used. The first, {first.file}: {first.reason}")
    return done


def key_of(backbone: Backbone, selection: Selection, seed: int, dtype: str) -> StoreKey:
    """The key of an extraction. The seed is part of it only where it chooses anything."""
    return StoreKey(
        model_sha256=backbone.sha256,
        taps=tuple(backbone.taps),
        pooling=backbone.pooling,
        sample_rate=backbone.sample_rate,
        window_s=backbone.window_s,
        selection=str(selection),
        seed=seed if selection.rule == "random" else 0,
        normalise=backbone.normalise,
        dtype=dtype,
    )


def meta_of(backbone: Backbone, recordings: Recordings) -> dict:
    """Where the features come from, for people; and which clips they are of, for `misfit`."""
    return {
        "model": str(backbone.path),
        "preset": backbone.preset,
        "architecture": backbone.architecture.to_json(),
        "audio": str(recordings.root),
        "grouping": recordings.grouping,
        "warnings": list(recordings.warnings),
        "clips": len(recordings.clips),
        "clips_sha256": fingerprint(ClipBatch(0, recordings.clips)),
        "versions": {"python": platform.python_version(), "onnxruntime": version("onnxruntime")},
    }


def _remove(path: Path):
    """The store and its shards; nothing else that may lie in their folder."""
    path.unlink()
    for shard in shards_of(path).glob("shard-*.h5"):
        shard.unlink()
    with suppress(OSError):  # not there, or somebody else's files in it
        shards_of(path).rmdir()


def _summary(path: Path, seconds: float) -> Extraction:
    with FeatureStore.open(path) as store:
        skipped = tuple(Skipped(*record) for record in store.skipped().itertuples(index=False, name=None))
        return Extraction(path, len(store.done_clips()), len(store), skipped, seconds)
