"""Members x post-processing steps as a forest plot: what each cell scores, and what it gains on the baseline.

One line a cell, grouped by member. Left: macro ROC-AUC with its 95 % interval; the dashed line is the baseline. Right:
the paired difference to the baseline, whose interval is the one to read: a filled dot where it lies on one side of 0.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ...analysis.predictions import comparison
from .. import style

TABLE = "comparison.csv"
ROW_IN, GAP_IN, HEAD_IN, AXIS_IN = 0.2, 0.1, 0.36, 0.32  # heights: a line, between members, the titles, the ticks below
SIDE_IN, INDENT_IN, BETWEEN_IN, RIGHT_IN = 0.1, 0.12, 0.22, 0.24  # right: half of the longest tick label
LABELS_IN = 2.0  # names take no more of the width than this
ABSOLUTE, DIFFERENCE = 0.46, 0.54  # how the panels share what the names leave


@style.styled
def draw(run: Path) -> Figure:
    """Draw comparison.csv of a folder, or that CSV, as `analysis.predictions.comparison.write` left it."""
    run = Path(run)
    frame = comparison.read(run / TABLE if run.is_dir() else run)
    lines, total = layout(frame)
    figure, foot, height = style.captioned(caption(frame), AXIS_IN + total + HEAD_IN, 0.14)
    left = names(figure, lines, height - HEAD_IN)
    room = style.WIDTH_IN - left - BETWEEN_IN - RIGHT_IN
    score = style.add_panel(figure, left, foot + AXIS_IN, ABSOLUTE * room, total, ylim=(total, 0))
    second = left + ABSOLUTE * room + BETWEEN_IN
    gain = style.add_panel(figure, second, foot + AXIS_IN, DIFFERENCE * room, total, ylim=(total, 0))
    cells = [(y, cell) for y, _, _, cell in lines if cell is not None]
    base = next(cell for _, cell in cells if cell.baseline)
    forest(score, cells, ("macro_auc", "lo", "hi"), base.macro_auc)
    score.set_title("macro ROC-AUC", fontsize=9, loc="left")
    forest(gain, cells, ("vs_baseline", "vs_baseline_lo", "vs_baseline_hi"), 0.0)
    gain.set_title("difference to the baseline", fontsize=9, loc="left")
    gain.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    return figure


def caption(frame: pd.DataFrame) -> str:
    words = comparison.caption(frame).replace("brackets", "bars")
    words += f" Green, dashed: the baseline, {style.trimmed(comparison.named(frame), 40)}."
    highest = int(np.nanargmax(frame["macro_auc"]))
    words += " Vermilion: the highest." if not frame["baseline"].iloc[highest] else ""
    return words + (" Filled, right: the interval leaves 0 out." if frame["n_boot"].any() else "")


def layout(frame: pd.DataFrame) -> tuple[list[tuple[float, str, bool, Any]], float]:
    """([(inches from the top, words, indented?, the cell or None for a member's name)], inches in all).

    A member with one step takes one line, any other a line for its name and one for each step.
    """
    lines: list[tuple[float, str, bool, Any]] = []
    y = 0.0
    for at, (member, cells) in enumerate(frame.groupby("member", sort=False)):
        y += GAP_IN if at and len(frame) > frame["member"].nunique() else 0.0
        if len(cells) > 1:
            lines.append((y + ROW_IN / 2, str(member), False, None))
            y += ROW_IN
        for cell in cells.itertuples():
            alone = member if cell.step == comparison.RAW else f"{member}, {cell.step}"
            lines.append((y + ROW_IN / 2, str(cell.step if len(cells) > 1 else alone), len(cells) > 1, cell))
            y += ROW_IN
    return lines, y


def names(figure: Figure, lines: list, top: float) -> float:
    """Write the names, cut where they are too long; where the panels may begin, in inches from the left."""
    width = 0.0
    for y, words, indented, cell in lines:
        start = SIDE_IN + INDENT_IN * indented
        is_base = cell is not None and cell.baseline
        look: dict[str, Any] = {"weight": "bold"} if cell is None else {"color": style.REFERENCE} if is_base else {}
        place = (start / style.WIDTH_IN, (top - y) / figure.get_figheight())
        text = figure.text(*place, words, fontsize=8, va="center_baseline", **look)
        limit = len(words)
        while style.size_in(text)[0] > LABELS_IN - start and limit > 4:
            limit -= 1
            text.set_text(style.trimmed(words, limit))
        width = max(width, start + style.size_in(text)[0])
    return width + 0.14


def forest(axes: Axes, cells: list, fields: tuple[str, str, str], line: float) -> None:
    """A dot and its interval for each cell; `line` is where the baseline stands, which has no difference to itself."""
    axes.axvline(line, color=style.REFERENCE, lw=1.0, ls=(0, (4, 2)), zorder=1)
    best = max((cell for _, cell in cells), key=lambda cell: cell.macro_auc)
    for y, cell in cells:
        value, low, high = (getattr(cell, name) for name in fields)
        if np.isnan(value):
            continue
        colour = style.REFERENCE if cell.baseline else style.BEST if cell is best else style.PROBE
        if not np.isnan(low):
            axes.plot([low, high], [y, y], color=colour, lw=1.5, solid_capstyle="butt", zorder=3)
        filled = fields[0] == "macro_auc" or low > 0 or high < 0
        axes.plot(value, y, "o", ms=5, mfc=colour if filled else style.PAPER, mec=colour, mew=1.2, zorder=4)
    style.forest_axis(axes)


def signed(value: float) -> str:
    """0, +0.02, −0.1"""
    return f"{value:+.4f}".rstrip("0").rstrip(".").replace("-", "−") if abs(value) >= 5e-5 else "0"
