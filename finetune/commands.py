"""Commands on fine-tuned models: fine-tune one, make a backbone of one."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..probe.cli.options import Classes, Column, FoldRegex, Folds, GroupRegex, Groups, Overwrite, PerClass, Seed, out
from ..probe.cli.terminal import warn

recipe = partial(typer.Option, rich_help_panel="Recipe (the member's published one otherwise)")
machine = partial(typer.Option, rich_help_panel="Machine")
teaching = partial(typer.Option, rich_help_panel="Teacher")
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
    teacher: Annotated[Path | None, teaching(metavar="STORE|CSV", help="Its soft labels are learned, too.")] = None,
    teacher_labels: Annotated[
        Path | None, teaching(metavar="FILE", help="Names the store's logits, one a line.")
    ] = None,
    renames: Annotated[
        Path | None, teaching(metavar="CSV", help="Which of its outputs is whose: class,output.")
    ] = None,
    unlabelled: Annotated[
        Path | None, teaching(metavar="DIR", help="Recordings learned from by the teacher alone.")
    ] = None,
    distill_weight: Annotated[float, teaching(help="Of its loss beside the labels'.")] = 1.0,
    temperature: Annotated[float, teaching(help="Of its softmax.")] = 2.0,
    classes: Classes = None,
    per_class: PerClass = None,
    group_regex: GroupRegex = None,
    groups: Groups = None,
    fold_regex: FoldRegex = None,
    column: Column = None,
    loss: Annotated[str | None, recipe(help="asl, bce or ce.")] = None,
    epochs: Annotated[int | None, recipe(min=1, help="All of them.")] = None,
    frozen_epochs: Annotated[int | None, recipe(min=0, help="Of these, with the head alone learning.")] = None,
    batch_size: Annotated[int | None, recipe(min=1, help="Windows a step.")] = None,
    lr: Annotated[float | None, recipe(help="Peak learning rate of AdamW.")] = None,
    weight_decay: Annotated[float | None, recipe(help="Of AdamW.")] = None,
    layer_decay: Annotated[float | None, recipe(help="Of the learning rate, block by block.")] = None,
    ema: Annotated[float | None, recipe(help="Decay of averaged weights; 0 is none.")] = None,
    selection: Annotated[str | None, recipe(help="Window of a clip in training: energy or random.")] = None,
    augment: Annotated[bool, recipe(help="The published augmentations.")] = True,
    accumulate: Annotated[int, machine(min=1, help="Pieces of a batch.")] = 1,
    precision: Annotated[str, machine(help="auto (bfloat16 on a GPU), bfloat16, float32.")] = "auto",
    device: Annotated[str, machine(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, machine(min=1, help="That read audio ahead; one a core otherwise.")] = None,
    cache: Annotated[str, machine(help="Decoded audio in memory: auto, on, off.")] = "auto",
    compiled: Annotated[bool, machine("--compile", help="torch.compile the network.")] = False,
    state_every: Annotated[float, machine(min=0.0, help="Seconds between states to resume from.")] = 300.0,
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
