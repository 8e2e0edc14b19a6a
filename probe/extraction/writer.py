"""One store, filled by one process: several threads compute clip batches, one writer appends them in order."""

import hashlib
import json
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pandas as pd

from ...features import InputError, audio
from ...features.files import sha256
from ...features.progress import Progress
from ...features.store import FeatureStore, Locked, StoreKey
from ..runtime.cores import threads_beside
from .clip_batches import BatchFeatures, ClipBatch, Settings, compute

AHEAD = 3  # clip batches under way or waiting for the writer, for each worker: this bounds the memory
HINT = "Give another name, or --overwrite to replace it."


def fingerprint(clips: ClipBatch) -> str:
    """A hash over everything that the table says about these clips, in its order."""
    table = [(c.name, c.labels, c.group, c.fold, c.start_s, c.end_s) for c in clips.clips]
    return hashlib.sha256(json.dumps([clips.first, table]).encode()).hexdigest()


def quick_look(clips: ClipBatch) -> str:
    """A hash over the clips' files as the disk lists them: size, time of the last change, inode. None is read.

    Equal looks are taken for equal contents; where they differ, a file may still be the same: `misfit` reads it.
    """
    looks: list[tuple[int, int, int] | None] = []
    for clip in clips.clips:
        try:
            status = clip.path.stat()
        except OSError:
            looks.append(None)
        else:
            looks.append((status.st_size, status.st_mtime_ns, status.st_ino))
    return hashlib.sha256(json.dumps(looks).encode()).hexdigest()


def misfit(path: Path, key: StoreKey, clips: ClipBatch) -> str | None:
    """Why the file at `path` is not a store of these clips and this key; None if it is.

    Audio files that are not as they were listed when the store was begun are compared by size and sha256. Locked (an
    InputError) while another process writes it.
    """
    try:
        with FeatureStore.open(path, "r", key) as store:
            if store.meta.get("clips_sha256") != fingerprint(clips):
                return (
                    f"{path}: made from {store.meta.get('clips', 'other')} clips, {len(clips.clips)} wanted. "
                    f"Another AUDIO, --classes, --per-class, groups or folds? {HINT}"
                )
            if store.meta.get("files_look") != quick_look(clips):
                return _changed_file(path, store.rows(), clips)
    except Locked:
        raise
    except InputError as error:
        return str(error)
    return None


def _changed_file(path: Path, rows: pd.DataFrame, clips: ClipBatch) -> str | None:
    """Which audio file is no longer what the rows were made from; None if all are."""
    seen: dict[Path, str] = {}
    known = rows.drop_duplicates("clip")
    for clip, name, old_size, digest in zip(known["clip"], known["file"], known["size"], known["sha256"]):
        file = clips.clips[int(clip) - clips.first].path
        size = file.stat().st_size if file.is_file() else 0
        if size != old_size:
            return f"{path}: made when {name} had {old_size} bytes, it has {size} now. {HINT}"
        if file not in seen:
            seen[file] = sha256(file)
        if seen[file] != digest:
            return f"{path}: made when {name} had other contents of the same size. {HINT}"
    return None


def stale(path: Path, sample_rate: int, clips: ClipBatch) -> bool:
    """Whether a store that fits should be replaced all the same: it is damaged, or skipped clips can be read now."""
    with FeatureStore.open(path) as store:
        if any("not complete" not in fault for fault in store.check()):
            return True
    return readable_again(path, sample_rate, clips)


def readable_again(path: Path, sample_rate: int, clips: ClipBatch) -> bool:
    """Whether clips that a store skipped can be read now."""
    with FeatureStore.open(path) as store:
        skipped = [clips.clips[number - clips.first] for number in store.skipped()["clip"]]
    for clip in skipped:
        try:
            audio.read(clip.path, sample_rate, start_s=clip.start_s, end_s=clip.end_s)
            return True
        except InputError:
            continue
    return False


def fill(
    path: Path, key: StoreKey, backbone, clips: ClipBatch, meta: dict, settings: Settings, workers: int, bar: Progress
) -> tuple[int, tuple[str, ...]]:
    """Create or resume the store and compute what it lacks; its number of rows, and warnings about the files read."""
    warnings: dict[str, None] = {}
    if path.exists():
        store = FeatureStore.open(path, "r", key)
        if store.complete:
            with store:
                bar.skip(len(clips.clips))
                return len(store), ()
        store.close()
        store = FeatureStore.open(path, "a", key)
    else:
        store = FeatureStore.create(path, key, backbone.dims, meta)
    with store:
        there = store.done_clips() | set(store.skipped()["clip"])
        missing = [batch.without(there) for batch in clips.split(settings.selection, settings.batch_size)]
        missing = [batch for batch in missing if batch.clips]
        bar.skip(len(clips.clips) - sum(len(batch.clips) for batch in missing))
        with closing(_in_order(backbone, missing, settings, workers)) as results:
            for batch, computed in results:
                for number, file, reason in computed.skipped:
                    if number not in there:  # it may have been committed before its batch's rows were
                        store.skip(number, file, reason)
                if len(computed.rows):
                    store.append(computed.rows, computed.features)
                warnings |= dict.fromkeys(computed.warnings)
                bar.advance(len(batch.clips), f"{len(computed.rows)} windows")
        store.finish()
        return len(store), tuple(warnings)


def _in_order(
    backbone, batches: list[ClipBatch], settings: Settings, workers: int
) -> Generator[tuple[ClipBatch, BatchFeatures], None, None]:
    """What was computed, in the batches' order, by `workers` threads that are never far ahead of the reader."""
    todo = iter(batches)
    waiting: deque[tuple[ClipBatch, Future[BatchFeatures]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="extract") as pool:
        try:
            while True:
                while len(waiting) < AHEAD * workers and (batch := next(todo, None)):
                    waiting.append((batch, pool.submit(compute, backbone, batch, settings)))
                if not waiting:
                    return
                batch, future = waiting.popleft()
                yield batch, future.result()
        finally:  # after an error or Ctrl-C, what has not begun is dropped
            pool.shutdown(wait=False, cancel_futures=True)


def workers_for(backbone) -> int:
    """Threads that a backbone's session leaves room for."""
    return threads_beside(backbone._session.get_session_options().intra_op_num_threads)
