"""How much random folds inflate accuracy: `analysis.studies.leakage` drawn, one line a tap.

Left: accuracy with clips dealt at random (open) and with groups kept whole (filled), joined by a line. Right: the
paired difference with its 95 % interval, filled where the interval leaves 0 out.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from ...analysis import wording
from .. import style
from ..labels import key_of_marks, widest

ROW_IN, HEAD_IN, AXIS_IN, SIDE_IN, BETWEEN_IN = 0.185, 0.4, 0.52, 0.14, 0.26
ABSOLUTE, DIFFERENCE = 0.56, 0.44  # how the panels share what the names leave
RANDOM, GROUPED = style.BEST, style.PROBE


@style.styled
def draw(frame: pd.DataFrame) -> Figure:
    """frame: of `analysis.studies.leakage.compare`."""
    total = ROW_IN * len(frame)
    figure, foot, height = style.captioned(caption(frame), AXIS_IN + total + HEAD_IN, 0.14)
    titles = [wording.tap_title(tap) for tap in frame["tap"]]
    left = SIDE_IN + widest(figure, titles, 8) + 0.14
    for at, title in enumerate(titles):
        y = (height - HEAD_IN - (at + 0.5) * ROW_IN) / height
        figure.text(SIDE_IN / style.WIDTH_IN, y, title, fontsize=8, va="center_baseline")
    room = style.WIDTH_IN - left - BETWEEN_IN - SIDE_IN
    whole = {"ylim": (len(frame), 0)}
    scores(style.add_panel(figure, left, foot + AXIS_IN, ABSOLUTE * room, total, **whole), frame)
    second = left + ABSOLUTE * room + BETWEEN_IN
    gains(style.add_panel(figure, second, foot + AXIS_IN, DIFFERENCE * room, total, **whole), frame)
    kinds = (("groups kept whole", GROUPED, GROUPED), ("dealt at random", RANDOM, style.PAPER))
    marks = [(words, {"marker": "o", "mfc": face, "mec": colour, "mew": 1.2}) for words, colour, face in kinds]
    key_of_marks(figure, left / style.WIDTH_IN, 1 - 0.2 / height, marks)
    return figure


def scores(axes: Axes, frame: pd.DataFrame) -> None:
    y = np.arange(len(frame)) + 0.5
    axes.hlines(y, frame["grouped"], frame["random"], color=style.QUIET, lw=1.2, zorder=2)
    axes.plot(frame["grouped"], y, "o", ms=5, mfc=GROUPED, mec=GROUPED, mew=1.2, ls="", zorder=4)
    axes.plot(frame["random"], y, "o", ms=5, mfc=style.PAPER, mec=RANDOM, mew=1.2, ls="", zorder=3)
    finish(axes, "top-1 accuracy")


def gains(axes: Axes, frame: pd.DataFrame) -> None:
    axes.axvline(0, color=style.QUIET, lw=0.9, ls=(0, (3, 2)), zorder=1)
    for at, row in enumerate(frame[["difference", "difference_lo", "difference_hi"]].to_numpy(dtype=float)):
        middle, low, high = 100 * row
        away = low > 0 or high < 0
        axes.plot([low, high], [at + 0.5] * 2, color=style.INK, lw=1.4, solid_capstyle="butt", zorder=3)
        face = style.INK if away else style.PAPER
        axes.plot(middle, at + 0.5, "o", ms=4.6, mfc=face, mec=style.INK, mew=1.1, zorder=4)
    finish(axes, "random less grouped, points")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))


def finish(axes: Axes, words: str) -> None:
    style.forest_axis(axes)
    axes.set_xlabel(words, labelpad=3)


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    return (
        f"{first['n']:,} {first['unit']}s, {first['n_classes']} classes, {first['n_groups']:,} groups (grouping: "
        f"{first['grouping'] or 'given'}); {first['n_siblings']:,} {first['unit']}s share their group with another. "
        f"{first['k']}-NN, {first['n_folds']} stratified folds of either kind, mean over {first['repeats']} dealings. "
        "Right: paired, bars 95 %, bootstrap over groups; filled where the interval leaves 0 out."
    )
