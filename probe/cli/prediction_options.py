"""Options that the commands on predictions share, each written once."""

from pathlib import Path
from typing import Annotated

import typer

ROWS, CLASSIFIER, STEPS = "Rows and columns", "Any ONNX classifier", "Post-processing"  # panels of --help

ModelOrRun = Annotated[
    Path, typer.Argument(metavar="MODEL_OR_RUN", help="A run of `train` or `finetune`, or an ONNX file.")
]
Soundscapes = Annotated[Path, typer.Argument(metavar="SOUNDSCAPES", help="A folder of recordings, or one file.")]
RunModel = Annotated[
    Path | None, typer.Option("--model", help="The run's backbone, where it is not where its store was made from.")
]
Head = Annotated[str | None, typer.Option(help="Which of the run's heads; its only one otherwise.")]
OneFold = Annotated[int | None, typer.Option("--fold", min=0, help="One fold's model; all of them averaged otherwise.")]
RowSeconds = Annotated[
    float | None, typer.Option("--row", metavar="SECONDS", help="Of a row; the model's window otherwise.")
]
Shifts = Annotated[str, typer.Option(help="Test-time shifts in seconds, averaged: 0,1,-1.", rich_help_panel=ROWS)]
Budget = Annotated[float | None, typer.Option(help="Stop before so many minutes and still write a whole, valid file.")]
SampleSubmission = Annotated[
    Path | None, typer.Option(help="A CSV whose rows and columns the result gets.", rich_help_panel=ROWS)
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="One label a line: makes any ONNX classifier of waveforms a predictor.", rich_help_panel=CLASSIFIER
    ),
]
Activation = Annotated[str, typer.Option(help="With --labels: sigmoid, softmax or none.", rich_help_panel=CLASSIFIER)]
Workers = Annotated[int | None, typer.Option(min=1, help="Files at a time; one a core otherwise.")]
Smoothed = Annotated[
    Path | None, typer.Option(help="taxonomy.csv: pull classes to their genus and class.", rich_help_panel=STEPS)
]
Genus = Annotated[float, typer.Option(help="Pull to the genus' mean.", rich_help_panel=STEPS)]
Group = Annotated[float, typer.Option("--class", help="Pull to the class_name's mean.", rich_help_panel=STEPS)]
PriorWeight = Annotated[float | None, typer.Option(help="laplace 0.5, shrunk 0.4 otherwise.", rich_help_panel=STEPS)]
Gaussian = Annotated[
    float | None, typer.Option(help="Smooth over a file's rows: sigma in rows.", rich_help_panel=STEPS)
]
Power = Annotated[
    float | None, typer.Option(help="Times the file's confidence to this power: 0.4.", rich_help_panel=STEPS)
]
