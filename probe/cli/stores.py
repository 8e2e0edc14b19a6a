"""`birdprobe store`: commands on a store of cached features."""

from pathlib import Path
from typing import Annotated

import typer

from ...features import InputError
from .options import Column, Folds, Json, K, Overwrite, Readout, Seed, out
from .terminal import print_json, print_store, store_facts


def info(store: Annotated[Path, typer.Argument(metavar="STORE")], as_json: Json = False) -> None:
    """What a store holds: its key, its taps, its rows."""
    from ...features.store import FeatureStore

    with FeatureStore.open(store) as opened:
        if as_json:
            print_json(store_facts(opened))
        else:
            print_store(opened, store)


def check(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Read everything back and compare it with the checksums; exit 1 when anything is wrong."""
    from ...features.store import FeatureStore

    with FeatureStore.open(store) as opened:
        faults = opened.check()
    for fault in faults:
        print(fault)
    if faults:
        raise InputError(f"{store}: {len(faults)} fault(s) found, none wanted")
    print(f"{store}: sound")


def export(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    output: Annotated[Path, out("OUT", "OUT.npz (arrays by tap, and the rows as OUT.csv), .csv, .parquet or .h5ad.")],
    taps: Annotated[str | None, typer.Option(help="Tap names, comma-separated; all of them otherwise.")] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="opensoundscape (CSV) or hoplite (a folder), of one tap.")
    ] = None,
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Features, row table and folds for other programs: npz, csv, parquet, h5ad, opensoundscape, perch-hoplite."""
    from ...features.files import check_new
    from ...features.store import FeatureStore

    for path in (output, output.with_suffix(".csv")) if output.suffix == ".npz" else (output,):
        check_new(path, overwrite)
    with FeatureStore.open(store) as opened:
        print(opened.export(output, tuple(taps.split(",")) if taps else opened.taps, form, folds, seed))


def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help=".npz, .csv, .parquet, .h5ad, or a hoplite folder.")],
    output: Annotated[Path, out("STORE.h5", "The store to write.")],
    tap: Annotated[str | None, typer.Option(help="What the vectors are called; their own name otherwise.")] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="AUDIO", help="Where labels come from, if FILE has none: as in sweep.")
    ] = None,
    column: Column = None,
    overwrite: Overwrite = False,
) -> None:
    """Embeddings of another program as a store, to be ranked and trained on like our own."""
    from ...features.store import import_features

    print(import_features(source, output, tap=tap, labels=labels, column=column, overwrite=overwrite))


def join(
    stores: Annotated[
        list[Path], typer.Argument(metavar="STORE...", help="Of the same recordings; the first one's windows stay.")
    ],
    output: Annotated[Path, out("STORE.h5", "The store to write.")],
    overwrite: Overwrite = False,
) -> None:
    """The taps of several stores in one, on the windows of the first: heads trained on ours beside imported ones."""
    from ...features.store import join_features

    print(join_features(stores, output, overwrite=overwrite))


def rank(
    stores: Annotated[list[Path], typer.Argument(metavar="STORE...", help="Over the same recordings, one or several.")],
    readout: Readout = "all",
    score: Annotated[str, typer.Option(help="top1, auc or cmap.")] = "top1",
    folds: Folds = 5,
    k: K = 5,
    seed: Seed = 0,
) -> None:
    """Rank every tap of some stores on the clips that all of them hold: ours beside imported embeddings."""
    from ..ranking import rank_stores

    found = rank_stores(stores, readout=readout, score=score, n_folds=folds, k=k, seed=seed)
    print(found.table[["tap", "readout", "score", "lo", "hi"]].to_string(index=False, float_format="{:.3f}".format))
    print(found.sentence)
