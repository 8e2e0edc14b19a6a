"""What the command prints: results to stdout, progress and warnings to stderr."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...analysis import wording
from ...features.progress import say
from ...features.spelling import counted, short_names

if TYPE_CHECKING:
    import pandas as pd

    from ...analysis.tables import Table

WIDTH = 80  # where the output is no terminal
LEAST = 12  # characters of a name that is cut
JUSTIFY: dict[str, Literal["left", "right", "center"]] = {"left": "left", "right": "right", "center": "center"}


def print_blocks(architecture) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = []
    for tap in architecture.taps.values():
        size = "x".join(str(n) for n in tap.map) or "-"
        stage = "-" if tap.stage is None else str(tap.stage)
        rows.append((tap.name, tap.kind, stage, str(tap.channels), size, f"{tap.macs / 1e6:,.1f} M", tap.tensor))
    table = Table(box=None, header_style="bold")
    for name, cells in zip(("tap", "kind", "stage", "channels", "map", "macs so far"), zip(*rows)):
        width = max(map(len, (name, *cells)))  # whole at any width: a tap is asked for by its name
        table.add_column(name, justify="left" if name in ("tap", "kind") else "right", min_width=width, no_wrap=True)
    table.add_column("tensor", overflow="ellipsis", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    whole = 100 + sum(max(map(len, cells)) for cells in zip(*rows))
    Console(width=None if sys.stdout.isatty() else whole).print(table)
    print(counted(len(architecture.blocks), "block"))
    for note in architecture.notes:
        print(f"note: {note}")


def store_facts(store) -> dict[str, Any]:
    """What a store holds, for people and for --json."""
    rows = store.rows()
    return {
        "complete": store.complete,
        "windows": len(rows),
        **{f"{column}s": int(rows[column].nunique()) for column in ("clip", "label", "group")},
        "skipped": len(store.skipped()),
        "key": {name: value for name, value in json.loads(store.key.to_json()).items() if name != "taps"},
        "taps": {tap: list(store.dims[tap]) for tap in store.taps},
        "warnings": list(store.meta.get("warnings", [])),
    }


def print_store(store, path: Path) -> None:
    facts = store_facts(store)
    state = "complete" if facts["complete"] else "unfinished"
    print(f"{path}: {state}, {counted(facts['windows'], 'window')} of {counted(facts['clips'], 'clip')}")
    print(f"  labels {facts['labels']}, groups {facts['groups']}, skipped clips {facts['skipped']}")
    for name, value in facts["key"].items():
        print(f"  {name}: {value}")
    for tap, shape in facts["taps"].items():
        print(f"  {tap}: {' x '.join(map(str, shape))}")
    for line in facts["warnings"]:
        print(f"  warning: {line}")


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
    rows, files = counted(found["n"], "row"), counted(found["n_files"], "recording")
    print(f"{rows}, {files}, {counted(found['n_scored'], 'class')} scored")
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
            print(f"Spearman of {pair.member} and {pair.other}: {spread} ({counted(pair.n_classes, 'class')})")
    if made.effects:
        print_table(table(made.effects))
    if made.compared is not None:
        print_table(comparison.short_attempts(made.compared))
    shares = ", ".join(f"{name} {share:.3g}" for name, share in made.weights.items())
    size = f"{counted(len(made.table), 'row')} x {counted(made.table.shape[1], 'class')}"
    print(f"{made.path}: {size}, valid; weights {shares}")


def command_line() -> str:
    """What the user typed, for the record of a run."""
    return shlex.join(["birdprobe", *sys.argv[1:]])


def warn(lines) -> None:
    for line in lines:
        say(f"warning: {line}")


def print_table(table: "Table", cut: str = "") -> None:
    """A table in the terminal's width, 80 columns where there is none: cells that are too wide go on below, between
    words wherever the longest words of all columns fit side by side. cut: a column of names that are shortened first.
    """
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    titles = [column.title for column in table.columns]
    rows, room = table.cells(), console.width - 2 * len(titles)
    if cut in titles and rows:
        rows = with_short_names(titles, rows, titles.index(cut), room)
    for column, width in zip(table.columns, widths([titles, *rows], room)):
        drawn.add_column(Text(column.title), justify=JUSTIFY[column.align], overflow="fold", width=width)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)
    if table.caption:
        console.print(Text(table.caption), style="dim")


def with_short_names(titles: list[str], rows: list[list[str]], at: int, room: int) -> list[list[str]]:
    """The rows, the names in column `at` cut in the middle as far as all need it to stay on one line each."""
    excess = sum(max(map(len, cells)) for cells in zip(titles, *rows)) - room
    names = list(dict.fromkeys(row[at] for row in rows))
    short = short_names(names, max(LEAST, max(map(len, names)) - excess))
    return [[*row[:at], short[row[at]], *row[at + 1 :]] for row in rows]


def widths(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    """Of each column, so that all have room: the widest give way first, none to less than its longest word."""
    columns = list(zip(*rows))
    found = [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    least = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    while sum(found) > room and any(now > word for now, word in zip(found, least)):
        found[max(range(len(found)), key=lambda i: (found[i] > least[i], found[i]))] -= 1
    return found


def records(frame: "pd.DataFrame") -> list[dict]:
    """Rows for --json: plain values, null where there is none."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=str))
