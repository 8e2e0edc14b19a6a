"""Commands that train on cached features, and pack what was trained."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..features.schema import numbers
from ..probe.cli.options import Folds, Model, Overwrite, Seed, Unit, out
from ..probe.cli.prediction_options import Head, OneFold
from ..probe.cli.terminal import command_line, print_choice, say

training = partial(typer.Option, rich_help_panel="Training")
pseudo_labels = partial(typer.Option, rich_help_panel="Pseudo-labels")
first = partial(typer.Option, rich_help_panel="First pass")


def train(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Focal clips; labelled soundscapes; windows to pseudo-label."),
    ],
    output: Annotated[Path, out("RUN", "The folder to write the run into.")],
    taps: Annotated[str, typer.Option(help="As in extract; differences as 24-23; auto:N chooses N taps.")] = "all",
    head: Annotated[
        str,
        typer.Option(
            help="attention, scalarmix, concat, linear; over time protossm, residual-ssm, sequence; first passes "
            "mapped-logits, probe-pca; several with commas, own taps after a colon."
        ),
    ] = "attention",
    folds: Folds = 5,
    fold_by: Annotated[str | None, typer.Option(help="group, file or given; the default fits the stores.")] = None,
    loss: Annotated[str, training(help="bce, asl (any number of labels a row) or ce (exactly one).")] = "bce",
    epochs: Annotated[int, training(min=1, help="At most so many.")] = 50,
    patience: Annotated[int, training(min=0, help="Epochs without a better held-out score; 0 trains all.")] = 10,
    batch_size: Annotated[
        int | None, training(min=1, help="An eighth of the rows, 8 to 64; from 10,000 rows 256.")
    ] = None,
    lr: Annotated[float, training(help="Learning rate of AdamW.")] = 1e-3,
    weight_decay: Annotated[float, training(help="Of AdamW.")] = 0.01,
    mixup: Annotated[float, training(help="Alpha of the feature mixup; 0 is none.")] = 0.2,
    fractions: Annotated[str, training(help="Share of each store in a batch.")] = "0.75,0.15,0.10",
    unit: Annotated[Unit, training(help="What is scored while training.")] = Unit.clip,
    sequence_length: Annotated[int, training(min=1, help="Windows that heads over time read at once.")] = 12,
    first_pass: Annotated[
        str | None, first(metavar="CSV|TAP", help="Heads over time read it: logits, a tap, predictions.")
    ] = None,
    backbone_labels: Annotated[
        Path | None, typer.Option(help="The backbone's labels, one a line, for logits; else beside its file.")
    ] = None,
    renames: Annotated[
        Path | None, typer.Option(help="A table class,output: which of the backbone's outputs are a class's.")
    ] = None,
    taxonomy: Annotated[
        Path | None, typer.Option(help="taxonomy.csv: the classes, in its order; otherwise the competition's own.")
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A sweep to compare the heads' weights with; else k-NN here.")
    ] = None,
    pseudo_from: Annotated[
        Path | None, pseudo_labels(metavar="RUN", help="Label the third store by this run's heads (soft targets).")
    ] = None,
    pseudo_head: Annotated[str | None, pseudo_labels(help="Which of its heads.")] = None,
    pseudo_keep: Annotated[
        float, pseudo_labels(help="Gate: probabilities below this become 0, windows without any are dropped.")
    ] = 0.5,
    pseudo_power: Annotated[float, pseudo_labels(help="Gate: what is kept is raised to this power.")] = 1.0,
    pseudo_mask: Annotated[
        str, pseudo_labels(help="Gate: unseen drops classes without a labelled soundscape.")
    ] = "none",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train heads on cached features, over folds, with out-of-fold scores and their intervals."""
    given = dict(locals(), fractions=numbers("--fractions", fractions), unit=unit.value)
    from .api import train

    done = train(**given, command=command_line())
    if done.selection:
        print_choice(done.selection)
    print((done.run / "table.md").read_text().rstrip())
    if done.agreement:
        print("\n" + (done.run / "agreement.md").read_text().rstrip())
        print(f"Picture: {done.run / 'figures' / 'agreement.png'}")
    print(f"{done.run}: heads, scores, weights and out-of-fold predictions")


def fuse(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of `train`.")],
    model: Model,
    output: Annotated[Path, out("MODEL.onnx", "The file to write: waveform in, class probabilities out.")],
    head: Head = None,
    fold: OneFold = None,
    normalise_inside: Annotated[bool, typer.Option("--normalise-inside", help="Scale windows in the graph.")] = False,
    timing: Annotated[bool, typer.Option("--timing", help="Measure what fusing saves, for some 20 s.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """One ONNX file: MODEL up to the deepest tap that the heads read, and the heads."""
    given = locals()
    from ..features.progress import working

    with working("loading torch", say):
        from .fuse import fuse
    print(fuse(**given))


def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="pseudo, residual, priors or members.")],
    competition: Annotated[
        Path, typer.Argument(metavar="COMPETITION", help="A folder of `demo --competition`: its truth is known.")
    ],
    output: Annotated[Path, out("RUN", "The folder to write; stores in it are used again.")],
    model: Annotated[Path | None, typer.Option(help="The backbone; the bundled Wren otherwise.")] = None,
    taps: Annotated[str, typer.Option(help="As in extract.")] = "21,24,25",
    folds: Annotated[int, typer.Option(min=2, help="Folds by recording; of members by site.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Trainings with other seeds to average over; 3, of priors and members 1.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """What was published repeated where the truth is known, the outcome reported whatever it is."""
    given = locals()
    from .experiments import run_experiment

    found = run_experiment(**given, command=command_line())
    print((found.folder / "outcome.md").read_text().rstrip())
    print(f"Picture: {found.folder / 'figures' / 'experiment.png'}")
