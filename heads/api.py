"""What `birdprobe train`, `predict` and `events` call, and notebooks as `birdprobe.train` and so on."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..features import InputError
from ..features.csv_files import write_csv
from ..features.output_folder import adding
from ..features.playback import Playback
from ..features.recordings.taxonomy import read_classes
from ..probe.models.registry import resolve
from ..probe.runtime.providers import find_device
from ..probe.soundscapes import predict as predict_soundscapes
from ..probe.soundscapes.detect import Detected, detect
from ..probe.soundscapes.events import Rule
from ..probe.soundscapes.predict import Predicted
from ..probe.soundscapes.predictor import Predictor, open_onnx

if TYPE_CHECKING:
    from .training.train import Trained

AGREEING = 6  # taps from which on a head's weights are compared with the probe; the three published ones show nothing


def train(
    stores: Sequence[Path],
    output: Path | str,
    *,
    taps: str = "all",
    head: str = "attention",
    folds: int = 5,
    fold_by: str | None = None,
    loss: str = "bce",
    epochs: int = 50,
    patience: int = 10,
    batch_size: int | None = None,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    mixup: float = 0.2,
    fractions: Sequence[float] = (0.75, 0.15, 0.10),
    unit: str = "clip",
    sequence_length: int = 12,
    first_pass: str | None = None,
    backbone_labels: Path | None = None,
    renames: Path | None = None,
    taxonomy: Path | None = None,
    sweep: Path | None = None,
    pseudo_from: Path | None = None,
    pseudo_head: str | None = None,
    pseudo_keep: float = 0.5,
    pseudo_power: float = 1.0,
    pseudo_mask: str = "none",
    seed: int = 0,
    overwrite: bool = False,
    command: str = "",
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> "Trained":
    """Train heads on cached features over folds; score, compare and draw them.

    Args:
        stores: focal clips; then labelled soundscapes, which early stopping watches; then windows to pseudo-label.
        output: the run's folder, see `heads.training.results` for its files.
        taps: as in `extract`; differences as 24-23; auto:N chooses N taps by forward selection.
        head: kinds of `heads.training.specs.KINDS`, comma-separated, own taps after a colon:
            `attention,linear:embedding`; `sequence` is the two plain heads over time.
        folds, fold_by: see `heads.training.folds.make_folds`.
        loss, epochs, batch_size, lr, weight_decay, mixup, fractions, unit: see `heads.training.loop.Settings`.
        sequence_length: windows of a recording that heads over time read at once, at most.
        first_pass: what heads over time take other predictions from, see `heads.sequences.first_pass`.
        backbone_labels: the backbone's list of labels, for `logits`; None: of its metadata, or beside its file.
        renames: a table (class, output) of which outputs are a class's, before all names.
        patience: epochs without a better held-out score; 0 trains all.
        taxonomy: a taxonomy.csv whose primary_label column is the classes, in its order.
        sweep: a sweep's folder, to compare the heads' weights with its k-NN; None computes the k-NN here.
        pseudo_from, pseudo_head: a run, and which of its heads labels the third store.
        pseudo_keep, pseudo_power, pseudo_mask: see `heads.training.pseudo_labels.Gate`.
        seed: of folds, weights and batches.
        overwrite: replace a finished run.
        command: for the record in config.json.
        log: hears what happens, line by line.
        progress: draw a bar on a terminal.

    Returns: the tables of the run, and what was chosen and compared on the way.
    Raises: InputError for anything wrong with what the user gave.
    """
    from ..figures.gallery import save
    from .agreement import agree
    from .training.loop import Settings
    from .training.pseudo_labels import Gate
    from .training.tap_selection import choose_taps, wanted
    from .training.train import train

    settings = Settings(
        loss=loss,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=lr,
        weight_decay=weight_decay,
        mixup=mixup,
        patience=patience or None,
        fractions=tuple(fractions),
        folds=folds,
        fold_by=fold_by,
        unit=unit,
        sequence_length=sequence_length,
        seed=seed,
    )
    gate = Gate(pseudo_keep, pseudo_power, pseudo_mask)
    labels = read_classes(taxonomy) if taxonomy else None
    chosen = choose_taps(stores, n, settings, labels) if (n := wanted(taps)) else None
    if chosen:
        taps = ",".join(chosen.taps)
        log(f"taps chosen: {taps}")
    trained = train(
        stores,
        Path(output),
        settings,
        taps=taps,
        heads=head,
        labels=labels,
        taxonomy=taxonomy,
        first_pass=first_pass,
        backbone_labels=backbone_labels,
        renames=renames,
        pseudo_from=pseudo_from,
        pseudo_head=pseudo_head,
        pseudo_gate=gate,
        overwrite=overwrite,
        command=command,
        log=log,
        progress=progress,
    )
    if chosen:
        with adding(trained.run) as draft:
            write_csv(chosen.table, draft / "selection.csv", index=False, float_format="%.6g")
    agreed = None
    if trained.tap_weights["tap"].nunique() >= AGREEING:
        log("probe against head")
        agreed = agree(trained.run, sweep)
        save(trained.run, ["agreement"])
    return replace(trained, selection=chosen, agreement=agreed)


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
    if path.is_dir():
        if labels is not None:
            raise InputError(f"{path}: a run knows its labels; --labels is for an ONNX file that was not fused.")
        from ..finetune.predictor import is_run, open_member  # torch, from here on

        if is_run(path):
            on = torch_device(device, precision)
            return open_member(path, fold, tta, no_call=no_call, device=on, threads=threads)
        from .head_predictor import open_run

        return open_run(path, model, head, fold, threads, find_device(device, precision), first_pass)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; expected a fused .onnx or the folder of a training.")
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
    log: Callable[[str], None] = lambda line: None,
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
        log: hears warnings and what happens, line by line.
        progress: draw a bar on a terminal.
        opening: arguments of `open_predictor`: model, head, fold, tta, no_call, labels, ...

    Returns: what was written, and how fast.
    Raises: InputError for what `open_predictor` refuses, an existing output, nothing to predict, unfitting classes.
    """
    classes = read_classes(taxonomy) if taxonomy else None  # mistakes here are told before a model is opened
    if isinstance(soundscapes, Path | str) and not Path(soundscapes).exists():
        raise InputError(f"{soundscapes}: expected a folder of soundscapes or a file, got nothing.")
    if isinstance(model_or_run, Path | str):
        model_or_run = open_predictor(model_or_run, **opening)
        if check := getattr(model_or_run, "device_check", None):
            log(str(check))
    return predict_soundscapes(
        model_or_run,
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
    log: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Detected:
    """Soundscapes in, a table of events out: which class, from when to when, how sure.

    Args:
        model_or_run: what `open_predictor` opens, or a predictor. A sound event detector says when to its frames, any
            other model to its windows.
        soundscapes: a folder of recordings, one file, or a list of files.
        output: OUT.txt, a Raven selection table, or OUT.csv with label, onset_s, offset_s, score, notated_path.
        threshold: the probability that an event has to reach.
        release: the probability down to which it lasts; None: half the threshold.
        gap_s: events of a class that are no farther apart (seconds) become one.
        shortest_s: shorter events (seconds) are left out.
        model, head, fold, labels, activation, sample_rate, window_s, normalise: as in `open_predictor`.
        workers: files at a time; None: one a core.
        overwrite: replace an existing table.
        log: hears warnings, line by line.
        progress: draw a bar on a terminal.

    Returns: the table, as it was written.
    Raises: InputError for what `open_predictor` refuses, thresholds that make no sense, an existing output or one of
        another suffix, nothing to hear.
    """
    rule = Rule(threshold, release, gap_s, shortest_s)
    if isinstance(soundscapes, Path | str) and not Path(soundscapes).exists():
        raise InputError(f"{soundscapes}: expected a folder of soundscapes or a file, got nothing.")
    if isinstance(model_or_run, Path | str):
        model_or_run = open_predictor(
            *(model_or_run, model, head, fold),
            tta=(),
            labels=labels,
            activation=activation,
            sample_rate=sample_rate,
            window_s=window_s,
            normalise=normalise,
            device="cpu",
        )
    return detect(
        *(model_or_run, soundscapes, output, rule), workers=workers, overwrite=overwrite, say=log, progress=progress
    )
