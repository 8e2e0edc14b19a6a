"""The main job: extract every tap once, rank the taps, write the run folder.

    MODEL + AUDIO -> recordings -> folds -> extract -> features.h5 -> units -> k-NN, linear, LogME -> ranking -> RUN

Pictures and the page are made from the finished folder by `probe.sweep.report`. The protocol is that of Table 1 in Yadav 2026
(its kNN-5 is our `knn`), with what it lacked: the final embedding and the logits among the taps, groups, intervals,
paired tests and the cost of each tap.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from ...analysis.scored_items import make_units
from ...features import InputError
from ...features.progress import Progress
from ...features.recordings import Recordings, assign_folds, choose, read_recordings
from ...features.store import FeatureStore
from ...features.windows import Selection
from ..extraction.extract import extract, publish
from ..runtime.backbone import Backbone
from ..runtime.cost import ms_per_window
from .conclusion import Answer
from .run_folder import prepare, write
from .score import project, rank_taps

PACKAGES = ("birdprobe", "onnx", "onnxruntime", "numpy", "scikit-learn", "umap-learn", "soundfile", "soxr", "h5py")


@dataclass(frozen=True)
class Settings:
    """Everything a sweep can be told; the defaults are the command's. Lengths in seconds, rates in Hz."""

    taps: str = "all"
    pool: str = "mean"
    select: str = "all"
    dtype: str = "float32"
    sample_rate: int | None = None
    window_s: float | None = None
    normalise: str | None = None
    batch_size: int = 8
    jobs: int = 1
    cluster: str | None = None
    classes: int | None = 30
    per_class: int | None = 20
    group_regex: str | None = None
    groups: str | None = None
    fold_regex: str | None = None
    k: int = 5
    folds: int = 5
    metric: str = "euclidean"
    unit: str = "clip"
    projection: str = "umap"
    seed: int = 0


@dataclass(frozen=True)
class Swept:
    """A finished sweep: its folder, its answer and the table that `ranking.csv` holds."""

    run: Path
    answer: Answer
    table: pd.DataFrame


