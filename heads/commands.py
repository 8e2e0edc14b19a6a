"""Commands that train on cached features, and pack what was trained."""

from pathlib import Path
from typing import Annotated

import typer

from ..probe.cli.options import Folds, Head, Model, OneFold, Overwrite, Seed, Unit, numbers, out
from ..probe.cli.terminal import command_line, print_choice, say

TRAINING, PSEUDO = "Training", "Pseudo-labels"  # panels of --help


def train(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Focal clips; labelled soundscapes; windows to pseudo-label."),
    ],
    output: Annotated[Path, out("RUN", "The folder to write the run into.")],
    taps: Annotated[str, typer.Option(help="As in extract; differences as 24-23; auto:N chooses N taps.")] = "all",
    head: Annotated[
        str, typer.Option(help="attention, scalarmix, concat, linear; several with commas, own taps after a colon.")
    ] = "attention",
    folds: Folds = 5,
    fold_by: Annotated[str | None, typer.Option(help="group, file or given; the default fits the stores.")] = None,
    loss: Annotated[
        str, typer.Option(help="bce, asl (any number of labels a row) or ce (exactly one).", rich_help_panel=TRAINING)
    ] = "bce",
    epochs: Annotated[int, typer.Option(min=1, help="At most so many.", rich_help_panel=TRAINING)] = 50,
    patience: Annotated[
        int, typer.Option(min=0, help="Epochs without a better held-out score; 0 trains all.", rich_help_panel=TRAINING)
    ] = 10,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="An eighth of the rows, 8 to 64; from 10,000 rows 256.", rich_help_panel=TRAINING),
    ] = None,
    lr: Annotated[float, typer.Option(help="Learning rate of AdamW.", rich_help_panel=TRAINING)] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.", rich_help_panel=TRAINING)] = 0.01,
    mixup: Annotated[
        float, typer.Option(help="Alpha of the feature mixup; 0 is none.", rich_help_panel=TRAINING)
    ] = 0.2,
    fractions: Annotated[
        str, typer.Option(help="Share of each store in a batch.", rich_help_panel=TRAINING)
    ] = "0.75,0.15,0.10",
    unit: Annotated[Unit, typer.Option(help="What is scored while training.", rich_help_panel=TRAINING)] = Unit.clip,
    taxonomy: Annotated[
        Path | None, typer.Option(help="taxonomy.csv: the classes, in its order; otherwise the competition's own.")
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A sweep to compare the heads' weights with; else k-NN here.")
    ] = None,
    pseudo_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Label the third store by this run's heads (soft targets).", rich_help_panel=PSEUDO
        ),
    ] = None,
    pseudo_head: Annotated[str | None, typer.Option(help="Which of its heads.", rich_help_panel=PSEUDO)] = None,
    pseudo_keep: Annotated[
        float | None,
        typer.Option(
            help="Gate: probabilities below this become 0, windows without any are dropped.", rich_help_panel=PSEUDO
        ),
    ] = None,
    pseudo_power: Annotated[
        float, typer.Option(help="Gate: what is kept is raised to this power.", rich_help_panel=PSEUDO)
    ] = 1.0,
    pseudo_mask: Annotated[
        str, typer.Option(help="Gate: unseen drops classes without a labelled soundscape.", rich_help_panel=PSEUDO)
    ] = "none",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train heads on cached features, over folds, with out-of-fold scores and their intervals."""
    from ..features.csv_files import write_csv
    from ..features.output_folder import adding
    from ..features.recordings.taxonomy import read_classes
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
        fractions=numbers("--fractions", fractions),
        folds=folds,
        fold_by=fold_by,
        unit=unit.value,
        seed=seed,
    )
    labels = read_classes(taxonomy) if taxonomy else None
    wishes = {"keep": pseudo_keep, "power": pseudo_power, "mask": pseudo_mask}
    gate = {name: wish for name, wish in wishes.items() if wish is not None}
    command = command_line()
    chosen = choose_taps(stores, n, settings, labels) if (n := wanted(taps)) else None
    if chosen:
        print_choice(chosen)
        taps = ",".join(chosen.taps)
    trained = train(
        stores,
        output,
        settings,
        taps=taps,
        heads=head,
        labels=labels,
        pseudo_from=pseudo_from,
        pseudo_head=pseudo_head,
        pseudo_gate=Gate(**gate) if gate else None,
        overwrite=overwrite,
        command=command,
        say=say,
    )
    if chosen:
        with adding(trained.run) as draft:
            write_csv(chosen.table, draft / "selection.csv", index=False, float_format="%.6g")
    print((trained.run / "table.md").read_text().rstrip())
    if trained.tap_weights["tap"].nunique() > 5:  # three points, as published, show nothing about a ranking
        say("probe against head")
        agree(output, sweep)
        save(output, ["agreement"])
        print("\n" + (output / "agreement.md").read_text().rstrip())
        print(f"Picture: {output / 'figures' / 'agreement.png'}")
    print(f"{trained.run}: heads, scores, weights and out-of-fold predictions")


def fuse(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of `train`.")],
    model: Model,
    output: Annotated[Path, out("MODEL.onnx", "The file to write: waveform in, class probabilities out.")],
    head: Head = None,
    fold: OneFold = None,
    normalise_inside: Annotated[bool, typer.Option("--normalise-inside", help="Scale windows in the graph.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """One ONNX file: MODEL up to the deepest tap that the heads read, and the heads."""
    from .fuse import fuse, speeds

    folds = "all" if fold is None else fold
    fused = fuse(run, model, output, head, folds, normalise_inside=normalise_inside, overwrite=overwrite, say=say)
    print(fused)
    say("timing the file against the model")
    ms = speeds(fused, model)
    print(f"{ms['fused']:.1f} ms a window, the full model {ms['full']:.1f} (one thread, batch 4)")


def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="pseudo, residual or priors.")],
    competition: Annotated[
        Path, typer.Argument(metavar="COMPETITION", help="A folder of `demo --competition`: its truth is known.")
    ],
    output: Annotated[Path, out("RUN", "The folder to write; stores in it are used again.")],
    model: Annotated[Path | None, typer.Option(help="The backbone; the bundled Wren otherwise.")] = None,
    taps: Annotated[str, typer.Option(help="As in extract.")] = "21,24,25",
    folds: Annotated[int, typer.Option(min=2, help="Folds by recording.")] = 5,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Trainings with other seeds to average over; priors needs only one.")
    ] = 3,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """A published negative result repeated where the truth is known, the outcome reported whatever it is."""
    from ..figures.gallery import save
    from ..probe.demo import WREN
    from .experiments import run

    found = run(
        name,
        competition,
        output,
        model=model or WREN,
        taps=taps,
        seed=seed,
        epochs=epochs,
        folds=folds,
        repeats=repeats,
        overwrite=overwrite,
        command=command_line(),
        say=say,
    )
    pictures = save(output, ["experiment"])
    print((found.folder / "outcome.md").read_text().rstrip())
    print(f"Picture: {pictures[0]}")
