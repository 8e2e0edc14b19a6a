"""Commands on a backbone: its blocks, its features, the main job, the demo."""

from pathlib import Path
from typing import Annotated

import typer

from ..features import InputError
from .cli.options import (
    EXTRACTION,
    Audio,
    Classes,
    Control,
    Folds,
    FrontEnd,
    Inputs,
    Json,
    K,
    Metric,
    MinPerClass,
    Model,
    Overwrite,
    PerClass,
    Planes,
    Projection,
    Readout,
    SampleRate,
    ScoreName,
    Seed,
    Shots,
    Test,
    TestColumn,
    TestGroups,
    Unit,
    Window,
    machine,
    out,
    plain,
    ranking,
    recordings,
    with_options,
    writable,
)
from .cli.terminal import command_line, print_blocks, print_json, print_table, records, say, warn


def blocks(
    model: Model,
    frontend: FrontEnd = None,
    inputs: Inputs = None,
    sample_rate: SampleRate = None,
    window_s: Window = None,
    as_json: Json = False,
) -> None:
    """The blocks found in MODEL: index, name, kind, stage, channels, map, tensor, multiply-accumulates so far."""
    from .api import find_blocks

    architecture = find_blocks(
        model, frontend=frontend, inputs=inputs or (), sample_rate=sample_rate, window_s=window_s
    )
    if as_json:
        print_json(architecture.to_json())
    else:
        print_blocks(architecture)


@with_options(EXTRACTION)
def extract(
    model: Model,
    audio: Audio,
    output: Annotated[Path | None, out("STORE.h5", "The store to write or to resume.")] = None,
    unlabelled: Annotated[
        bool, recordings("--unlabelled", help="Every audio file below AUDIO, labels unknown.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try a part: seconds, bytes and money of all, and of 1,000 hours like it.")
    ] = False,
    price: Annotated[float | None, typer.Option(min=0, help="With --dry-run: of one core for one hour.")] = None,
    **given,
) -> None:
    """Cache every tap of MODEL for all windows of AUDIO in one HDF5 store; resumes where it was stopped."""
    from ..features.spelling import counted
    from .api import Estimate, extract

    done = extract(model, audio, output, unlabelled=unlabelled, dry_run=dry_run, price=price, log=say, **plain(given))
    if isinstance(done, Estimate):
        print(done)
        return
    warn(done.warnings)
    warn(f"skipped {s.file}: {s.reason}" for s in done.skipped)
    print(f"{done.store}: {counted(done.windows, 'window')} of {counted(done.clips, 'clip')}")


@with_options(EXTRACTION | {"classes": (Classes, 30), "per_class": (PerClass, 20)})
def sweep(
    model: Model,
    audio: Audio,
    output: Annotated[Path, out("RUN", "The folder to write the run into.")],
    test: Test = None,
    test_column: TestColumn = None,
    test_groups: Annotated[TestGroups, recordings(help="What is resampled of the test recordings.")] = TestGroups.file,
    min_per_class: MinPerClass = None,
    folds: Folds = 5,
    readout: Readout = "all",
    score: Annotated[ScoreName, ranking(help="What read-outs are ranked by.")] = ScoreName.auto,
    k: K = 5,
    metric: Annotated[Metric, ranking(help="Distance of the k-NN in ranking.csv.")] = Metric.euclidean,
    unit: Annotated[Unit, ranking(help="What is ranked: a clip's mean vector, or every window.")] = Unit.clip,
    shots: Shots = None,
    planes: Planes = False,
    control: Control = False,
    projection: Annotated[
        Projection, ranking(help="Plane of the trajectories picture; umap, the published one, takes some 20 s more.")
    ] = Projection.pca,
    timing: Annotated[bool, machine("--timing/--no-timing", help="Measure milliseconds up to each tap.")] = True,
    as_json: Json = False,
    **given,
) -> None:
    """The main job: which block of MODEL to read for AUDIO, and how: read-outs, intervals, paired tests, cost."""
    asked = locals()
    rank_and_tell(**plain(asked.pop("given") | asked))


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Finished sweeps on the same clips; after the first, stores too."),
    ],
    output: Annotated[Path, out("RUN", "The folder to write the comparison into.")],
    readout: Readout = "all",
    score: Annotated[
        ScoreName, typer.Option(help="What cells are ranked by; as the runs were, where they agree.")
    ] = ScoreName.auto,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Several sweeps, or a sweep and stores, on the same clips: one ranking of model x tap x read-out, with costs."""
    from .sweep.compare import compare
    from .sweep.compare.tables import short_summary

    done = compare(
        runs,
        output,
        readout=readout,
        score=score.value,
        seed=seed,
        overwrite=overwrite,
        command=command_line(),
    )
    warn(done.warnings)
    if as_json:
        print_json({"answer": done.answer, "taps": records(done.taps), "table": output / "compare.md"})
        return
    for use, table in short_summary(done.table, done.taps).items():
        print(f"{use}, best tap of each model:")
        print_table(table)
        print()
    for line in (*done.answer["lines"], done.note):
        print(line)
    print(f"Table: {output / 'compare.md'}")


def demo(
    output: Annotated[Path, out("RUN", "The folder to write the run into.")] = Path("runs/demo"),
    species: Annotated[int | None, typer.Option(min=2, help="Made-up species; 30, in a competition 24.")] = None,
    clips: Annotated[int | None, typer.Option(min=5, help="Clips a species; 20, in a competition 12.")] = None,
    competition: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a made-up competition into DIR instead; no sweep is run.", callback=writable
        ),
    ] = None,
    soundscapes: Annotated[int | None, typer.Option(min=1, help="Labelled soundscapes of the competition; 24.")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """The main job without any download: made-up species through the bundled miniature backbone, Wren."""
    from . import demo

    if competition is not None:
        print(demo.competition(competition, species, clips, soundscapes, seed, overwrite, say))
        return
    if soundscapes is not None:
        raise InputError(f"--soundscapes {soundscapes}: wanted together with --competition, a sweep has none")
    species, clips = species or 30, clips or 20
    audio = demo.write_audio(output, species, clips, seed, overwrite, say)
    given = {"classes": species, "per_class": clips, "group_regex": demo.GROUP_REGEX}
    rank_and_tell(demo.WREN, audio, output, False, overwrite=overwrite, seed=seed, **given)


def rank_and_tell(model: Path, audio: Path, output: Path, as_json: bool = False, **given) -> None:
    """Sweep, and end with the ranking and the conclusion on the terminal."""
    from .sweep.run_folder import short_ranking
    from .sweep.sweep import sweep

    done = sweep(model, audio, output, command=command_line(), log=say, **given)
    config = done.config
    warn(config["warnings"])
    if config["skipped"]:
        from ..features.spelling import agree, counted, some

        names = [one["file"] for one in config["skipped"]]
        them = agree(len(names), "it with the reason", "them with the reasons")
        warn([f"{counted(len(names), 'clip')} could not be used: {some(names)}; the report lists {them}"])
    if as_json:
        print_json({"answer": done.answer, "ranking": records(done.ranking), "report": done.report})
        return
    print_table(short_ranking(done.ranking, config["settings"]["k"], config["settings"]["metric"]), cut="tap")
    for line in ("", *done.answer["lines"], done.note):
        print(line)
    print(f"Report: {done.report}")
