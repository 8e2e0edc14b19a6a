"""The main job: extract every tap once, rank the taps under every read-out, conclude, draw, report.

    MODEL + AUDIO -> recordings -> folds -> extract -> features.h5 -> items -> read-outs -> ranking -> conclusion -> RUN

The published protocol is that of Table 1 in Yadav 2026 (its kNN-5 is our `knn`), with what it lacked: the final
embedding and the logits among the taps, groups, intervals, paired tests, other read-outs and the cost of each tap.
"""

import hashlib
import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...analysis import readouts
from ...analysis.scored_items import Units, make_units
from ...features.progress import Progress
from ...features.recordings import Recordings
from ...features.store import FeatureStore
from ...features.windows import Selection
from ..extraction.extract import Extraction, extract, publish
from ..runtime.backbone import Backbone
from ..runtime.cost import ms_per_window
from .data import FoldedClips, fold_clips, group_clips, held_out_clips, training_clips
from .result import SweepResult
from .run_folder import RunTables, prepare, write
from .score import Verdict, multi_hot, project, rank_taps, score_taps
from .settings import Settings
from .shift import Shift, rank_shift, score_shift

PACKAGES = ("birdprobe", "onnx", "onnxruntime", "numpy", "scikit-learn", "umap-learn", "soundfile", "soxr", "h5py")
Log = Callable[[str], None]


def sweep(
    model: Path | str,
    audio: Path | str,
    output: Path | str,
    *,
    test: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log = lambda line: None,
    command: str = "",
    draw: bool = True,
    **settings: Any,
) -> SweepResult:
    """Rank every tap of a backbone on labelled recordings: the whole job, pictures and report included.

    Args:
        model: an ONNX file that takes a waveform.
        audio: a folder with a sub-folder per class, a CSV manifest, or a BirdCLEF folder.
        output: the run folder. An unfinished run of the same settings is resumed; a finished one is refused unless
            `overwrite`, and replaced only when the new one is whole.
        test: other labelled recordings, such as soundscapes: read-outs are fitted on `audio` and scored there too.
        overwrite: replace a finished run; features are kept where their key still fits, since they are a cache.
        progress: bars on stderr, on a terminal only.
        log: called with one line a stage.
        command: what is recorded as the command that made the run.
        draw: also draw the figures and write report.html.
        **settings: the fields of `Settings`, named as the command's options: taps, pool, select, readout, score, ...

    Returns:
        The finished run.

    Raises:
        InputError: anything wrong with what the user gave; nothing that was there before is lost.
    """
    result = run_sweep(
        Path(model), Path(audio), Path(output), Settings(**settings), test=test, overwrite=overwrite,
        progress=progress, log=log, command=command,
    )  # fmt: skip
    if draw:
        from ...figures.gallery import save
        from .report import write_report

        log("drawing")
        save(result.path)
        write_report(result.path)
    return result


def run_sweep(
    model: Path,
    audio: Path,
    run: Path,
    settings: Settings = Settings(),
    *,
    test: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log = lambda line: None,
    command: str = "",
) -> SweepResult:
    """`sweep` without its pictures: arguments as there, the settings as one record."""
    started = time.perf_counter()
    settings.check()
    names = readouts.parse(settings.readout)
    selection = Selection.parse(settings.select)
    prepare(run, overwrite)
    recordings = training_clips(audio, settings)
    folded = fold_clips(recordings, settings)  # too few clips or groups is said before the model is opened
    held_out = None if test is None else held_out_clips(test, settings, folded.classes)
    score = metric_of(settings.score, recordings, held_out)
    log(f"opening {model}")
    backbone = Backbone.open(
        model,
        taps=settings.taps,
        pooling=settings.pool,
        sample_rate=settings.sample_rate,
        window_s=settings.window_s,
        normalise=settings.normalise,
        threads=1,  # one-thread sessions called from a thread a core: the fastest where measured
    )
    log(f"{len(recordings.clips)} clips of {len(recordings.labels)} classes, {len(backbone.taps)} taps, one pass")
    given = {
        "selection": selection,
        "dtype": settings.dtype,
        "batch_size": settings.batch_size,
        "jobs": settings.jobs,
        "seed": settings.seed,
        "overwrite": overwrite,
        "cluster": settings.cluster,
        "progress": progress,
        "publish": False,
    }
    extraction = extract(backbone, recordings, run / "features.h5", **given)
    tested = None if held_out is None else extract(backbone, held_out, run / "test.h5", **given)
    cost = time_taps(backbone, settings, progress, log)
    with FeatureStore.open(extraction.store) as store:
        log("ranking")
        folded = fold_clips(recordings, settings, skipped=set(store.skipped()["clip"]))
        units, targets = items_of(store, folded, folded.classes, settings.unit)
        with Progress("ranking", len(backbone.taps), "taps", wanted=progress) as bar:
            scores = score_taps(store, units, targets, names, settings.k, lambda tap: bar.advance(note=tap))
        verdict = rank_taps(
            *(store, units, scores, targets, folded.classes, backbone.architecture, cost),
            *(settings.k, settings.metric, score, settings.seed),
        )
        shift = None
        if held_out is not None and tested is not None:
            log(f"scoring {test}")
            shift = shifted(store, units, targets, tested, held_out, names, verdict, folded.classes, score, settings)
        projected = None
        if settings.projection != "none":
            log(f"{settings.projection} of the last blocks")
            projected = project(store, units, backbone.architecture, settings.projection, settings.seed)
        rows = store.rows()
    warnings = [*recordings.warnings, *extraction.warnings, *folded.warnings]
    warnings += [*held_out.warnings, *tested.warnings] if held_out is not None and tested is not None else []
    config = {
        "command": command,
        "model": describe_model(backbone),
        "audio": describe_audio(audio, units, rows),
        "settings": asdict(settings) | projection_used(settings, projected),
        "readouts": list(names),
        "score": score,
        "folds": {"n": int(units.table["fold"].nunique()), "description": folded.description},
        "grouping": recordings.grouping,
        "warnings": list(dict.fromkeys(warnings)),
        "skipped": [{"file": s.file, "reason": s.reason} for s in extraction.skipped],
        "answer": verdict.answer.to_json(),
        "conclusion": conclusion_json(verdict, shift),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "seconds": {"extract": round(extraction.seconds, 2), "all": round(time.perf_counter() - started, 2)},
    }  # fmt: skip
    if tested is not None:
        config["test"] = {"path": str(test), "skipped": [{"file": s.file, "reason": s.reason} for s in tested.skipped]}
    tables = RunTables(verdict.table, verdict.predictions, readouts_table(verdict, shift), projected)
    write(run, tables, config)
    publish(extraction.store, run / "features.h5")
    if tested is not None:
        publish(tested.store, run / "test.h5")
    return SweepResult(run)


