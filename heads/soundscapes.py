"""What `birdprobe predict` and `events` call, and notebooks as `birdprobe.predict` and so on."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..features import InputError
from ..features.files import check_exists, check_new
from ..features.playback import Playback
from ..features.progress import Log, listener
from ..features.recordings.taxonomy import read_classes
from ..features.schema import checked
from ..probe.models.registry import resolve
from ..probe.runtime.providers import find_device
from ..probe.soundscapes import predict as predict_soundscapes
from ..probe.soundscapes.detect import Detected, detect
from ..probe.soundscapes.events import Rule, check_name
from ..probe.soundscapes.predict import Predicted, check_output
from ..probe.soundscapes.predictor import Predictor, open_onnx


@checked
def open_predictor(
    path: Path | str,
    model: Path | str | None = None,
    head: str | None = None,
    fold: int | None = None,
    *,
    first_pass: Path | str | None = None,
    tta: Sequence[str] = ("reverse", "gain"),
    no_call: str = "damp",
    labels: Path | str | None = None,
    activation: str = "sigmoid",
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    frontend: str | None = None,
    inputs: Sequence[str] = (),
    device: str = "auto",
    precision: str = "float32",
    threads: int | None = 1,
) -> Predictor:
    """What turns windows into probabilities: a fused file, an ONNX classifier with its labels, or a training's run.

    Args:
        path: a fused ONNX file, any ONNX classifier of waveforms, or the folder of `train` or of `finetune`.
        model: the backbone of a `train` run; without it the path that the run's store names, or the bundled Wren, if
            that is the very model.
        head, fold: one head of the run, one fold of it; None: its only head, all folds averaged.
        first_pass: a CSV of predictions, for heads over time that were trained with one.
        tta, no_call: of a fine-tuned member, see `finetune.predictor.open_member`.
        labels: a file with one label a line, which makes any ONNX classifier a predictor.
        activation: with `labels`, what turns scores into probabilities: sigmoid, softmax or none.
        sample_rate, window_s, normalise: with `labels`, the audio that it takes (Hz, seconds, see `features.windows`).
        frontend, inputs: with `labels`, what makes the spectrogram that it takes, and values of its other inputs.
        device, precision: as in `open_backbone`; of a fine-tuned member, torch's devices in float32.
        threads: of one call; several calls at a time are faster than several threads.

    Returns: called with windows float32 [n, window_samples], it gives probabilities float32 [n, K].
    Raises: InputError for whatever of this is missing or does not belong together.
    """
    path = resolve(path)
    check_exists(path, "a fused ONNX file, or a run of `birdprobe train` or `finetune`")
    if path.is_dir():
        if labels is not None:
            raise InputError(f"{path}: a run knows its labels; --labels is for an ONNX file that was not fused.")
        from ..finetune.predictor import is_run, open_member  # torch, from here on

        if is_run(path):
            on = torch_device(device, precision)
            return open_member(path, fold, tta, no_call=no_call, device=on, threads=threads)
        from .head_predictor import open_run

        return open_run(path, model, head, fold, threads, find_device(device, precision), first_pass)
    if model is not None or head is not None or fold is not None or first_pass is not None:
        raise InputError(
            f"{path}: --model, --head, --fold and --first-pass go with the folder of a training, not with an ONNX file."
        )
    return open_onnx(
        path,
        labels=labels,
        activation=activation,
        sample_rate=sample_rate,
        window_s=window_s,
        normalise=normalise,
        frontend=frontend,
        inputs=inputs,
        threads=threads,
        device=find_device(device, precision),
    )


def torch_device(device: str, precision: str) -> str:
    """Where a fine-tuned member computes. InputError: only torch's devices are offered."""
    if device not in ("auto", "cpu", "cuda") or precision != "float32":
        raise InputError(
            f"a fine-tuned member computes in torch: `--device` must be auto, cpu or cuda and `--precision` float32, "
            f"got {device} and {precision}. `birdprobe export` makes an ONNX file of it."
        )
    return device


