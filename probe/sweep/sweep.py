"""The main job: extract every tap once, rank the taps under every read-out, conclude, draw, report.

    MODEL + AUDIO -> recordings -> folds -> extract -> features.h5 -> items -> read-outs -> ranking -> conclusion -> RUN

The published protocol is that of Table 1 in Yadav 2026 (its kNN-5 is our `knn`), with what it lacked: the final
embedding and the logits among the taps, groups, intervals, paired tests, other read-outs and the cost of each tap.
"""

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime
import pandas as pd

from ...analysis import readouts
from ...analysis.scored_items import Units
from ...features.playback import Playback
from ...features.progress import Log, Progress, listener
from ...features.schema import checked
from ...features.store import FeatureStore
from ...features.windows import Selection
from ..blocks.architecture import Block
from ..extraction.extract import Extraction, extract, publish
from ..runtime.backbone import Backbone
from ..runtime.cost import Timing
from ..runtime.providers import find_device
from .control import STORE as CONTROL
from .control import check_trained, extract_control, study_control
from .data import Data, FoldedClips, fold_clips, group_clips, read_data
from .result import SweepResult
from .run_folder import describe_audio, describe_model, describe_skipped, finish, prepare, write
from .score import Verdict, items_of, project, rank_taps, score_taps
from .settings import Settings, parse_shots
from .shift import Shift, rank_shift, score_shift
from .studies.duplicates import shared_with_test, study_duplicates
from .studies.finding import Finding, joined
from .studies.label_free import study_label_free
from .studies.planes import study_planes
from .studies.shots import study_shots
from .studies.timings import study_timings

PACKAGES = ("birdprobe", "onnx", "numpy", "scikit-learn", "umap-learn", "soundfile", "soxr", "h5py")


@checked
def sweep(
    model: Path | str,
    audio: Path | str,
    output: Path | str,
    *,
    test: Path | str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    log: Log | None = None,
    command: str = "",
    draw: bool = True,
    **settings: Any,
) -> SweepResult:
    """Rank every tap of a backbone on labelled recordings: the whole job, pictures and report included.

    Args:
        model: an ONNX file that takes a waveform, or a name of `birdprobe models`.
        audio: a folder with a sub-folder per class, a CSV manifest, or a BirdCLEF folder.
        output: the run folder. An unfinished run of the same settings is resumed; a finished one is refused unless
            `overwrite`, and replaced only when the new one is whole.
        test: other labelled recordings, such as soundscapes: read-outs are fitted on `audio` and scored there too.
        overwrite: replace a finished run; features are kept where their key still fits, since they are a cache.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.
        command: what is recorded as the command that made the run.
        draw: also draw the figures and write report.html.
        **settings: the fields of `Settings`, named as the command's options: taps, pool, select, readout, score, ...
            Where an option takes text with commas, a list does as well: taps=[20, 25, "embedding"], readout=["knn"].

    Returns:
        The finished run.

    Raises:
        InputError: anything wrong with what the user gave; nothing that was there before is lost.
    """
    log = listener(log, progress)
    result = run_sweep(
        Path(model), Path(audio), Path(output), Settings(**settings), test=test, overwrite=overwrite,
        progress=progress, log=log, command=command,
    )  # fmt: skip
    if draw:
        log("drawing")
        draw_run(result.path, log, progress)
    finish(result.path)
    return SweepResult(result.path)


