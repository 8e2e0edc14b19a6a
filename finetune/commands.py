"""Commands on fine-tuned models: fine-tune one, make a backbone of one."""

from pathlib import Path
from typing import Annotated

import typer

from ..probe.cli.options import Classes, Column, FoldRegex, Folds, GroupRegex, Groups, Overwrite, PerClass, Seed, out
from ..probe.cli.terminal import warn

RECIPE, HARDWARE, TEACHER = "Recipe (the member's published one otherwise)", "Machine", "Teacher"  # panels of --help
Init = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Begin with this safetensors file: published weights, or a run's.")
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Begin with the published weights, from the Hugging Face hub.")
]
NetworkHead = Annotated[
    str | None, typer.Option("--head", help="Bird-MAE's: plain, attentive or prototype; plain otherwise.")
]


def finetune(
    member: Annotated[
        str,
        typer.Argument(
            metavar="MEMBER",
            help="birdmae-base, -large, -huge, -tiny; efficientnet-b1, tf_efficientnet_b1, timm:NAME, sed-b0, sed:NAME",
        ),
    ],
    audio: Annotated[
        Path | None,
        typer.Argument(metavar="AUDIO", help="As in sweep; with --smoke it may be left out: then songs are made up."),
    ] = None,
    output: Annotated[Path | None, out("RUN", "The folder to write the run into; one for all folds.")] = None,
    fold: Annotated[int, typer.Option(min=0, help="The fold that is held out.")] = 0,
    folds: Folds = 5,
    init: Init = None,
    pretrained: Pretrained = False,
    head: NetworkHead = None,
    taxonomy: Annotated[
        Path | None, typer.Option(help="taxonomy.csv whose primary_label column is the classes, in its order.")
    ] = None,
    background: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Recordings without birds: background noise and no-call clips.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(metavar="STORE|CSV", help="Its soft labels are learned, too.", rich_help_panel=TEACHER),
    ] = None,
    teacher_labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names the store's logits, one a line.", rich_help_panel=TEACHER)
    ] = None,
    renames: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Which of its outputs is whose: class,output.", rich_help_panel=TEACHER),
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Recordings learned from by the teacher alone.", rich_help_panel=TEACHER),
    ] = None,
    distill_weight: Annotated[
        float, typer.Option(help="Of its loss beside the labels'.", rich_help_panel=TEACHER)
    ] = 1.0,
    temperature: Annotated[float, typer.Option(help="Of its softmax.", rich_help_panel=TEACHER)] = 2.0,
    classes: Classes = None,
    per_class: PerClass = None,
    group_regex: GroupRegex = None,
    groups: Groups = None,
    fold_regex: FoldRegex = None,
    column: Column = None,
    loss: Annotated[str | None, typer.Option(help="asl, bce or ce.", rich_help_panel=RECIPE)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="All of them.", rich_help_panel=RECIPE)] = None,
    frozen_epochs: Annotated[
        int | None, typer.Option(min=0, help="Of these, with the head alone learning.", rich_help_panel=RECIPE)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows a step.", rich_help_panel=RECIPE)] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of AdamW.", rich_help_panel=RECIPE)] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of AdamW.", rich_help_panel=RECIPE)] = None,
    layer_decay: Annotated[
        float | None, typer.Option(help="Of the learning rate, block by block.", rich_help_panel=RECIPE)
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Decay of averaged weights; 0 is none.", rich_help_panel=RECIPE)
    ] = None,
    selection: Annotated[
        str | None, typer.Option(help="Window of a clip in training: energy or random.", rich_help_panel=RECIPE)
    ] = None,
    augment: Annotated[bool, typer.Option(help="The published augmentations.", rich_help_panel=RECIPE)] = True,
    accumulate: Annotated[int, typer.Option(min=1, help="Pieces of a batch.", rich_help_panel=HARDWARE)] = 1,
    precision: Annotated[
        str, typer.Option(help="auto (bfloat16 on a GPU), bfloat16, float32.", rich_help_panel=HARDWARE)
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", rich_help_panel=HARDWARE)] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That read audio ahead; one a core otherwise.", rich_help_panel=HARDWARE),
    ] = None,
    cache: Annotated[
        str, typer.Option(help="Decoded audio in memory: auto, on, off.", rich_help_panel=HARDWARE)
    ] = "auto",
    compiled: Annotated[
        bool, typer.Option("--compile", help="torch.compile the network.", rich_help_panel=HARDWARE)
    ] = False,
    state_every: Annotated[
        float,
        typer.Option(min=0.0, help="Seconds between states to resume from.", rich_help_panel=HARDWARE),
    ] = 300.0,
    smoke: Annotated[bool, typer.Option("--smoke", help="Every stage in about a minute on a CPU, very small.")] = False,
    resume: Annotated[
        bool | None, typer.Option(help="Go on with an unfinished fold; it is what happens anyway.")
    ] = None,
    track: Annotated[str | None, typer.Option(metavar="PROJECT", help="Log to this trackio project.")] = None,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME", help="Upload the best checkpoint at the end.")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train a member through: Bird-MAE, EfficientNet, a sound event detector, any timm backbone; one fold a call."""
    given = locals()
    from .api import fine_tune

    trained = fine_tune(**given)
    if not trained.main:
        return
    best = trained.metrics
    warn(line for line in trained.warnings if " left out: " in line)
    print(
        f"{trained.best}: epoch {best['epoch']}, held out macro AUC {best['macro_auc']:.4f}, cmAP {best['cmap']:.4f}, "
        f"accuracy {best['accuracy']:.4f}"
    )


def export(
    what: Annotated[
        str, typer.Argument(metavar="MEMBER|RUN", help="A member, any timm backbone, or a run of `finetune`.")
    ],
    output: Annotated[Path, out("MODEL.onnx", "The file to write: waveform in, front end inside.")],
    fold: Annotated[int | None, typer.Option(min=0, help="Of a run with several.")] = None,
    init: Init = None,
    pretrained: Pretrained = False,
    overwrite: Overwrite = False,
) -> None:
    """A fine-tuned member, or any timm backbone, as one ONNX file that a sweep opens like any other backbone."""
    given = locals()
    from .export import export

    print(export(**given))