def sweep(
    model: Path,
    audio: Path,
    run: Path,
    settings: Settings = Settings(),
    *,
    overwrite: bool = False,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Swept:
    """Rank every tap of the ONNX file `model` on the labelled recordings `audio`, into the folder `run`.

    An unfinished run of the same settings is resumed; a finished one is refused unless `overwrite`. With `overwrite`
    the features are kept where their key still fits, since they are a cache and not a result. `say` hears one line a
    stage. Raises InputError for anything wrong with what the user gave.
    """
    started = time.perf_counter()
    check_settings(settings)
    prepare(run, overwrite)
    say(f"opening {model}")
    backbone = Backbone.open(
        model,
        taps=settings.taps,
        pooling=settings.pool,
        sample_rate=settings.sample_rate,
        window_s=settings.window_s,
        normalise=settings.normalise,
        threads=1,  # one-thread sessions called from a thread a core: the fastest where measured
    )
    recordings = choose(
        read_recordings(
            audio,
            group_regex=settings.group_regex,
            groups_column=settings.groups,
            fold_regex=settings.fold_regex,
        ),
        settings.classes,
        settings.per_class,
        settings.seed,
    )
    fold_clips(recordings, settings)  # too few clips or groups is said before an hour of extraction, not after
    say(f"{len(recordings.clips)} clips of {len(recordings.labels)} classes, {len(backbone.taps)} taps, one pass")
    extraction = extract(
        backbone,
        recordings,
        run / "features.h5",
        selection=Selection.parse(settings.select),
        dtype=settings.dtype,
        batch_size=settings.batch_size,
        jobs=settings.jobs,
        seed=settings.seed,
        overwrite=overwrite,
        cluster=settings.cluster,
        progress=progress,
        publish=False,
    )
    say("timing the model up to each tap")
    taps = [backbone.architecture.taps[name] for name in backbone.taps]
    with Progress("timing", 2 * len(taps), "taps", wanted=progress) as bar:
        cost = ms_per_window(backbone.model, taps, backbone.window_samples, tick=lambda name: bar.advance(note=name))
    with FeatureStore.open(extraction.store) as store:
        say("ranking")
        clips, folds_said, fold_warnings = fold_clips(recordings, settings, skipped=set(store.skipped()["clip"]))
        units = make_units(store.rows(), clips, settings.unit)
        with Progress("ranking", len(taps), "taps", wanted=progress) as bar:
            tick = lambda name: bar.advance(note=name)  # noqa: E731
            verdict = rank_taps(
                store, units, backbone.architecture, cost, settings.k, settings.metric, settings.seed, tick
            )
        say(f"{settings.projection} of the last blocks")
        projected = project(store, units, backbone.architecture, settings.projection, settings.seed)
        data_hash = hash_of_audio(store.rows())
    config = {
        "command": command,
        "model": describe_model(backbone),
        "audio": {
            "path": str(audio),
            "clips": int(units.table["file"].nunique()),
            "classes": int(units.table["label"].nunique()),
            "windows": len(units.rows),
            "units": len(units.table),
            "groups": int(units.table["group"].nunique()),
            "sha256": data_hash,
        },
        "settings": asdict(settings) | {"projection": projected.attrs["method"]},
        "folds": {"n": int(units.table["fold"].nunique()), "description": folds_said},
        "grouping": recordings.grouping,
        "warnings": list(dict.fromkeys([*recordings.warnings, *fold_warnings])),
        "skipped": [{"file": s.file, "reason": s.reason} for s in extraction.skipped],
        "answer": verdict.answer.to_json(),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": {"extract": round(extraction.seconds, 2), "all": round(time.perf_counter() - started, 2)},
    }
    write(run, verdict.table, verdict.predictions, projected, config)
    publish(extraction.store, run / "features.h5")
    return Swept(run, verdict.answer, verdict.table)


def check_settings(settings: Settings) -> None:
    """Refuse what no later stage would explain as well."""
    choices = {"metric": ("euclidean", "cosine"), "unit": ("clip", "window"), "projection": ("umap", "pca")}
    for name, allowed in choices.items():
        if getattr(settings, name) not in allowed:
            raise InputError(f"--{name}: {getattr(settings, name)!r} found, one of {', '.join(allowed)} wanted")
    for name in ("k", "folds", "batch_size", "jobs"):
        least = 2 if name == "folds" else 1
        if getattr(settings, name) < least:
            raise InputError(f"--{name.replace('_', '-')}: {getattr(settings, name)} found, at least {least} wanted")


def fold_clips(
    recordings: Recordings, settings: Settings, skipped: set[int] = frozenset()
) -> tuple[pd.DataFrame, str, tuple[str, ...]]:
    """A table of the clips that could be read, indexed by clip number: file, label, group, fold."""
    kept = {i: clip for i, clip in enumerate(recordings.clips) if i not in skipped}
    labels = np.array([clip.label for clip in kept.values()])
    # A clip without a known group is a group of its own.
    groups = np.array([clip.group if clip.group is not None else clip.name for clip in kept.values()])
    given = [clip.fold for clip in kept.values()]
    folds, said, warnings = assign_folds(
        labels,
        None if recordings.grouping == "none" else groups,
        None if None in given else given,
        settings.folds,
        settings.seed,
        grouping=recordings.grouping,
        folding=recordings.folding,
    )
    table = pd.DataFrame({"label": labels, "group": groups, "fold": folds}, index=pd.Index(kept, name="clip"))
    return table, said, warnings


def describe_model(backbone: Backbone) -> dict:
    return {
        "path": str(backbone.path),
        "sha256": backbone.sha256,
        "preset": backbone.preset,
        "sample_rate": backbone.sample_rate,
        "window_s": backbone.window_s,
        "normalise": backbone.normalise,
        "architecture": backbone.architecture.to_json(),
        "proof": backbone.proof.to_json(),
        "folding": backbone.folding,
    }


def hash_of_audio(rows: pd.DataFrame) -> str:
    """One hash for all the audio that was read: over the sorted (file, sha256) pairs."""
    pairs = sorted(set(zip(rows["file"], rows["sha256"])))
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
