"""Members x post-processing steps: each cell scored with its interval and with paired differences.

A cell is one table of predictions (see `analysis.predictions.table`): a member after the steps up to and including
this one. All cells are scored on the same bootstrap draws of recordings, so a difference is taken draw by draw, and its
interval is much narrower than the two cells' own intervals suggest. No correction for the number of cells: of twenty
useless steps, one differs by chance.

`compare` gives a long frame, one row a cell; `wide` and `attempts` are the two forms in which the published tables
come: members x steps, and one line an attempt.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ...features import InputError
from ...features.csv_files import read_csv
from ...features.files import check_file, replacing
from .. import metrics, predictions
from ..tables import Column, Table

RAW = "raw"
COLUMNS = (
    *("member", "step", "baseline", "n_rows", "n_files", "n_classes", "n_scored", "left_out", "n_boot"),
    *("macro_auc", "lo", "hi", "vs_raw", "vs_raw_lo", "vs_raw_hi"),
    *("vs_baseline", "vs_baseline_lo", "vs_baseline_hi", "cmap", "top1"),
)
_FEW = 20  # recordings: below this, intervals are a rough guide
_NAMED = 6  # classes left out that a caption names


def stages(table: pd.DataFrame, steps: Sequence[Callable]) -> tuple[tuple[str, pd.DataFrame], ...]:
    """What `compare` takes for one member: ("raw", table), then the table after each step, "+ " and the step's name.

    Steps are applied one on another: step(table) -> table, its str() the name; one that comes again is numbered.
    """
    found: list[tuple[str, pd.DataFrame]] = [(RAW, table)]
    times: Counter[str] = Counter()
    for step in steps:
        name = f"+ {step}"
        times[name] += 1
        found.append((f"{name} ({times[name]})" if times[name] > 1 else name, step(found[-1][1])))
    return tuple(found)


def compare(
    truth: pd.DataFrame,
    members: Mapping[str, Sequence[tuple[str, pd.DataFrame]]],
    baseline: str | None = None,
    n_boot: int = 1000,
    seed: int = 0,
    ignore: Sequence[str] = (),
) -> pd.DataFrame:
    """One row a cell, in order of members and their steps; columns COLUMNS.

    truth: bool table. members: name -> (step, table) in the order of application, the first one untouched, as from
    `stages`; blends are members like any other. Tables may have their rows and columns in any order. baseline: the
    member whose first cell it is; the first otherwise. ignore: columns of the tables that are no classes, such as
    `nocall` before the step that uses it up; any other unknown column is an error.

    macro_auc, lo, hi: macro ROC-AUC with its 95 % interval, a bootstrap over the recordings in the row ids. vs_raw:
    difference to the member's first cell; vs_baseline: to the baseline's; both paired, missing for the cell itself.
    Differences are in AUC, not in points. With one recording there are no intervals. left_out: the classes that
    macro_auc leaves out (no positive row, or no other), joined by `;`.

    InputError: tables that do not fit the truth (naming member and step), a truth in which no class can be scored.
    """
    cells = {(member, step): table for member, steps in members.items() for step, table in steps}
    at = next(cell for cell in cells if baseline in (None, cell[0]))
    y_true, recordings = truth.to_numpy(dtype=bool), predictions.files(truth.index)
    n_files = len(np.unique(recordings))
    scored = np.asarray(y_true.any(axis=0) & ~y_true.all(axis=0))
    if not scored.any():
        raise InputError(f"truth: none of {len(scored)} classes has both a positive and a negative row, expected one.")
    common = {
        **{"n_rows": len(truth), "n_files": n_files, "n_classes": len(scored), "n_scored": int(scored.sum())},
        **{"left_out": ";".join(map(str, truth.columns[~scored])), "n_boot": n_boot if n_files > 1 else 0},
    }
    rows, drawn = [], {}
    for (member, step), table in cells.items():
        classes = table.drop(columns=[name for name in ignore if name in table])
        scores = predictions.aligned(classes, truth, f"{member}, {step}").to_numpy()
        values = {name: getattr(metrics, name)(y_true, scores) for name in ("macro_auc", "cmap", "top1")}
        if n_files > 1:
            drawn[member, step] = metrics.draws(metrics.macro_auc, y_true, scores, recordings, n_boot, seed)
        rows.append({"member": member, "step": step, "baseline": (member, step) == at, **common, **values})
    frame = pd.DataFrame(rows).set_index(["member", "step"], drop=False)
    return _with_intervals(frame, drawn, at)


def _with_intervals(frame, drawn, at) -> pd.DataFrame:
    """The frame with lo, hi and both differences, its columns in their order. drawn: cell -> float64 [n_boot]."""
    auc = frame["macro_auc"]
    first = {member: (member, step) for member, step in reversed(frame.index)}

    def interval(value, values):
        return metrics.interval(metrics.macro_auc, value, values) if drawn else (np.nan, np.nan)

    def against(cell, other):
        if cell == other:
            return np.nan, np.nan, np.nan
        difference = auc[cell] - auc[other]
        return difference, *interval(difference, drawn[cell] - drawn[other] if drawn else None)

    found = [
        (*interval(auc[cell], drawn.get(cell)), *against(cell, first[cell[0]]), *against(cell, at))
        for cell in frame.index
    ]
    names = [name for name in COLUMNS if name in ("lo", "hi") or name.startswith("vs_")]
    frame = frame.reset_index(drop=True)
    return pd.concat([frame, pd.DataFrame(found, columns=names)], axis=1)[list(COLUMNS)]


def caption(frame: pd.DataFrame) -> str:
    """What was measured on what: metric, rows, recordings, classes scored and left out, bootstrap."""
    about = frame.to_dict("records")[0]  # plain numbers
    left_out = [name for name in about["left_out"].split(";") if name]
    words = f"Macro ROC-AUC over {about['n_scored']} of {about['n_classes']} classes"
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        words += f" (left out, without a positive or without a negative row: {', '.join(left_out[:_NAMED])}{more})"
    words += f", {about['n_rows']:,} rows of {about['n_files']:,} recording{'s' * (about['n_files'] > 1)}"
    if not about["n_boot"]:
        return f"{words}; one recording gives no intervals."
    words += (
        f"; brackets: 95 % intervals from {about['n_boot']:,} bootstrap draws of recordings, the same for every cell"
    )
    few = f" With {about['n_files']} recordings they are a rough guide." if about["n_files"] < _FEW else ""
    return f"{words}.{few}"


def named(frame: pd.DataFrame) -> str:
    """The baseline cell in words: "attention, raw"."""
    cell = frame[frame["baseline"]].iloc[0]
    return f"{cell['member']}, {cell['step']}"


def wide(frame: pd.DataFrame) -> Table:
    """Members down, steps across, value and interval in the cell (Tables 2 and 3 of Yadav 2026, with intervals).

    Steps stand in the order in which they first occur; a dash where a member has no such step. Bold: the member with
    the highest cell.
    """
    steps = list(dict.fromkeys(frame["step"]))
    fields = [f"step {i}" for i in range(len(steps))]
    records = []
    for member, cells in frame.groupby("member", sort=False):
        record = {"member": member}
        for field, step in zip(fields, steps):
            cell = cells[cells["step"] == step]
            for name in ("macro_auc", "lo", "hi"):
                record[f"{field} {name}"] = cell[name].item() if len(cell) else np.nan
        records.append(record)
    template = "{%s macro_auc:.3f}" + ("\n[{%s lo:.3f}, {%s hi:.3f}]" if frame["n_boot"].any() else "")
    columns = [Column("member", "{member}", "left")]
    columns += [Column(step, template.replace("%s", field)) for field, step in zip(fields, steps)]
    leader = frame["member"].iloc[int(np.nanargmax(frame["macro_auc"].to_numpy()))]
    best = [record["member"] for record in records].index(leader)
    return Table.from_frame(pd.DataFrame(records), columns, caption(frame), [best] if len(records) > 1 else [])


def attempts(frame: pd.DataFrame) -> Table:
    """One line a cell with its paired differences (Table 4 of Yadav 2026, with intervals). Bold: the highest."""

    def bracketed(title, name, low, high, sign=""):
        interval = f"\n[{{{low}:{sign}.3f}}, {{{high}:{sign}.3f}}]" if frame["n_boot"].any() else ""
        return Column(title, f"{{{name}:{sign}.3f}}{interval}")

    columns = [Column("member", "{member}", "left"), Column("step", "{step}", "left")]
    columns += [bracketed("macro AUC", "macro_auc", "lo", "hi")]
    for title, name in (("vs raw", "vs_raw"), ("vs baseline", "vs_baseline")):
        if frame[name].notna().any():
            columns.append(bracketed(title, name, f"{name}_lo", f"{name}_hi", "+"))
    columns += [Column("cmAP", "{cmap:.3f}"), Column("top-1", "{top1:.3f}")]
    words = f"Paired differences: to the member's first row, and to the baseline ({named(frame)}). {caption(frame)}"
    best = [int(frame["macro_auc"].to_numpy().argmax())] if len(frame) > 1 else []
    return Table.from_frame(frame, columns, words, best)


def short_attempts(frame: pd.DataFrame) -> Table:
    """`attempts` as a terminal of 80 columns holds it: member and step in one column, without cmAP and top-1."""
    table = attempts(frame)
    columns = Column("member, step", "{member}, {step}", "left"), *table.columns[2:-2]
    return replace(table, columns=columns, caption=f"{table.caption} cmAP and top-1: in the files of the comparison.")


def write(frame: pd.DataFrame, stem: Path | str) -> tuple[Path, Path, Path]:
    """STEM.csv (the long frame), STEM.md and STEM.tex (both tables). What was there is replaced."""
    stem = Path(stem)
    both = wide(frame), attempts(frame)
    labels = f"tab:{stem.name}", f"tab:{stem.name}-attempts"
    texts = {
        ".csv": both[1].to_csv(),
        ".md": "\n".join(table.to_markdown() for table in both),
        ".tex": "\n".join(table.to_latex(label) for table, label in zip(both, labels)),
    }
    csv, markdown, latex = (stem.with_name(stem.name + suffix) for suffix in texts)
    with ExitStack() as drafts:  # all are written before the first takes its place
        for path, text in zip((csv, markdown, latex), texts.values()):
            drafts.enter_context(replacing(path)).write_bytes(text.encode())
    return csv, markdown, latex


def read(path: Path | str) -> pd.DataFrame:
    """The long frame that `write` left as CSV. InputError: no such file, no comparison, no row, no baseline."""
    path = Path(path)
    check_file(path, "the CSV of a comparison")
    try:
        frame = read_csv(
            path,
            dtype={"member": str, "step": str, "left_out": str},
            keep_default_na=False,
            na_values={name: [""] for name in COLUMNS if name not in ("member", "step", "left_out")},
        )
    except (OSError, ValueError) as error:  # ValueError: no text, no rows, rows that do not fit
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{path}: {reason}, expected the CSV of a comparison.") from error
    if missing := [name for name in COLUMNS if name not in frame]:
        raise InputError(f"{path}: no column {', '.join(missing)}, expected the CSV of a comparison. Another table?")
    if frame["baseline"].dtype != bool or frame["baseline"].sum() != 1:
        raise InputError(f"{path}: {len(frame)} rows without exactly one baseline. Were rows taken out?")
    return frame[list(COLUMNS)]
