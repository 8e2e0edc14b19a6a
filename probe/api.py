"""What the commands on backbones call, as functions on paths and arrays: `import birdprobe as bp`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..features import InputError
from ..features.files import check_new
from ..features.progress import Log, listener, say
from ..features.recordings import choose
from ..features.schema import Words, checked, comma_text, forwards
from ..features.spelling import is_there
from .blocks.architecture import Architecture
from .extraction.estimate import Estimate, estimate
from .extraction.extract import Extraction
from .extraction.extract import extract as extract_recordings
from .extraction.settings import ExtractionSettings
from .runtime.backbone import Backbone
from .runtime.providers import find_device


@checked
def find_blocks(
    model: Path | str,
    *,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
    sample_rate: int | None = None,
    window_s: float | None = None,
) -> Architecture:
    """The blocks of a backbone, found from the structure of its graph alone.

    Args:
        model: an ONNX file, or a name of `birdprobe models`.
        frontend, inputs, sample_rate, window_s: as `open_backbone`; the last two matter to a front end and to a model
            whose input has no fixed length.

    Returns:
        Its taps (`.taps`), blocks (`.blocks`) and notes on the graph (`.notes`); nothing is run on audio.

    Raises:
        InputError: a file that is no ONNX model, one of several inputs without values, or a front end that does not
            fit.
    """
    from .blocks.detection import find_blocks
    from .graph.load import naming
    from .models.contracts import completed
    from .models.frontends.opening import open_model
    from .models.registry import resolve
    from .runtime.input_spec import known_shape

    path = resolve(model)
    opened = open_model(path, frontend, inputs, sample_rate, window_s)
    rate, seconds, _ = completed(opened, path, sample_rate, window_s, None)
    with naming(path):
        return find_blocks(opened, None if frontend else known_shape(opened, rate, seconds))


@checked
def open_backbone(
    model: Path | str,
    taps: Words = "all",
    pool: Words = "mean",
    *,
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
    threads: int | None = None,
    device: str = "auto",
    precision: str = "float32",
    without: Sequence[str] = (),
) -> Backbone:
    """Open a backbone at its taps.

    Args:
        model: an ONNX file that takes a waveform, or a spectrogram that `frontend` makes; or a name of `birdprobe
            models`.
        taps: "all", or block numbers (negative ones count from the end), names and ranges: "20-25,embedding" or
            a list of them.
        pool: how a map becomes a vector: mean, max, std, cls, grid or grid:HxW; several with commas or in a list.
        sample_rate: Hz, where the file is not recognised. window_s: seconds, likewise.
        normalise: none, peak or file-peak.
        frontend: what makes the spectrogram that the model takes: "mel:n_fft=2048,hop=512,n_mels=128,db" or the name
            of a published convention, such as "timm-birdclef" or "ast"; see docs/frontends.md.
        inputs: values of the model's other inputs, "sr=16000", "state=zeros".
        threads: of the session; None takes one per core.
        device: auto, cpu, cuda, tensorrt, openvino, coreml or directml; auto is CUDA where it answers, else the CPU.
        precision: float32, tf32 or float16; the first batch is checked against the CPU in float32 (`.device_check`).
        without: passes to switch off, of `transforms`, `chains` and `scales`; see docs/speed.md.

    Returns:
        A backbone: call it with windows float32 [N, window_samples] for {tap: float32 [N, d]}.

    Raises:
        InputError: a file that cannot be opened, unknown taps, a rate or window that is missing, a device that is
            not there or whose numbers are off.
    """
    there = find_device(device, precision)
    backbone = Backbone.open(
        model,
        comma_text("taps", taps),
        comma_text("pool", pool),
        sample_rate,
        window_s,
        normalise,
        threads=threads,
        frontend=frontend,
        inputs=inputs,
        device=there,
        without=without,
    )
    for line in backbone.warnings:
        say(f"warning: {line}")
    return backbone


@checked
@forwards(ExtractionSettings)
def extract(
    model: Path | str,
    audio: Path | str,
    output: Path | str | None = None,
    *,
    unlabelled: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    dry_run: bool = False,
    price: float | None = None,
    log: Log | None = None,
    **settings: Any,
) -> Extraction | Estimate:
    """Cache every tap of a backbone for all windows of some recordings in one HDF5 store.

    Args:
        model: as `open_backbone`. audio: a folder, a CSV manifest or a BirdCLEF folder. output: the store.
        unlabelled: every audio file below `audio`, labels unknown.
        overwrite: replace a store that does not fit.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.
        dry_run: write nothing; try a part of it, and tell the seconds, bytes and money of all and of 1,000 hours like
            it. price: of one core for one hour.
        taps, pool, sample_rate, window_s, normalise, frontend, inputs, device, precision: as `open_backbone`.
        select: windows of a clip: all, center, first, random:N or energy:N. dtype: float32 or float16.
        hop, overlap: of the windows of "all": seconds from one to the next, or the part of a window they share.
        speed: 0.1 plays ten times slower (bats, insects). bandpass: "LOW,HIGH" in Hz of the recording.
        batch_size: windows a forward pass; None: 8 on a CPU, found by a short trial on a GPU.
        jobs: local processes. cluster: address of a Dask cluster.
        classes, per_class: at most so many (a seeded choice).
        group_regex, groups, fold_regex: which clips belong together, and the folds that are given.
        column: of any table, which column is which: "label=species,path=filename,start=onset,end=offset".
        seed: of every random choice.

    Returns:
        The store's path, how many windows and clips are in it, and which clips were skipped; of a dry run an Estimate.

    Raises:
        InputError: anything wrong with what the user gave. A killed extraction is resumed by the same call.
    """
    log = listener(log, progress)
    if output is None and not dry_run:
        raise InputError("extract: -o STORE.h5 is needed, unless it is a --dry-run.")
    asked = ExtractionSettings(**settings)
    asked.check()
    if output is not None:
        check_new(Path(output), overwrite or is_there(Path(output)))  # an existing store is resumed
    recordings = choose(asked.read(audio, not unlabelled), asked.classes, asked.per_class, asked.seed)
    if recordings.kind:
        log(f"{audio}: {recordings.kind}")
    for line in recordings.warnings:
        log(f"warning: {line}")
    begun = time.perf_counter()
    backbone = asked.open(model)
    log(repr(backbone))
    log(str(backbone.verification))
    for note in backbone.architecture.notes:
        log(f"note: {note}")
    if backbone.device_check:
        log(str(backbone.device_check))
    if dry_run:
        return estimate(backbone, recordings, open_s=time.perf_counter() - begun, price=price, **asked.how)
    store = Path(output or "")
    before = store.stat().st_mtime_ns if store.is_file() else None
    done = extract_recordings(backbone, recordings, store, overwrite=overwrite, progress=progress, **asked.how)
    if before == store.stat().st_mtime_ns:
        log(f"{store}: already done, nothing is computed")
    return done