@checked
def predict(
    model_or_run: Path | str | Predictor,
    soundscapes: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    row_s: float | None = None,
    speed: float | None = None,
    bandpass: str | None = None,
    tta_shifts: Sequence[float] = (0.0,),
    budget_minutes: float | None = None,
    taxonomy: Path | None = None,
    sample_submission: Path | str | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    command: str = "",
    started: float | None = None,
    log: Log | None = None,
    progress: bool = True,
    **opening,
) -> Predicted:
    """Soundscapes in, a validated submission out: one row a window, within a budget, resumable.

    Args:
        model_or_run: what `open_predictor` opens, or a predictor.
        soundscapes: a folder of recordings, one file, or a list of files.
        output: the CSV to write; OUT.json beside it says how.
        row_s: seconds of a row; None: the model's window.
        speed, bandpass: as in `extract`, for an ONNX file that does not say; a run and its fused file know theirs.
        tta_shifts: test-time shifts in seconds, averaged.
        budget_minutes: stop before so many have passed since `started` (a time.monotonic()) and still write all rows.
        taxonomy: a taxonomy.csv, whose classes are the columns, in its order.
        sample_submission: a CSV whose rows and columns the result gets.
        batch_size: windows a forward pass; None: 8, on a GPU 32.
        workers: files at a time; None: one a core.
        overwrite: replace an existing result.
        command: for the record in OUT.json.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.
        opening: arguments of `open_predictor`: model, head, fold, tta, no_call, labels, ...

    Returns: what was written, and how fast.
    Raises: InputError for what `open_predictor` refuses, an existing output, nothing to predict, unfitting classes.
    """
    log = listener(log, progress)
    classes = read_classes(taxonomy) if taxonomy else None  # mistakes here are told before a model is opened
    check_output(Path(output), overwrite)
    opened = _opened(model_or_run, soundscapes, log, **opening)
    return predict_soundscapes(
        opened,
        soundscapes,
        output,
        row_s=row_s,
        shifts=tta_shifts,
        playback=None if speed is None and bandpass is None else Playback.parse(speed or 1.0, bandpass),
        budget_minutes=budget_minutes,
        classes=classes,
        sample_submission=sample_submission,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        command=command,
        started=started,
        say=log,
        progress=progress,
    )


@checked
def find_events(
    model_or_run: Path | str | Predictor,
    soundscapes: Path | str | Sequence[Path | str],
    output: Path | str,
    *,
    threshold: float = 0.5,
    release: float | None = None,
    gap_s: float = 0.0,
    shortest_s: float = 0.0,
    model: Path | None = None,
    head: str | None = None,
    fold: int | None = None,
    labels: Path | None = None,
    activation: str = "sigmoid",
    sample_rate: int | None = None,
    window_s: float | None = None,
    normalise: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    log: Log | None = None,
    progress: bool = True,
) -> Detected:
    """Soundscapes in, a table of events out: which class, from when to when, how sure.

    Args:
        model_or_run: what `open_predictor` opens, or a predictor. A sound event detector says when to its frames, any
            other model to its windows.
        soundscapes: a folder of recordings, one file, or a list of files.
        output: OUT.txt or .tsv, a Raven selection table, or OUT.csv with label, onset_s, offset_s, score, notated_path.
        threshold: the probability that an event has to reach.
        release: the probability down to which it lasts; None: half the threshold.
        gap_s: events of a class that are no farther apart (seconds) become one.
        shortest_s: shorter events (seconds) are left out.
        model, head, fold, labels, activation, sample_rate, window_s, normalise: as in `open_predictor`.
        workers: files at a time; None: one a core.
        overwrite: replace an existing table.
        progress: lines and bars on stderr; False: warnings alone.
        log: hears the lines in the place of stderr.

    Returns: the table, as it was written.
    Raises: InputError for what `open_predictor` refuses, thresholds that make no sense, an existing output or one of
        another suffix, nothing to hear.
    """
    log = listener(log, progress)
    rule = Rule(threshold, release, gap_s, shortest_s)
    check_name(Path(output))
    check_new(Path(output), overwrite)
    contract = {"activation": activation, "sample_rate": sample_rate, "window_s": window_s, "normalise": normalise}
    opening = {"model": model, "head": head, "fold": fold, "labels": labels, "tta": (), "device": "cpu"}
    opened = _opened(model_or_run, soundscapes, log, **opening, **contract)
    return detect(opened, soundscapes, output, rule, workers=workers, overwrite=overwrite, say=log, progress=progress)


def _opened(
    model_or_run: Path | str | Predictor,
    soundscapes: Path | str | Sequence[Path | str],
    log: Callable[[str], None],
    **opening,
) -> Predictor:
    """The predictor, once there is something to predict; what is known of its device is told."""
    if isinstance(soundscapes, Path | str):
        check_exists(soundscapes, "a folder of soundscapes or a file")
    if not isinstance(model_or_run, Path | str):
        if not hasattr(model_or_run, "labels"):
            raise InputError(f"`model_or_run` must be a path or what `open_predictor` gives, got {model_or_run!r}.")
        return model_or_run
    opened = open_predictor(model_or_run, **opening)
    if check := getattr(opened, "device_check", None):
        log(str(check))
    return opened