def draw_run(run: Path, log: Log, progress: bool = True) -> None:
    """The figures and the page of a finished run. What fails is told: the results lie in the folder already."""
    try:
        from ...figures.gallery import drawable, save_png
        from .report import write_report

        names = drawable(run)
        with Progress("drawing", len(names) + 1, "figures", wanted=progress) as bar:
            for name in names:
                try:
                    save_png(run, name)
                except Exception as error:  # whatever a font, a cache or a full disk makes of one picture
                    log(f"warning: figure {name} could not be drawn ({_line(error)}); try `birdprobe figures {run}`")
                bar.advance(note=name)
            write_report(run)
    except Exception as error:
        log(f"warning: the report could not be written ({_line(error)}); the tables in {run} are whole")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def run_sweep(
    model: Path,
    audio: Path,
    run: Path,
    settings: Settings = Settings(),  # noqa: B008 frozen, so one for all calls is as good
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
    selection = Selection.parse(settings.select, settings.hop, settings.overlap)
    playback = Playback.parse(settings.speed, settings.bandpass)
    wanted = {"features.h5": True, "test.h5": test is not None, CONTROL: settings.control}
    folder, replaced = prepare(run, overwrite, [name for name, used in wanted.items() if used])
    data = read_data(audio, test, settings)
    for place, part in ((audio, data.recordings), (test, data.held_out)):
        if part is not None and part.kind:
            log(f"{place}: {part.kind}")
    log(f"opening {model}{' and timing it up to each tap' if settings.timing else ''}")
    backbone = open_backbone(model, settings)
    if settings.control:
        check_trained(backbone)
    if backbone.device_check:
        log(str(backbone.device_check))
    n_clips, n_classes = len(data.recordings.clips), len(data.recordings.labels)
    log(f"{n_clips} clips of {n_classes} classes, {len(backbone.taps)} taps, one pass")
    given: dict[str, Any] = {
        "selection": selection,
        "dtype": settings.dtype,
        "batch_size": settings.batch_size,
        "jobs": settings.jobs,
        "seed": settings.seed,
        "overwrite": replaced,
        "cluster": settings.cluster,
        "progress": progress,
        "publish": False,
        "playback": playback,
    }
    tested = untrained = None
    with folder.begun():
        extraction = extract(backbone, data.recordings, run / "features.h5", **given)
        if data.held_out is not None:
            tested = extract(backbone, data.held_out, run / "test.h5", **given)
        if settings.control:
            log("the same network with random weights")
            untrained = extract_control(backbone, data.recordings, run, settings, **given)
    found = rank_stores(extraction, tested, backbone.blocks, data, settings, backbone.cost, progress, log)
    if untrained is not None:
        log("ranking the control")
        of = (found.units, found.verdict, found.folded, backbone.blocks, settings, data.score)
        found = replace(found, beside=joined([found.beside, study_control(untrained.store, *of)]))
    config = {
        "command": command,
        "model": describe_model(backbone),
        "audio": describe_audio(audio, found.units, found.rows),
        "settings": asdict(settings) | projection_used(settings, found.projected),
        **describe_result(data, extraction, tested, found),
        "skipped": describe_skipped(extraction),
        "versions": {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
        | {name: version(name) for name in PACKAGES},
        "seconds": {"extract": round(extraction.seconds, 2), "all": round(time.perf_counter() - started, 2)},
    }
    if tested is not None:
        config["test"] = {"path": str(test), "skipped": describe_skipped(tested)}
    verdict = found.verdict
    tables = {"ranking.csv": verdict.table, "predictions.csv": verdict.predictions}
    tables |= {"readouts.csv": readouts_table(verdict, found.shift)}
    tables |= {} if found.projected is None else {"projection.csv": found.projected}
    write(run, tables | found.beside.tables, config)
    publish(extraction.store, run / "features.h5")
    if tested is not None:
        publish(tested.store, run / "test.h5")
    if untrained is not None:
        publish(untrained.store, run / CONTROL)
    return SweepResult(run)


@dataclass(frozen=True, eq=False)
class Found:
    """What a sweep found: the verdict, the same on TEST, the planes of the last blocks, and what stands beside them.

    units, rows: what was ranked, and the row table of the store. folded: folds of the clips that could be read.
    """

    verdict: Verdict
    shift: Shift | None
    projected: pd.DataFrame | None
    beside: Finding
    units: Units
    rows: pd.DataFrame
    folded: FoldedClips


def open_backbone(model: Path, settings: Settings) -> Backbone:
    """The backbone at the taps that were asked for."""
    return Backbone.open(
        model,
        taps=settings.taps,
        pooling=settings.pool,
        sample_rate=settings.sample_rate,
        window_s=settings.window_s,
        normalise=settings.normalise,
        frontend=settings.frontend,
        inputs=settings.inputs,
        device=find_device(settings.device, settings.precision),
        threads=1,  # one-thread sessions called from a thread a core: the fastest where measured
        timed=settings.timing,
    )


def rank_stores(
    extraction: Extraction,
    tested: Extraction | None,
    blocks: Mapping[str, Block],
    data: Data,
    settings: Settings,
    cost: dict[str, Timing],
    progress: bool,
    log: Log,
) -> Found:
    """Everything that is computed from the cached features."""
    names, shift, projected = readouts.parse(settings.readout), None, None
    with FeatureStore.open(extraction.store) as store:
        log("ranking")
        folded = fold_clips(data.recordings, settings, skipped_of(store))
        units, targets = items_of(store, folded, folded.classes, settings.unit)
        with Progress("ranking", len(store.taps), "taps", wanted=progress) as bar:
            scores = score_taps(store, units, targets, names, settings.k, lambda tap: bar.advance(note=tap))
        verdict = rank_taps(
            *(store, units, scores, targets, folded.classes, blocks, cost),
            *(settings.k, settings.metric, data.score, settings.seed),
        )
        beside = [study_timings(cost), study_duplicates(store, units, folded.table, verdict, scores, targets)]
        if data.held_out is not None and tested is not None:
            log("scoring the test recordings")
            with FeatureStore.open(tested.store) as test_store:
                test_units, test_targets = items_of(
                    test_store, group_clips(data.held_out, skipped_of(test_store)), folded.classes, settings.unit
                )
                test_scores = score_shift(store, units, targets, test_store, test_units, names, settings.k)
                groups = test_units.table["group"].to_numpy()
                shift = rank_shift(
                    *(test_scores, test_targets, groups, verdict.readouts, settings.k, data.score, settings.seed)
                )
                beside.append(shared_with_test(store.rows(), test_store.rows()))
        beside += studied(store, units, verdict, settings, progress, log)
        if settings.projection != "none":
            log(f"plane of the last blocks, {settings.projection}")
            projected = project(store, units, blocks, settings.projection, settings.seed)
        return Found(verdict, shift, projected, joined(beside), units, store.rows(), folded)


def studied(
    store: FeatureStore, units: Units, verdict: Verdict, settings: Settings, progress: bool, log: Log
) -> list[Finding]:
    """The studies beside the ranking: those without read-outs always, few labels and planes where asked for."""
    found = [study_label_free(store, units, verdict, settings.seed)]
    if sizes := parse_shots(settings.shots):
        log("few labels")
        found.append(study_shots(store, units, verdict, sizes, settings.k, settings.seed, progress))
    if settings.planes:
        method = "pca" if settings.projection == "none" else settings.projection
        log(f"plane of every tap, {method}")
        found.append(study_planes(store, units, method, settings.k, settings.seed))
    return found


def describe_result(data: Data, extraction: Extraction, tested: Extraction | None, found: Found) -> dict:
    """What was ranked how, what came out and what to beware of, for config.json."""
    warnings = [*data.recordings.warnings, *extraction.warnings, *found.folded.warnings]
    warnings += [*data.held_out.warnings, *tested.warnings] if data.held_out and tested else []
    warnings += found.beside.warnings
    if found.projected is not None and (reason := found.projected.attrs["reason"]).startswith("UMAP"):
        warnings.append(f"{reason}: the plane of the last blocks is PCA's.")
    return {
        "readouts": list(dict.fromkeys(found.verdict.readouts.table["readout"])),
        "score": data.score,
        "folds": {"n": int(found.units.table["fold"].nunique()), "description": found.folded.description},
        "grouping": data.recordings.grouping,
        "warnings": list(dict.fromkeys(warnings)),
        "answer": found.verdict.answer.to_json(),
        "conclusion": conclusion_json(found.verdict, found.shift, found.beside),
        **found.beside.config,
    }


def skipped_of(store: FeatureStore) -> set[int]:
    """The numbers of the clips that could not be read."""
    return set(store.skipped()["clip"])


def readouts_table(verdict: Verdict, shift: Shift | None) -> pd.DataFrame:
    """`readouts.csv`, one row a tap and read-out."""
    table = verdict.readouts.table.reset_index(drop=True)
    return table if shift is None else table.join(shift.columns().reset_index(drop=True))


def conclusion_json(verdict: Verdict, shift: Shift | None, beside: Finding) -> dict:
    """`answer.json`."""
    found = verdict.conclusion.to_json() | beside.answer
    if shift is not None:
        found["sentence"] = f"{found['sentence']} {shift.sentence}"
        found["lines"] = [*found["lines"], shift.sentence]
        found["parts"] = found["parts"] | {"shifted": shift.sentence}
        found["shifted"] = shift.to_json()
    found["lines"] = [*found["lines"], *beside.lines]
    if "control" in beside.answer:
        found["parts"] = found["parts"] | {"control": beside.answer["control"]["sentence"]}
    return found


def projection_used(settings: Settings, projected: pd.DataFrame | None) -> dict[str, str]:
    """UMAP falls back to PCA where there is too little to learn a manifold from."""
    return {"projection": settings.projection if projected is None else str(projected.attrs["method"])}
