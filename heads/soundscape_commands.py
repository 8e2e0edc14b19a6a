"""Commands that turn soundscapes into predictions: here, and on Kaggle."""

from pathlib import Path
from typing import Annotated

import typer

from ..probe.cli.options import (
    Bandpass,
    Device,
    DeviceName,
    FrontEnd,
    Inputs,
    Normalise,
    Overwrite,
    Precision,
    PrecisionName,
    SampleRate,
    Window,
    out,
)
from ..probe.cli.prediction_options import (
    ROWS,
    Activation,
    Budget,
    Gaussian,
    Genus,
    Group,
    Head,
    Labels,
    ModelOrRun,
    OneFold,
    Power,
    PriorWeight,
    RowSeconds,
    RunModel,
    SampleSubmission,
    Shifts,
    Smoothed,
    Soundscapes,
    Workers,
)
from ..probe.cli.terminal import command_line, say


def predict(
    model_or_run: ModelOrRun,
    soundscapes: Soundscapes,
    output: Annotated[Path, out("OUT.csv", "The submission to write; OUT.json beside it says how.")],
    model: RunModel = None,
    head: Head = None,
    fold: OneFold = None,
    first_pass: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Other predictions, for a head trained with --first-pass CSV.")
    ] = None,
    row_s: RowSeconds = None,
    tta_shifts: Shifts = "0",
    tta: Annotated[
        str, typer.Option(help="Of a fine-tuned member: reverse, gain, gain:DB; empty for none.", rich_help_panel=ROWS)
    ] = "reverse,gain",
    no_call: Annotated[
        str, typer.Option(help="A member's trained class nocall: damp the others, drop, keep.", rich_help_panel=ROWS)
    ] = "damp",
    budget_minutes: Budget = None,
    taxonomy: Annotated[
        Path | None, typer.Option(help="taxonomy.csv: the columns, in its order.", rich_help_panel=ROWS)
    ] = None,
    sample_submission: SampleSubmission = None,
    labels: Labels = None,
    activation: Activation = "sigmoid",
    sample_rate: SampleRate = None,
    window_s: Window = None,
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
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Soundscapes in, a validated submission out: one row a window, within a budget, resumable."""
    given = dict(locals(), device=device.value, precision=precision.value, inputs=tuple(inputs or ()))
    import time

    started = time.monotonic()  # a budget counts from here
    from ..probe.soundscapes.placement import shifts_of
    from .soundscapes import predict

    given["tta_shifts"], given["tta"] = shifts_of(tta_shifts), tuple(part for part in tta.split(",") if part)
    print(predict(**given, command=command_line(), started=started))


def events(
    model_or_run: ModelOrRun,
    soundscapes: Soundscapes,
    output: Annotated[Path, out("OUT", "The table: OUT.txt (or .tsv) for Raven, OUT.csv with onset and offset.")],
    threshold: Annotated[float, typer.Option(help="Probability that an event has to reach.")] = 0.5,
    release: Annotated[
        float | None, typer.Option(help="Probability down to which it lasts; half the threshold.")
    ] = None,
    gap_s: Annotated[
        float, typer.Option("--gap", metavar="SECONDS", help="Events of a class no farther apart become one.")
    ] = 0.0,
    shortest_s: Annotated[
        float, typer.Option("--shortest", metavar="SECONDS", help="Shorter events are left out.")
    ] = 0.0,
    model: RunModel = None,
    head: Head = None,
    fold: OneFold = None,
    labels: Labels = None,
    activation: Activation = "sigmoid",
    sample_rate: SampleRate = None,
    window_s: Window = None,
    normalise: Normalise = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
) -> None:
    """Soundscapes in, a table of events out: which class, from when to when, for Raven or as CSV."""
    given = locals()
    from .soundscapes import find_events

    print(find_events(**given))


def kernel(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of `train`, or a fused ONNX file.")],
    output: Annotated[Path, out("DIR", "The folder to write: notebook, metadata, package.")],
    model: RunModel = None,
    head: Head = None,
    fold: OneFold = None,
    competition: Annotated[str, typer.Option(help="Its name on Kaggle.")] = "birdclef-2026",
    user: Annotated[str, typer.Option(help="Your name on Kaggle.")] = "YOUR-KAGGLE-NAME",
    row_s: Annotated[float, typer.Option("--row", metavar="SECONDS", help="Of a row.")] = 5.0,
    tta_shifts: Shifts = "0",
    budget_minutes: Annotated[float, typer.Option(help="What the competition allows.")] = 90.0,
    taxonomy: Smoothed = None,
    genus: Genus = 0.15,
    group: Group = 0.05,
    prior: Annotated[Path | None, typer.Option(help="JSON of a site/hour prior, as `blend --prior` leaves it.")] = None,
    prior_weight: PriorWeight = None,
    gaussian: Gaussian = None,
    power: Power = None,
    overwrite: Overwrite = False,
) -> None:
    """An offline Kaggle notebook that predicts with this run, with its metadata and a packed folder."""
    given = locals()
    from ..features.progress import working

    with working("loading", say):
        from ..probe.soundscapes.placement import shifts_of
        from .kaggle import write_kernel
    given["tta_shifts"] = shifts_of(tta_shifts)
    print(write_kernel(**given))
