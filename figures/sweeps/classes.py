"""Which class is recognised at which depth: one row a class, one column a tap, colour = k-NN accuracy.

Classes are sorted by their accuracy at the best tap, easiest first, so the picture reads from solved to unsolved.
With more than 60 classes the middle ones are drawn as one mean row.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...analysis import wording
from ...analysis.runs import Run
from .. import style
from ..labels import widest

MOST = 60  # rows that can still be read on a page
HEAD_IN, FOOT_IN = 0.78, 0.82  # room above for tap names, below for bar and caption
NAMED_IN = 0.2  # width of a named column
BAR_LABEL_IN = 0.68  # the word before the colour bar


@style.styled
def draw(run: Path) -> Figure:
    """Draw the run folder `run`. Accuracy of a class = share of its clips whose out-of-fold label is right."""
    data = Run(Path(run))
    shares, counts = by_class(data)
    rows, names = condensed(shares, counts)
    row_in = float(np.clip(4.2 / len(rows), 0.135, 0.27))
    height = FOOT_IN + row_in * len(rows) + HEAD_IN
    figure = style.new_figure(height)
    size = min(8, row_in * 72 * 0.78)
    left = min(0.45, (0.14 + widest(figure, [max(names, key=len)], size)) / style.WIDTH_IN)
    style.caption(figure, caption(data, len(shares)))
    axes = figure.add_axes((left, FOOT_IN / height, 0.985 - left, row_in * len(rows) / height))
    edges = columns(list(data.ranking.tap), (0.985 - left) * style.WIDTH_IN)
    mesh = axes.pcolormesh(edges, np.arange(len(rows) + 1), rows, cmap=style.ACCURACY, vmin=0, vmax=1)
    axes.hlines(np.arange(1, len(rows)), edges[0], edges[-1], color=style.PAPER, lw=0.7)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(len(rows), 0))
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=size)
    axes.tick_params(length=0)
    style.hide_spines(axes)
    label_columns(axes, data, edges)
    write_values(axes, rows, mesh, edges)
    draw_bar(figure, mesh, left)
    return figure


def columns(taps: list[str], room_in: float) -> np.ndarray:
    """Column edges in inches: blocks share what the taps outside the blocks leave, which get room for a name."""
    inside = np.array([tap.startswith("block_") for tap in taps])
    named = max(NAMED_IN, room_in / len(taps))
    widths = np.where(inside, (room_in - named * (~inside).sum()) / max(inside.sum(), 1), named)
    return np.concatenate([[0], np.cumsum(widths)])


def by_class(data: Run) -> tuple[pd.DataFrame, pd.Series]:
    """Accuracy [classes x taps], sorted by the best tap (then by the mean over taps), and clips per class."""
    table, taps = data.predictions, list(data.ranking.tap)
    right = table[taps].eq(table.label, axis=0)
    shares = right.groupby(table.label).mean()
    keys = pd.DataFrame({"best": shares[data.best], "mean": shares.mean(axis=1)})
    order = keys.sort_values(["best", "mean"], ascending=False, kind="stable").index
    return shares.loc[order], table.label.value_counts()


def condensed(shares: pd.DataFrame, counts: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Rows and their names; the classes between the easiest and the hardest become one mean row when there are many."""
    names = [f"{style.trimmed(name, 28)}  {counts[name]:>3}" for name in shares.index]
    if len(shares) <= MOST:
        return shares.to_numpy(), names
    half = MOST // 2
    values = shares.to_numpy()
    middle = values[half : -half + 1]
    words = f"mean of {len(middle)} between  {int(counts[shares.index[half : -half + 1]].sum()):>3}"
    return np.vstack([values[:half], middle.mean(axis=0), values[-half + 1 :]]), [
        *names[:half],
        words,
        *names[-half + 1 :],
    ]


def label_columns(axes: Axes, data: Run, edges: np.ndarray) -> None:
    """Tap names along the top, as many block numbers as fit; the best one in its colour with its column framed."""
    taps = list(data.ranking.tap)
    best = taps.index(data.best)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = [i for i, tap in enumerate(taps) if tap.startswith("block_")]
    poolings = max(Counter(tap.partition("/")[0] for tap in taps).values())  # a block's number stands over the first
    step = poolings * int(np.ceil(0.19 / max(np.diff(edges)[inside], default=1.0) / poolings))
    shown = [i for i in inside if i == best or (i % step == 0 and (abs(i - best) >= step or best not in inside))]
    others = [i for i in range(len(taps)) if i not in inside]
    ticks = [*shown, *others]
    axes.set_xticks(middles[ticks], [wording.tap_label(taps[i].partition("/")[0]) for i in ticks], fontsize=7.5)
    axes.xaxis.tick_top()
    for label, i in zip(axes.get_xticklabels(), ticks):
        if i in others:
            label.set_rotation(90)
        if i == best:
            label.set(color=style.BEST, fontweight="bold")
    apart = {edges[i] for i in others if i - 1 in inside} | {edges[i + 1] for i in others if i + 1 in inside}
    axes.vlines(sorted(apart), *axes.get_ylim(), color=style.PAPER, lw=4)
    corner, size = (edges[best], 0), (edges[best + 1] - edges[best], len(axes.get_yticks()))
    axes.add_patch(Rectangle(corner, *size, fill=False, ec=style.BEST, lw=2, clip_on=False, zorder=5))


def write_values(axes: Axes, rows: np.ndarray, mesh: QuadMesh, edges: np.ndarray) -> None:
    """Per cent in every cell, where cells are large enough for it."""
    tall = axes.get_position().height * style.figure_of(axes).get_figheight() / len(rows)
    if np.diff(edges).min() < 0.2 or tall < 0.13:
        return
    middles = (edges[:-1] + edges[1:]) / 2
    for (row, column), value in np.ndenumerate(rows):
        look: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": 6.2}
        ink = style.ink_on(mesh.to_rgba(value))
        axes.text(middles[column], row + 0.5, f"{100 * value:.0f}", color=ink, **look)


def draw_bar(figure: Figure, mesh: QuadMesh, left: float) -> None:
    height = figure.get_figheight()
    left = max(left, BAR_LABEL_IN / style.WIDTH_IN)  # names may be shorter than the word before the bar
    bar = figure.add_axes((left, (FOOT_IN - 0.24) / height, 0.26, 0.1 / height))
    drawn = figure.colorbar(mesh, cax=bar, orientation="horizontal", ticks=[0, 0.5, 1])
    drawn.outline.set_visible(False)
    bar.set_xticklabels(["0", "50", "100 %"], fontsize=7)
    bar.tick_params(length=0, pad=2)
    bar.annotate("accuracy", (-0.03, 0.5), xycoords="axes fraction", ha="right", va="center", fontsize=7.5)


def caption(data: Run, classes: int) -> str:
    best = wording.tap_title(data.best)
    return (
        f"{data.neighbours} accuracy of each class in per cent; the number after a name counts its {data.unit}. "
        f"{classes} classes, sorted by {best} (framed), the best tap over all classes together."
    )
