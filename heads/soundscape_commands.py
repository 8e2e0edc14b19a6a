"""Commands that turn soundscapes into predictions: here, and on Kaggle."""

from pathlib import Path
from typing import Annotated

import typer

from ..features import InputError
from ..probe.cli.options import (
    Bandpass,
    Budget,
    Device,
    DeviceName,
    FrontEnd,
    Head,
    Inputs,
    Normalise,
    OneFold,
    Overwrite,
    Precision,
    PrecisionName,
    RowSeconds,
    SampleRate,
    Window,
    out,
)
from ..probe.cli.terminal import command_line, say


def predict(
    model_or_run: Annotated[
        Path, typer.Argument(metavar="MODEL_OR_RUN", help="A fused ONNX file, or a run of `train` or `finetune`.")
    ],
    soundscapes: Annotated[Path, typer.Argument(metavar="SOUNDSCAPES", help="A folder of recordings, or one file.")],
    output: Annotated[Path, out("OUT.csv", "The submission to write; OUT.json beside it says how.")],
    model: Annotated[
        Path | None, typer.Option(help="The run's backbone, where it is no longer where its store was made from.")
    ] = None,
    head: Head = None,
    fold: OneFold = None,
    row: RowSeconds = None,
    tta_shifts: Annotated[str, typer.Option(help="Test-time shifts in seconds, averaged: 0,1,-1.")] = "0",
    tta: Annotated[
        str, typer.Option(help="Of a fine-tuned member: reverse, gain, gain:DB; empty for none.")
    ] = "reverse,gain",
    no_call: Annotated[
        str, typer.Option(help="A member's trained class nocall: damp the others, drop, keep.")
    ] = "damp",
    budget_minutes: Budget = None,
    taxonomy: Annotated[Path | None, typer.Option(help="taxonomy.csv: the columns, in its order.")] = None,
    sample_submission: Annotated[
        Path | None, typer.Option(help="A CSV whose rows and columns the result gets.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="One label a line: makes any ONNX classifier of waveforms a predictor.")
    ] = None,
    activation: Annotated[str, typer.Option(help="With --labels: sigmoid, softmax or none.")] = "sigmoid",
    sample_rate: SampleRate = None,
    window: Window = None,
    normalise: Normalise = None,
    frontend: FrontEnd = None,
    inputs: Inputs = None,
    speed: Annotated[
        float | None, typer.Option(help="0.1: ten times slower; a trained run or its fused file know theirs.")
    ] = None,
    bandpass: Bandpass = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows a forward pass; 8, on a GPU 32.")] = None,
    device: Device = DeviceName.auto,
    precision: Precision = PrecisionName.float32,
    workers: Annotated[int | None, typer.Option(min=1, help="Files at a time; one a core otherwise.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Soundscapes in, a validated submission out: one row a window, within a budget, resumable."""
    import time

    started = time.monotonic()  # a budget counts from here
    from ..features.playback import Playback
    from ..features.recordings.taxonomy import read_classes
    from ..probe.soundscapes import predict as run
    from ..probe.soundscapes.placement import shifts_of
    from .predictor import open_predictor

    if model_or_run.is_dir() and any(model_or_run.glob("fold*/*.safetensors")):
        from ..finetune.predictor import open_member

        folds = "all" if fold is None else fold
        predictor = open_member(
            *(model_or_run, folds, tuple(part for part in tta.split(",") if part)),
            no_call=no_call,
            device=torch_device(device.value, precision.value),
        )
    else:
        predictor = open_predictor(
            model_or_run,
            model,
            head,
            fold,
            labels=labels,
            activation=activation,
            sample_rate=sample_rate,
            window_s=window,
            normalise=normalise,
            frontend=frontend,
            inputs=tuple(inputs or ()),
            device=device.value,
            precision=precision.value,
        )
        if check := getattr(predictor, "device_check", None):
            say(str(check))
    done = run(
        predictor,
        soundscapes,
        output,
        row_s=row,
        shifts=shifts_of(tta_shifts),
        playback=None if speed is None and bandpass is None else Playback.parse(speed or 1.0, bandpass),
        budget_minutes=budget_minutes,
        classes=read_classes(taxonomy) if taxonomy else None,
        sample_submission=sample_submission,
        batch_size=batch_size,
        workers=workers,
        overwrite=overwrite,
        command=command_line(),
        started=started,
        say=say,
    )
    print(done)


def torch_device(device: str, precision: str) -> str:
    """Where a fine-tuned member computes. InputError: only torch's devices are offered."""
    if device not in ("auto", "cpu", "cuda") or precision != "float32":
        raise InputError(
            f"a fine-tuned member computes in torch: `--device` must be auto, cpu or cuda and `--precision` float32, "
            f"got {device} and {precision}. `birdprobe export` makes an ONNX file of it."
        )
    return device


def kernel(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of `train`, or a fused ONNX file.")],
    output: Annotated[Path, out("DIR", "The folder to write: notebook, metadata, package.")],
    model: Annotated[Path | None, typer.Option(help="The run's backbone, where it has moved.")] = None,
    head: Head = None,
    fold: OneFold = None,
    competition: Annotated[str, typer.Option(help="Its name on Kaggle.")] = "birdclef-2026",
    user: Annotated[str, typer.Option(help="Your name on Kaggle.")] = "YOUR-KAGGLE-NAME",
    row: Annotated[float, typer.Option(help="Seconds of a row.")] = 5.0,
    tta_shifts: Annotated[str, typer.Option(help="Test-time shifts in seconds: 0,1,-1.")] = "0",
    budget_minutes: Annotated[float, typer.Option(help="What the competition allows.")] = 90.0,
    taxonomy: Annotated[Path | None, typer.Option(help="taxonomy.csv, for taxonomic smoothing.")] = None,
    genus: Annotated[float, typer.Option(help="Pull to the genus' mean.")] = 0.15,
    group: Annotated[float, typer.Option("--class", help="Pull to the class_name's mean.")] = 0.05,
    prior: Annotated[Path | None, typer.Option(help="JSON of a site/hour prior, as `blend --prior` leaves it.")] = None,
    prior_weight: Annotated[float | None, typer.Option(help="laplace 0.5, shrunk 0.4 otherwise.")] = None,
    gaussian: Annotated[float | None, typer.Option(help="Smooth over a file's rows: sigma in rows.")] = None,
    power: Annotated[float | None, typer.Option(help="Times the file's confidence to this power.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """An offline Kaggle notebook that predicts with this run, with its metadata and a packed folder."""
    from ..probe.soundscapes.placement import shifts_of
    from .kaggle import write

    print(
        write(
            run,
            output,
            model=model,
            head=head,
            fold=fold,
            competition=competition,
            taxonomy=taxonomy,
            genus=genus,
            group=group,
            prior=prior,
            prior_weight=prior_weight,
            gaussian=gaussian,
            power=power,
            shifts=shifts_of(tta_shifts),
            row_s=row,
            budget_minutes=budget_minutes,
            user=user,
            overwrite=overwrite,
            say=say,
        )
    )
