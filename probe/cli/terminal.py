"""What the command prints: results to stdout, progress and warnings to stderr."""

import json
import shlex
import sys
from pathlib import Path

from ...analysis import wording


def print_blocks(architecture) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for name in ("tap", "kind", "stage", "channels", "map", "macs so far"):
        table.add_column(name, justify="left" if name in ("tap", "kind") else "right")
    table.add_column("tensor", overflow="ellipsis", no_wrap=True)
    for tap in architecture.taps.values():
        size = "x".join(str(n) for n in tap.map) or "-"
        stage = "-" if tap.stage is None else str(tap.stage)
        table.add_row(tap.name, tap.kind, stage, str(tap.channels), size, f"{tap.macs / 1e6:,.1f} M", tap.tensor)
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    print(f"{len(architecture.blocks)} blocks")
    for note in architecture.notes:
        print(f"note: {note}")


def print_store(store, path: Path) -> None:
    rows = store.rows()
    state = "complete" if store.complete else "unfinished"
    print(f"{path}: {state}, {len(rows)} windows of {rows['clip'].nunique()} clips")
    print(f"  labels {rows['label'].nunique()}, groups {rows['group'].nunique()}, skipped clips {len(store.skipped())}")
    for name, value in json.loads(store.key.to_json()).items():
        if name != "taps":
            print(f"  {name}: {value}")
    for tap in store.taps:
        print(f"  {tap}: {' x '.join(str(n) for n in store.dims[tap])}")


def print_choice(chosen) -> None:
    """The steps of a forward selection, to stderr: it is on the way to a result."""
    for step in chosen.table.itertuples():
        gain = "" if step.step == 1 else f", {wording.points(step.gain, step.gain_lo, step.gain_hi)}"
        nested = "" if step.nested != step.nested else f"; nested {step.nested:.3f}"
        say(f"tap {step.step}: {step.tap}, 5-NN {step.score:.3f}{gain}{nested}")


def print_scores(found: dict) -> None:
    for name, title in (("macro_auc", "macro ROC-AUC"), ("cmap", "cmAP"), ("top1", "top-1")):
        interval = f" [{found[name + '_lo']:.4f}, {found[name + '_hi']:.4f}]" if name + "_lo" in found else ""
        print(f"{title}: {found[name]:.4f}{interval}")
    print(f"{found['n']} rows, {found['n_files']} recordings, {found['n_scored']} classes scored")
    if found["left_out"]:
        print(f"left out (no positive): {', '.join(found['left_out'])}")
    if found["all_positive"]:
        print(f"left out of macro ROC-AUC (no negative): {', '.join(found['all_positive'])}")


def print_blend(made) -> None:
    """What was searched, how alike the members are, what each step changed, what came out."""
    from ...analysis.postprocess.effects import table
    from ...analysis.predictions import comparison

    if made.searched:
        print(made.searched.sentence)
    if made.alike is not None:
        for pair in made.alike.itertuples():
            spread = f"{pair.spearman:.3f}, by class {pair.spearman_min:.3f} to {pair.spearman_max:.3f}"
            print(f"Spearman of {pair.member} and {pair.other}: {spread} ({pair.n_classes} classes)")
    if made.effects:
        print(table(made.effects).to_markdown().rstrip())
    if made.compared is not None:
        print(comparison.attempts(made.compared).to_markdown().rstrip())
    shares = ", ".join(f"{name} {share:.3g}" for name, share in made.weights.items())
    print(f"{made.path}: {len(made.table)} rows x {made.table.shape[1]} classes, valid; weights {shares}")


def command_line() -> str:
    """What the user typed, for the record of a run."""
    return shlex.join(["birdprobe", *sys.argv[1:]])


def say(line: str) -> None:
    """Progress goes to stderr, results to stdout."""
    print(line, file=sys.stderr, flush=True)


def warn(lines) -> None:
    for line in lines:
        say(f"warning: {line}")
