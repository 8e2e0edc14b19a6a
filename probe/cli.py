"""The one command, `birdprobe`. A body parses, calls one function and prints; heavy imports wait inside the bodies."""

import errno
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from features import InputError
from probe.options import (
    Audio,
    BatchSize,
    Classes,
    Cluster,
    DType,
    Dtype,
    FoldRegex,
    Folds,
    GroupRegex,
    Groups,
    Jobs,
    K,
    Metric,
    Model,
    Normalise,
    Overwrite,
    PerClass,
    Pool,
    Projection,
    SampleRate,
    Seed,
    Select,
    Taps,
    Unit,
    Window,
    out,
)
from probe.terminal import print_blocks, print_choice, print_scores, print_store, say, warn

TRAIN_EXTRA = ("torch", "timm", "transformers", "safetensors", "accelerate", "huggingface_hub", "onnxscript")

app = typer.Typer(
    name="birdprobe",
    help="Which block of a frozen bird-sound network should you read? Rank every block on your own labelled audio.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug keeps its plain traceback
    add_completion=False,
)
store_app = typer.Typer(help="Look into a store of cached features.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@app.command()
def blocks(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """The blocks found in MODEL: index, name, kind, stage, channels, map, tensor, multiply-accumulates so far."""
    from probe.blocks import find_blocks
    from probe.graph import load

    architecture = find_blocks(load(model))
    if as_json:
        print(json.dumps(architecture.to_json(), indent=2))
    else:
        print_blocks(architecture)


@app.command(name="extract")
def extract_command(
    model: Model,
    audio: Audio,
    output: Annotated[Path, out("STORE.h5", "The store to write or to resume.")],
    taps: Taps = "all",
    pool: Pool = "mean",
    select: Select = "all",
    dtype: Dtype = DType.float32,
    sample_rate: SampleRate = None,
    window: Window = None,
    normalise: Normalise = None,
    batch_size: BatchSize = 8,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    classes: Classes = None,
    per_class: PerClass = None,
    group_regex: GroupRegex = None,
    groups: Groups = None,
    fold_regex: FoldRegex = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Every audio file below AUDIO, labels unknown.")
    ] = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Cache every tap of MODEL for all windows of AUDIO in one HDF5 store; resumes where it was stopped."""
    from features.recordings import choose, read_recordings
    from features.windows import Selection
    from probe.backbone import Backbone
    from probe.extract import extract

    selection = Selection.parse(select)
    recordings = choose(
        read_recordings(
            audio, group_regex=group_regex, groups_column=groups, fold_regex=fold_regex, labelled=not unlabelled
        ),
        classes,
        per_class,
        seed,
    )
    warn(recordings.warnings)
    backbone = Backbone.open(
        model, taps=taps, pooling=pool, sample_rate=sample_rate, window_s=window, normalise=normalise, threads=1
    )
    say(str(backbone.proof))
    done = extract(
        backbone,
        recordings,
        output,
        selection=selection,
        dtype=dtype.value,
        batch_size=batch_size,
        jobs=jobs,
        seed=seed,
        overwrite=overwrite,
        cluster=cluster,
    )
    warn(f"skipped {s.file}: {s.reason}" for s in done.skipped)
    print(f"{done.store}: {done.windows} windows of {done.clips} clips, {len(backbone.taps)} taps")


@app.command(name="sweep")
def sweep_command(
    model: Model,
    audio: Audio,
    output: Annotated[Path, out("RUN", "The folder to write the run into.")],
    taps: Taps = "all",
    pool: Pool = "mean",
    select: Select = "all",
    dtype: Dtype = DType.float32,
    sample_rate: SampleRate = None,
    window: Window = None,
    normalise: Normalise = None,
    batch_size: BatchSize = 8,
    jobs: Jobs = 1,
    cluster: Cluster = None,
    classes: Classes = 30,
    per_class: PerClass = 20,
    group_regex: GroupRegex = None,
    groups: Groups = None,
    fold_regex: FoldRegex = None,
    k: K = 5,
    folds: Folds = 5,
    metric: Annotated[Metric, typer.Option(help="Distance of the k-NN.")] = Metric.euclidean,
    unit: Annotated[Unit, typer.Option(help="What is ranked: a clip's mean vector, or every window.")] = Unit.clip,
    projection: Annotated[Projection, typer.Option(help="Plane of the trajectories picture.")] = Projection.umap,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """The main job: which block of MODEL to read for AUDIO, with intervals, a paired test and the cost of each."""
    from probe.sweep import Settings

    settings = Settings(
        taps=taps,
        pool=pool,
        select=select,
        dtype=dtype.value,
        sample_rate=sample_rate,
        window_s=window,
        normalise=normalise,
        batch_size=batch_size,
        jobs=jobs,
        cluster=cluster,
        classes=classes,
        per_class=per_class,
        group_regex=group_regex,
        groups=groups,
        fold_regex=fold_regex,
        k=k,
        folds=folds,
        metric=metric.value,
        unit=unit.value,
        projection=projection.value,
        seed=seed,
    )
    run_sweep(model, audio, output, settings, overwrite)


@app.command(name="demo")
def demo_command(
    output: Annotated[Path, out("RUN", "The folder to write the run into.")] = Path("runs/demo"),
    species: Annotated[int | None, typer.Option(min=2, help="Made-up species; 30, in a competition 24.")] = None,
    clips: Annotated[int | None, typer.Option(min=5, help="Clips a species; 20, in a competition 12.")] = None,
    competition: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a made-up competition into DIR instead; no sweep is run."),
    ] = None,
    soundscapes: Annotated[int | None, typer.Option(min=1, help="Labelled soundscapes of the competition; 24.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """The main job without any download: made-up species through the bundled miniature backbone, Wren."""
    from probe import demo

    if competition is not None:
        print(demo.competition(competition, species, clips, soundscapes, seed, overwrite, say))
        return
    if soundscapes is not None:
        raise InputError(f"--soundscapes {soundscapes}: wanted together with --competition, a sweep has none")
    species, clips = species or 30, clips or 20
    run_sweep(
        demo.WREN,
        lambda: demo.write_audio(output, species, clips, seed, say),
        output,
        demo.settings(species, clips, seed),
        overwrite,
    )


@app.command(name="train")
def train_command(
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
    loss: Annotated[str, typer.Option(help="bce, asl (any number of labels a row) or ce (exactly one).")] = "bce",
    epochs: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    patience: Annotated[int, typer.Option(min=0, help="Epochs without a better held-out score; 0 trains all.")] = 10,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="An eighth of the rows, 8 to 64; from 10,000 rows 256.")
    ] = None,
    lr: Annotated[float, typer.Option(help="Learning rate of AdamW.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.01,
    mixup: Annotated[float, typer.Option(help="Alpha of the feature mixup; 0 is none.")] = 0.2,
    fractions: Annotated[str, typer.Option(help="Share of each store in a batch.")] = "0.75,0.15,0.10",
    unit: Annotated[Unit, typer.Option(help="What is scored while training.")] = Unit.clip,
    taxonomy: Annotated[
        Path | None, typer.Option(help="taxonomy.csv whose primary_label column is the classes, in its order.")
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A sweep to compare the heads' weights with; else k-NN here.")
    ] = None,
    pseudo_from: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Label the third store by this run's heads (soft targets).")
    ] = None,
    pseudo_head: Annotated[str | None, typer.Option(help="Which of its heads.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Train heads on cached features, over folds, with out-of-fold scores and their intervals."""
    from features.recordings.taxonomy import read_classes
    from figures.gallery import save
    from heads.agreement import agree
    from heads.choice import choose_taps, wanted
    from heads.loop import Settings
    from heads.train import train

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
    command = shlex.join(["birdprobe", *sys.argv[1:]])
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
        overwrite=overwrite,
        command=command,
        say=say,
    )
    if chosen:
        chosen.table.to_csv(trained.run / "selection.csv", index=False, float_format="%.6g")
    print((trained.run / "table.md").read_text().rstrip())
    if trained.tap_weights["tap"].nunique() > 5:  # three points, as published, show nothing about a ranking
        say("probe against head")
        agree(output, sweep)
        save(output, ["agreement"])
        print("\n" + (output / "agreement.md").read_text().rstrip())
        print(f"Picture: {output / 'figures' / 'agreement.png'}")
    print(f"{trained.run}: heads, scores, weights and out-of-fold predictions")


@app.command(name="fuse")
def fuse_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run of `train`.")],
    model: Model,
    output: Annotated[Path, out("MODEL.onnx", "The file to write: waveform in, class probabilities out.")],
    head: Annotated[str | None, typer.Option(help="Which of the run's heads; its only one otherwise.")] = None,
    fold: Annotated[int | None, typer.Option(min=0, help="One fold's head; all of them averaged otherwise.")] = None,
    normalise_inside: Annotated[bool, typer.Option("--normalise-inside", help="Scale windows in the graph.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """One ONNX file: MODEL up to the deepest tap that the heads read, and the heads."""
    from heads.fuse import fuse, speeds

    folds = "all" if fold is None else fold
    fused = fuse(run, model, output, head, folds, normalise_inside=normalise_inside, overwrite=overwrite, say=say)
    print(fused)
    say("timing the file against the model")
    ms = speeds(output, model, fused.window_samples)
    print(f"{ms['fused']:.1f} ms a window, the full model {ms['full']:.1f} (one thread, batch 4)")


@app.command(name="score")
def score_command(
    predictions: Annotated[Path, typer.Argument(metavar="PRED.csv", help="row_id and one column a class.")],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH.csv", help="The same rows and columns, 0 and 1.")],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Macro ROC-AUC, cmAP and top-1 of predictions against the truth; which classes were left out."""
    from analysis.predictions import score

    found = score(predictions, truth)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_scores(found)


@store_app.command()
def info(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """What a store holds: its key, its taps, its rows."""
    from features.store import FeatureStore

    with FeatureStore.open(store) as opened:
        print_store(opened, store)


@store_app.command()
def check(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Read everything back and compare it with the checksums; exit 1 when anything is wrong."""
    from features.store import FeatureStore

    with FeatureStore.open(store) as opened:
        faults = opened.check()
    for fault in faults:
        print(fault)
    if faults:
        raise InputError(f"{store}: {len(faults)} fault(s) found, none wanted")
    print(f"{store}: sound")


@store_app.command()
def export(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    output: Annotated[Path, out("OUT", "OUT.npz (arrays by tap, and the rows as OUT.csv) or OUT.csv (everything).")],
    taps: Annotated[str | None, typer.Option(help="Tap names, comma-separated; all of them otherwise.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Features and row table as a NumPy archive, or as CSV."""
    from features.store import FeatureStore

    for path in (output, output.with_suffix(".csv")):
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists, a new file wanted. Use --overwrite to replace it.")
    with FeatureStore.open(store) as opened:
        print(opened.export(output, tuple(taps.split(",")) if taps else opened.taps))


@app.command()
def figures(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All of them otherwise.")] = None,
) -> None:
    """Draw a run's figures again, from its tables alone."""
    from figures.gallery import save

    for path in save(run, names or None):
        print(path)


def numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: {text!r} found, numbers with commas wanted.") from None


def run_sweep(model: Path, audio, output: Path, settings, overwrite: bool) -> None:
    """Sweep, draw, report, and end with the ranking on the terminal. `audio` may be a function that makes the folder,
    called once the run folder has been accepted."""
    from figures.gallery import save
    from probe.report import write_report
    from probe.run import prepare, ranking_table
    from probe.sweep import sweep

    if callable(audio):
        prepare(output, overwrite)
        audio = audio()
    command = shlex.join(["birdprobe", *sys.argv[1:]])
    swept = sweep(model, audio, output, settings, overwrite=overwrite, command=command, say=say)
    config = json.loads((output / "config.json").read_text())
    say("drawing")
    save(output)
    report = write_report(output)
    print(ranking_table(swept.table, settings.k).to_markdown())
    print(swept.answer.sentence)
    print(swept.answer.remark)
    warn(config["warnings"])
    if config["skipped"]:
        warn([f"{len(config['skipped'])} clips could not be used; the report lists them with the reasons"])
    print(f"Report: {report}")


def main() -> None:
    """Entry point: bad input is one line and exit 1, anything else keeps its traceback."""
    try:
        app()
    except InputError as error:
        say(f"birdprobe: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise
        say(f"birdprobe: {error.filename or 'output'}: {error.strerror}. Nothing that was written before is lost.")
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA:
            raise
        say(f"birdprobe: {error.name} is missing, this command needs it: pip install 'birdprobe[train]'")
        say("(in a checkout: .venv/bin/pip install --editable '.[train]')")
        sys.exit(1)
    except KeyboardInterrupt:
        say("birdprobe: stopped; the same command goes on from here")
        sys.exit(130)
