"""The main job: extract every tap once, rank the taps under every read-out, conclude, draw, report.

    MODEL + AUDIO -> recordings -> folds -> extract -> features.h5 -> items -> read-outs -> ranking -> conclusion -> RUN

The published protocol is that of Table 1 in Yadav 2026 (its kNN-5 is our `knn`), with what it lacked: the final
embedding and the logits among the taps, groups, intervals, paired tests, other read-outs and the cost of each tap.
"""

import platform
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime

from ...features.output_folder import OutputFolder
from ...features.progress import Log, Progress, listener
from ...features.schema import checked, forwards
from ...features.spelling import counted
from ..extraction.extract import Extraction, extract, publish
from ..runtime.backbone import Backbone
from .control import STORE as CONTROL
from .control import check_trained, extract_control, study_control
from .data import Data, read_data
from .ranking import describe_result, projection_used, rank_cached
from .rerun import differing
from .result import SweepResult
from .run_folder import FEATURES, KIND, TEST, describe_audio, describe_model, describe_skipped, finish, prepare, write
from .settings import Settings
from .studies.finding import joined

PACKAGES = ("birdprobe", "onnx", "numpy", "scikit-learn", "umap-learn", "soundfile", "soxr", "h5py")


@checked
@forwards(Settings)
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
        output: the run folder. An unfinished run of the same settings is resumed. A finished one is returned as it is
            where settings, model and recordings are the same; another is refused unless `overwrite`, and replaced only
            when the new one is whole.
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
    log, run, asked = listener(log, progress), Path(output), Settings(**settings)
    asked.check()
    inputs = (Path(model), Path(audio))
    done = OutputFolder(run, KIND).done(overwrite, lambda there: differing(run, there, *inputs, test, asked), log)
    if not done:
        run_sweep(*inputs, run, asked, test=test, overwrite=overwrite, progress=progress, log=log, command=command)
    result = SweepResult(run)
    if draw and not (done and result.report.exists()):
        log("drawing")
        draw_run(run, log, progress)
    if not done:
        finish(run)
    return SweepResult(run)


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
    """`sweep` without its pictures, for checked settings; a finished run is refused unless `overwrite`."""
    started = time.perf_counter()
    wanted = {FEATURES: True, TEST: test is not None, CONTROL: settings.control}
    folder, replaced = prepare(run, overwrite, [name for name, used in wanted.items() if used])
    data = read_data(audio, test, settings)
    for place, part in ((audio, data.recordings), (test, data.held_out)):
        if part is not None and part.kind:
            log(f"{place}: {part.kind}")
    log(f"opening {model}{' and timing it up to each tap' if settings.timing else ''}")
    backbone = settings.open(model, timed=settings.timing)
    if settings.control:
        check_trained(backbone)
    for note in backbone.architecture.notes:
        log(f"note: {note}")
    if backbone.device_check:
        log(str(backbone.device_check))
    n_clips, n_classes = len(data.recordings.clips), len(data.recordings.labels)
    log(f"{counted(n_clips, 'clip')} of {counted(n_classes, 'class')}, {counted(len(backbone.taps), 'tap')}, one pass")
    with folder.begun():
        stores = extract_stores(backbone, data, run, settings, log, overwrite=replaced, progress=progress)
    extraction, tested, untrained = stores[FEATURES], stores.get(TEST), stores.get(CONTROL)
    found = rank_cached(extraction, tested, backbone.blocks, data, settings, backbone.cost, progress, log)
    if untrained is not None:
        log("ranking the control")
        of = (found.units, found.verdict, found.folded, backbone.blocks, settings, data.score)
        found = replace(found, beside=joined([found.beside, study_control(untrained.store, *of)]))
    config = {
        "command": command,
        "model": describe_model(backbone),
        "audio": describe_audio(audio, found.units, found.rows),
        "settings": asdict(settings) | projection_used(settings, found.projected),
        "asked": {"projection": settings.projection},
        **describe_result(data, extraction, tested, found),
        "skipped": describe_skipped(extraction),
        "versions": {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
        | {name: version(name) for name in PACKAGES},
        "seconds": {"extract": round(extraction.seconds, 2), "all": round(time.perf_counter() - started, 2)},
    }
    if tested is not None:
        config["test"] = {"path": str(test), "skipped": describe_skipped(tested)}
    write(run, found.tables(), config)
    for name, store in stores.items():
        publish(store.store, run / name)
    return SweepResult(run)


def extract_stores(
    backbone: Backbone, data: Data, run: Path, settings: Settings, log: Log, *, overwrite: bool, progress: bool
) -> dict[str, Extraction]:
    """File name in RUN -> the features of the recordings, of those of TEST and of the control, not yet published."""
    given = settings.how | {"overwrite": overwrite, "progress": progress, "publish": False}
    stores = {FEATURES: extract(backbone, data.recordings, run / FEATURES, **given)}
    if data.held_out is not None:
        stores[TEST] = extract(backbone, data.held_out, run / TEST, **given)
    if settings.control:
        log("the same network with random weights")
        stores[CONTROL] = extract_control(backbone, data.recordings, run, settings, **given)
    return stores
