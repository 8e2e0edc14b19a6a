"""Options that several commands share, each written once."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ...features import InputError
from ...features.files import check_parents, explained
from ...features.seeds import MOST_SEED

RECORDINGS, FEATURES, RANKING, MACHINE = "Recordings", "Backbone and features", "Ranking", "Machine"  # panels of --help


class Metric(StrEnum):
    euclidean = "euclidean"
    cosine = "cosine"


class Unit(StrEnum):
    clip = "clip"
    window = "window"


class DType(StrEnum):
    float32 = "float32"
    float16 = "float16"


class DeviceName(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    tensorrt = "tensorrt"
    openvino = "openvino"
    coreml = "coreml"
    directml = "directml"


class PrecisionName(StrEnum):
    float32 = "float32"
    tf32 = "tf32"
    float16 = "float16"


class Projection(StrEnum):
    umap = "umap"
    pca = "pca"
    none = "none"


class ScoreName(StrEnum):
    auto = "auto"
    top1 = "top1"
    auc = "auc"
    cmap = "cmap"


class TestGroups(StrEnum):
    file = "file"
    site = "site"


Model = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="An ONNX file that takes a waveform, or a name of `birdprobe models`."),
]
Audio = Annotated[
    Path,
    typer.Argument(
        metavar="AUDIO",
        help="A folder with a sub-folder per class, a table of labels (CSV, Raven, Audacity, ...), a BirdCLEF folder.",
    ),
]
Taps = Annotated[
    str,
    typer.Option(
        help="`all`, or block numbers (negatives count from the end), names and ranges, comma-separated.",
        rich_help_panel=FEATURES,
    ),
]
Pool = Annotated[
    str,
    typer.Option(
        help="How a map becomes a vector: mean, max, std, cls, grid or grid:HxW; several are taps each.",
        rich_help_panel=FEATURES,
    ),
]
Select = Annotated[
    str, typer.Option(help="Windows of a clip: all, center, first, random:N or energy:N.", rich_help_panel=FEATURES)
]
Dtype = Annotated[DType, typer.Option(help="Number type of the cached features.", rich_help_panel=FEATURES)]
SampleRate = Annotated[
    int | None,
    typer.Option(metavar="HZ", help="The model's sample rate, where it is not known.", rich_help_panel=FEATURES),
]
Hop = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="From one window to the next, with --select all.", rich_help_panel=FEATURES),
]
Overlap = Annotated[
    float | None,
    typer.Option(metavar="PART", help="Or by which part of a window they overlap: 0.5.", rich_help_panel=FEATURES),
]
Speed = Annotated[
    float, typer.Option(help="0.1 plays recordings ten times slower, for bats and insects.", rich_help_panel=FEATURES)
]
Bandpass = Annotated[
    str | None,
    typer.Option(
        metavar="LOW,HIGH", help="Hz of the recording that a filter lets through: 1000,12000.", rich_help_panel=FEATURES
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        metavar="FIELD=COLUMN,...",
        help="Of any table: label=species,path=filename,start=onset,end=offset (duration, group, fold).",
        rich_help_panel=RECORDINGS,
    ),
]
TestColumn = Annotated[
    str | None,
    typer.Option(metavar="FIELD=COLUMN,...", help="The same of the test's table.", rich_help_panel=RECORDINGS),
]
Window = Annotated[
    float | None,
    typer.Option(
        "--window", metavar="SECONDS", help="The model's window, where it is not known.", rich_help_panel=FEATURES
    ),
]
Normalise = Annotated[
    str | None,
    typer.Option(
        help="none, peak (per window: mean off, peak to 0.25) or file-peak (whole file to 1).", rich_help_panel=FEATURES
    ),
]
Jobs = Annotated[
    int,
    typer.Option(min=1, help="Local processes, each with its own shard of the recordings.", rich_help_panel=MACHINE),
]
Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run the shards on this Dask cluster.", rich_help_panel=MACHINE)
]
Classes = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Take at most N classes (seeded choice).", rich_help_panel=RECORDINGS),
]
PerClass = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Take at most N clips a class (seeded choice).", rich_help_panel=RECORDINGS),
]
FrontEnd = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="What makes the spectrogram that MODEL takes, such as mel:n_fft=2048,hop=512,n_mels=128,fmin=20,db; or "
        "a convention: timm-birdclef, ast, beats, panns, librosa, torchaudio, kaldi, batdetect2.",
        rich_help_panel=FEATURES,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=VALUE",
        help="Value of another input of MODEL: a number, zeros or ones.",
        rich_help_panel=FEATURES,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Windows a forward pass; 8 on a CPU otherwise, found by a short trial on a GPU.",
        rich_help_panel=MACHINE,
    ),
]
Device = Annotated[
    DeviceName,
    typer.Option(help="Where it computes; auto: CUDA where it answers, else the CPU.", rich_help_panel=MACHINE),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        help="What it computes in; checked against the CPU in float32 before it is believed.", rich_help_panel=MACHINE
    ),
]
GroupRegex = Annotated[
    str | None,
    typer.Option(
        metavar="RE",
        help="Searched in the file name; its first group names clips not to be split.",
        rich_help_panel=RECORDINGS,
    ),
]
Groups = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The table's column that names the group.", rich_help_panel=RECORDINGS),
]
FoldRegex = Annotated[
    str | None,
    typer.Option(
        metavar="RE",
        help="Searched in the file name; its first group is the clip's fold, as given.",
        rich_help_panel=RECORDINGS,
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of every random choice.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Readout = Annotated[
    str,
    typer.Option(
        help="`all`, or some of knn, knn-cosine, knn-standard, centroid, linear, logistic, attentive, comma-separated.",
        rich_help_panel=RANKING,
    ),
]
MinPerClass = Annotated[
    int | None,
    typer.Option(
        min=2,
        metavar="N",
        help="Classes with fewer clips are left out; the folds otherwise.",
        rich_help_panel=RECORDINGS,
    ),
]
Test = Annotated[
    Path | None,
    typer.Option(
        metavar="AUDIO",
        help="Labelled recordings to test on, such as soundscapes; fitted on AUDIO alone.",
        rich_help_panel=RANKING,
    ),
]
Shots = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Also score against training clips a class, such as 1,2,4,8,16,32: the embedding and the best taps.",
        rich_help_panel=RANKING,
    ),
]
Planes = Annotated[
    bool,
    typer.Option(
        "--planes",
        help="Also score every tap in a plane of its own, by the method of --projection.",
        rich_help_panel=RANKING,
    ),
]
K = Annotated[int, typer.Option(min=1, help="Neighbours that vote.", rich_help_panel=RANKING)]
Folds = Annotated[
    int, typer.Option(min=2, help="Folds, unless they are given with the clips.", rich_help_panel=RECORDINGS)
]


# What `extract` and `sweep` are told about clips, backbone and machine: name -> (option, default).
EXTRACTION: dict[str, tuple[Any, Any]] = {
    "taps": (Taps, "all"),
    "pool": (Pool, "mean"),
    "select": (Select, "all"),
    "hop": (Hop, None),
    "overlap": (Overlap, None),
    "speed": (Speed, 1.0),
    "bandpass": (Bandpass, None),
    "dtype": (Dtype, DType.float32),
    "sample_rate": (SampleRate, None),
    "window_s": (Window, None),
    "normalise": (Normalise, None),
    "frontend": (FrontEnd, None),
    "inputs": (Inputs, None),
    "batch_size": (BatchSize, None),
    "device": (Device, DeviceName.auto),
    "precision": (Precision, PrecisionName.float32),
    "jobs": (Jobs, 1),
    "cluster": (Cluster, None),
    "classes": (Classes, None),
    "per_class": (PerClass, None),
    "group_regex": (GroupRegex, None),
    "groups": (Groups, None),
    "fold_regex": (FoldRegex, None),
    "column": (Column, None),
    "seed": (Seed, 0),
    "overwrite": (Overwrite, False),
}


def with_options(options: Mapping[str, tuple[Any, Any]]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command that takes these options as well, as its `**given`: name -> (option, default)."""

    def extended(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function)
        named = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
            for name, (option, default) in options.items()
        ]
        function.__signature__ = own.replace(parameters=[*named, *more])  # type: ignore[attr-defined]
        function.__annotations__ |= {name: option for name, (option, _) in options.items()}
        return function

    return extended


def plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was typed as the functions take it: text for its choice, several inputs as a tuple."""
    values = {name: getattr(value, "value", value) for name, value in given.items()}
    return values | {"inputs": tuple(values["inputs"] or ())}


def out(metavar: str, text: str):
    """The option of a command's output, whose place is tried before anything else is done."""
    return typer.Option("--output", "-o", metavar=metavar, help=text, callback=writable)


def writable(output: Path | None) -> Path | None:
    """The same. InputError: nothing can be written there."""
    if output is not None:
        with explained(output):
            check_parents(output if output.is_dir() else output.parent)
    return output


def numbers(option: str, text: str) -> tuple[float, ...]:
    """`0.6,0.4` -> (0.6, 0.4)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: {text!r} found, numbers with commas wanted.") from None
