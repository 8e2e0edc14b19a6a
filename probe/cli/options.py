"""Options that several commands share, each written once."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ...features.files import check_parents, explained
from ...features.schema import MOST_SEED

# An option in a panel of --help.
recordings = partial(typer.Option, rich_help_panel="Recordings")
features = partial(typer.Option, rich_help_panel="Backbone and features")
ranking = partial(typer.Option, rich_help_panel="Ranking")
machine = partial(typer.Option, rich_help_panel="Machine")


Metric = StrEnum("Metric", ["euclidean", "cosine"])
Unit = StrEnum("Unit", ["clip", "window"])
DType = StrEnum("DType", ["float32", "float16"])
DeviceName = StrEnum("DeviceName", ["auto", "cpu", "cuda", "tensorrt", "openvino", "coreml", "directml"])
PrecisionName = StrEnum("PrecisionName", ["float32", "tf32", "float16"])
Projection = StrEnum("Projection", ["umap", "pca", "none"])
ScoreName = StrEnum("ScoreName", ["auto", "top1", "auc", "cmap"])
TestGroups = StrEnum("TestGroups", ["file", "site"])
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="An ONNX file that takes a waveform, or a name of `birdprobe models`.")
]
Audio = Annotated[
    Path,
    typer.Argument(
        metavar="AUDIO",
        help="A folder with a sub-folder per class, a table of labels (CSV, Raven, Audacity, ...), a BirdCLEF folder.",
    ),
]
Taps = Annotated[
    str, features(help="`all`, or block numbers (negatives count from the end), names and ranges, comma-separated.")
]
Pool = Annotated[
    str, features(help="How a map becomes a vector: mean, max, std, cls, grid or grid:HxW; several are taps each.")
]
Select = Annotated[str, features(help="Windows of a clip: all, center, first, random:N or energy:N.")]
Dtype = Annotated[DType, features(help="Number type of the cached features.")]
SampleRate = Annotated[int | None, features(metavar="HZ", help="The model's sample rate, where it is not known.")]
Hop = Annotated[float | None, features(metavar="SECONDS", help="From one window to the next, with --select all.")]
Overlap = Annotated[float | None, features(metavar="PART", help="Or by which part of a window they overlap: 0.5.")]
Speed = Annotated[float, features(help="0.1 plays recordings ten times slower, for bats and insects.")]
Bandpass = Annotated[
    str | None, features(metavar="LOW,HIGH", help="Hz of the recording that a filter lets through: 1000,12000.")
]
Column = Annotated[
    str | None,
    recordings(
        metavar="FIELD=COLUMN,...",
        help="Of any table: label=species,path=file; also start, end, duration, group, fold.",
    ),
]
TestColumn = Annotated[str | None, recordings(metavar="FIELD=COLUMN,...", help="The same of the test's table.")]
Window = Annotated[
    float | None, features("--window", metavar="SECONDS", help="The model's window, where it is not known.")
]
Normalise = Annotated[
    str | None, features(help="none, peak (per window: mean off, peak to 0.25) or file-peak (whole file to 1).")
]
Jobs = Annotated[int, machine(metavar="N", min=1, help="Local processes, each with its own shard of the recordings.")]
Cluster = Annotated[str | None, machine(metavar="ADDRESS", help="Run the shards on this Dask cluster.")]
Classes = Annotated[int | None, recordings(min=1, metavar="N", help="Take at most N classes (seeded choice).")]
PerClass = Annotated[int | None, recordings(min=1, metavar="N", help="Take at most N clips a class (seeded choice).")]
FrontEnd = Annotated[
    str | None,
    features(
        metavar="SPEC",
        help="What makes the spectrogram that MODEL takes, such as mel:n_fft=2048,n_mels=128,db; or "
        "stft:..., or a convention: timm-birdclef, ast, beats, whisper, panns, librosa, torchaudio, kaldi, batdetect2.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    features("--input", metavar="NAME=VALUE", help="Value of another input of MODEL: a number, zeros or ones."),
]
BatchSize = Annotated[
    int | None,
    machine(min=1, metavar="N", help="Windows a forward pass; 8 on a CPU otherwise, found by a short trial on a GPU."),
]
Device = Annotated[
    DeviceName,
    machine(
        metavar="NAME",
        help="auto (CUDA where it answers, else CPU), cpu, cuda, tensorrt, openvino, coreml or directml.",
    ),
]
Precision = Annotated[
    PrecisionName,
    machine(metavar="TYPE", help="float32, tf32 or float16; checked against the CPU in float32 before it is believed."),
]
GroupRegex = Annotated[
    str | None, recordings(metavar="RE", help="Searched in the file name; its first group names clips not to be split.")
]
Groups = Annotated[str | None, recordings(metavar="COLUMN", help="The table's column that names the group.")]
FoldRegex = Annotated[
    str | None,
    recordings(metavar="RE", help="Searched in the file name; its first group is the clip's fold, as given."),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of every random choice.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing result.")]
Readout = Annotated[
    str, ranking(help="`all`, or some of knn, knn-cosine, knn-standard, centroid, linear, logistic, attentive.")
]
MinPerClass = Annotated[
    int | None, recordings(min=2, metavar="N", help="Classes with fewer clips are left out; the folds otherwise.")
]
Test = Annotated[
    Path | None,
    recordings(metavar="AUDIO", help="Labelled recordings to test on, such as soundscapes; fitted on AUDIO alone."),
]
Shots = Annotated[
    str | None,
    ranking(
        metavar="N,N,...",
        help="Also score against training clips a class, such as 1,2,4,8,16,32: the embedding and the best taps.",
    ),
]
Planes = Annotated[
    bool, ranking("--planes", help="Also score every tap in a plane of its own, by the method of --projection.")
]
Control = Annotated[
    bool,
    ranking("--control", help="Also sweep the same architecture with random weights: how much of a score was learned?"),
]
K = Annotated[int, ranking(metavar="N", min=1, help="Neighbours that vote.")]
Folds = Annotated[int, recordings(metavar="N", min=2, help="Folds, unless they are given with the clips.")]


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