def metric_of(score: str, recordings: Recordings, held_out: Recordings | None) -> str:
    """What read-outs are ranked by: top-1 where every clip has one label and nothing else is tested, else macro AUC."""
    if score != "auto":
        return score
    several = any(len(clip.labels) > 1 for part in (recordings, held_out) if part for clip in part.clips)
    return "auc" if several or held_out is not None else "top1"


def time_taps(backbone: Backbone, settings: Settings, progress: bool, log: Log) -> dict[str, float]:
    """Milliseconds a window up to each tap, pooled and threaded as the extraction was; nothing with --no-timing."""
    if not settings.timing:
        return {}
    log("timing the model up to each tap")
    taps = [backbone.architecture.taps[name] for name in backbone.taps]
    with Progress("timing", 2 * len(taps), "taps", wanted=progress) as bar:
        return ms_per_window(
            *(backbone.model, taps, backbone.window_samples, settings.pool),
            threads=backbone.threads,
            tick=lambda tap: bar.advance(note=tap),
        )


def items_of(store: FeatureStore, clips: FoldedClips, classes: tuple[str, ...], unit: str) -> tuple[Units, np.ndarray]:
    """(scored items, their targets bool [n, K]) of a store."""
    units = make_units(store.rows(), clips.table, unit)
    return units, multi_hot([clips.labels[clip] for clip in units.table["clip"]], classes)


def shifted(
    store: FeatureStore,
    units: Units,
    targets: np.ndarray,
    tested: Extraction,
    held_out: Recordings,
    names: tuple[str, ...],
    verdict: Verdict,
    classes: tuple[str, ...],
    score: str,
    settings: Settings,
) -> Shift:
    """The same read-outs, scored on the test recordings."""
    with FeatureStore.open(tested.store) as test_store:
        clips = group_clips(held_out, skipped=set(test_store.skipped()["clip"]))
        test_units, test_targets = items_of(test_store, clips, classes, settings.unit)
        scores = score_shift(store, units, targets, test_store, test_units, names, settings.k)
    groups = test_units.table["group"].to_numpy()
    return rank_shift(scores, test_targets, groups, verdict.readouts, settings.k, score, settings.seed)


def readouts_table(verdict: Verdict, shift: Shift | None) -> pd.DataFrame:
    """`readouts.csv`, one row a tap and read-out."""
    table = verdict.readouts.table.reset_index(drop=True)
    return table if shift is None else table.join(shift.columns().reset_index(drop=True))


def conclusion_json(verdict: Verdict, shift: Shift | None) -> dict:
    """`answer.json`."""
    found = verdict.conclusion.to_json()
    if shift is None:
        return found
    found["sentence"] = f"{found['sentence']} {shift.sentence}"
    found["lines"] = [*found["lines"], shift.sentence]
    return found | {"shifted": shift.to_json()}


def projection_used(settings: Settings, projected: pd.DataFrame | None) -> dict[str, str]:
    """UMAP falls back to PCA where there is too little to learn a manifold from."""
    return {"projection": settings.projection if projected is None else str(projected.attrs["method"])}


def describe_audio(audio: Path, units: Units, rows: pd.DataFrame) -> dict:
    """What was ranked on, for config.json."""
    return {
        "path": str(audio),
        "clips": int(units.table["file"].nunique()),
        "classes": int(units.table["label"].nunique()),
        "windows": len(units.rows),
        "units": len(units.table),
        "groups": int(units.table["group"].nunique()),
        "sha256": hash_of_audio(rows),
    }


def describe_model(backbone: Backbone) -> dict:
    """What was opened, for config.json."""
    return {
        "path": str(backbone.path),
        "sha256": backbone.sha256,
        "preset": backbone.preset,
        "sample_rate": backbone.sample_rate,
        "window_s": backbone.window_s,
        "normalise": backbone.normalise,
        "architecture": backbone.architecture.to_json(),
        "proof": backbone.verification.to_json(),
        "folding": backbone.folding,
    }


def hash_of_audio(rows: pd.DataFrame) -> str:
    """One hash for all the audio that was read: over the sorted (file, sha256) pairs."""
    pairs = sorted(set(zip(rows["file"], rows["sha256"])))
    return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
