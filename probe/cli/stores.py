"""`birdprobe store`: commands on a store of cached features."""

from pathlib import Path
from typing import Annotated

import typer

from ...features import InputError
from .options import Json, Overwrite, out
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
    output: Annotated[Path, out("OUT", "OUT.npz (arrays by tap, and the rows as OUT.csv) or OUT.csv (everything).")],
    taps: Annotated[str | None, typer.Option(help="Tap names, comma-separated; all of them otherwise.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Features and row table as a NumPy archive, or as CSV."""
    from ...features.files import check_new
    from ...features.store import FeatureStore

    for path in (output, output.with_suffix(".csv")):
        check_new(path, overwrite)
    with FeatureStore.open(store) as opened:
        print(opened.export(output, tuple(taps.split(",")) if taps else opened.taps))
