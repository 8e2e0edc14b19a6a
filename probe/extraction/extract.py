"""Recordings in, a store of every tap out: the data's main path.

    decode -> windows -> backbone        each batch of clips by one thread, from end to end (clip_batches)
          -> store                       one writer takes them in the order of the table     (writer)

Memory is bounded: a few batches are under way at a time. An extraction that was stopped, at any moment and by any
means, goes on where it was when it is asked for again.
"""

import platform
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import onnxruntime

from ...features import InputError
from ...features.locks import Lock
from ...features.playback import AS_RECORDED, Playback
from ...features.progress import Progress
from ...features.recordings import Recordings
from ...features.recordings.bandwidth import narrow_band
from ...features.spelling import counted
from ...features.store import FeatureStore, StoreKey
from ...features.windows import Selection
from ..runtime.backbone import Backbone
from .clip_batches import ClipBatch, Settings
from .workers import extract_shards, shards_of
from .writer import fill, fingerprint, misfit, quick_look, stale, workers_for


@dataclass(frozen=True)
class Skipped:
    """A clip that has no rows. `clip`: its number in the table of recordings."""

    clip: int
    file: str
    reason: str


@dataclass(frozen=True)
class Extraction:
    """What a store holds: `clips` with rows, their `windows` (rows), the skipped clips; `seconds` this call took.

    warnings: about recordings that fill little of the model's band, and files read by this call otherwise than their
    headers or channels would have it, a line each.
    """

    store: Path
    clips: int
    windows: int
    skipped: tuple[Skipped, ...]
    seconds: float
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        left = f", {counted(len(self.skipped), 'clip')} left out" if self.skipped else ""
        return "\n".join(
            [f"{self.store}: {counted(self.windows, 'window')} of {counted(self.clips, 'clip')}{left}", *self.warnings]
        )


def extract(
    backbone: Backbone,
    recordings: Recordings,
    store_path: Path | str,
    *,
    selection: Selection,
    dtype: str = "float32",
    batch_size: int | None = None,
    jobs: int = 1,
    seed: int = 0,
    overwrite: bool = False,
    cluster: str | None = None,
    progress: bool = True,
    publish: bool = True,
    playback: Playback = AS_RECORDED,
) -> Extraction:
    """Features of all windows that `selection` picks from `recordings`, in the FeatureStore `store_path`.

    A complete store of the same key and clips is left as it is, an incomplete one is resumed. Another key, other
    clips or files of other contents are an InputError. `overwrite` replaces such a store, a damaged one, and one whose
    skipped clips can be read by now; features that still hold are kept. The old store goes when the new one is whole,
    which lies in a hidden folder beside it until then: with `publish` False until the caller calls `publish`.
    batch_size: windows a forward pass; None takes what the backbone's device is fed at best.
    With `jobs` > 1, or a Dask `cluster` (its address), other processes write shards in `STORE.shards/` and the store is
    a view of them. Clips that cannot be used are skipped and listed; InputError if that is all of them.
    """
    started, path = time.perf_counter(), Path(store_path)
    clips = ClipBatch(0, recordings.clips)
    if not clips.clips:
        raise InputError(f"{recordings.root}: no clips to extract")
    if path.is_dir():
        raise InputError(f"{path}: a folder, wanted the name of a store")
    key = key_of(backbone, selection, seed, dtype, playback)
    narrow = narrow_band([clip.path for clip in clips.clips], backbone.sample_rate, playback)
    noted = (*backbone.warnings, *([narrow] if narrow else []))
    meta = meta_of(backbone, recordings, noted)
    settings = Settings(selection, seed, batch_size or backbone.best_batch, playback)
    with Lock(path):
        target = path
        if path.exists():
            problem = misfit(path, key, clips)
            if problem and not overwrite:
                raise InputError(problem)
            if problem or (overwrite and stale(path, backbone.sample_rate, clips)):
                target = _replacement(path, key, clips)
        with Progress("extracting", len(clips.clips), "clips", wanted=progress) as bar:
            if not target.exists() and (jobs > 1 or cluster or shards_of(target).exists()):
                warnings = extract_shards(backbone, clips, target, key, meta, settings, jobs, cluster, overwrite, bar)
            else:
                _, warnings = fill(target, key, backbone, clips, meta, settings, workers_for(backbone), bar)
        done = replace(_summary(target, time.perf_counter() - started), warnings=(*noted, *warnings))
        if not done.windows:
            _remove(target)
            if target != path:
                target.parent.rmdir()
            one = done.skipped[0]
            raise InputError(f"none of the {len(done.skipped)} clips can be used. The first, {one.file}: {one.reason}")
        if publish:
            _move(target, path)
            done = replace(done, store=path)
    return done


def publish(store: Path, path: Path) -> None:
    """Put a whole store that `extract` left beside `path` in its place; nothing to do where it is there already."""
    if store != path:
        with Lock(path):
            _move(store, path)


def key_of(
    backbone: Backbone, selection: Selection, seed: int, dtype: str, playback: Playback = AS_RECORDED
) -> StoreKey:
    """The key of an extraction. The seed is part of it only where it chooses anything."""
    return StoreKey(
        model_sha256=backbone.sha256,
        taps=tuple(backbone.taps),
        **{name: getattr(backbone, name) for name in ("pooling", "sample_rate", "window_s", "normalise", "inputs")},
        selection=str(selection.spaced(backbone.window_s)),
        seed=seed if selection.rule == "random" else 0,
        dtype=dtype,
        frontend=backbone.frontend or "",
        precision=backbone.device.precision,  # float32 of any device is the same within 1e-5
        speed=playback.speed,
        bandpass=playback.bandpass,
    )


def meta_of(backbone: Backbone, recordings: Recordings, noted: tuple[str, ...]) -> dict:
    """Where the features come from, for people; and which clips they are of, for `misfit`. noted: more warnings."""
    return {
        "model": str(backbone.path),
        "preset": backbone.preset,
        "architecture": backbone.architecture.to_json(),
        "audio": str(recordings.root),
        "grouping": recordings.grouping,
        "classes": recordings.classes,
        "warnings": [*recordings.warnings, *noted],
        "clips": len(recordings.clips),
        "clips_sha256": fingerprint(ClipBatch(0, recordings.clips)),
        "files_look": quick_look(ClipBatch(0, recordings.clips)),
        "folding": backbone.folding,
        "device": backbone.device_check.to_json() if backbone.device_check else {"device": "cpu"},
        "versions": {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__},
    }


def _replacement(path: Path, key: StoreKey, clips: ClipBatch) -> Path:
    """Where the store is made that is to replace the one at `path`: in a hidden folder, resumed if it fits."""
    folder = path.with_name(f".{path.name}.next")
    if folder.is_symlink():
        raise InputError(f"{folder}: a symbolic link found where the new store is made. Move it away.")
    if (folder / path.name).exists() and misfit(folder / path.name, key, clips):
        _remove(folder / path.name)
    return folder / path.name


def _move(store: Path, path: Path) -> None:
    """Of the shards those of the new store are moved first, and what is left of the old ones goes last."""
    if store == path:
        return
    new = sorted(shards_of(store).glob("shard-*.h5"))
    for shard in new:
        shards_of(path).mkdir(exist_ok=True)
        shard.replace(shards_of(path) / shard.name)
    store.replace(path)
    for shard in shards_of(path).glob("shard-*.h5"):
        if shard.name not in {one.name for one in new}:
            shard.unlink()
    for folder in (shards_of(store), store.parent, shards_of(path)):
        with suppress(OSError):  # not there, or somebody else's files in it
            folder.rmdir()


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
