"""Score against training clips a class: `analysis.studies.few_shot` drawn, one panel a read-out."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from ...analysis import wording
from ...analysis.runs import Run
from .. import style
from ..labels import widest
from .readouts import NAMES, WINNERS, reference_of
from .sample_size import label

TABLE = "shots.csv"
EACH_IN, TITLE_IN, AXIS_IN, LEFT_IN = 1.85, 0.3, 0.28, 0.58
MOST = 4  # taps in colour besides the reference


@style.styled
def draw(run: Path) -> Figure:
    """The curves of RUN/shots.csv. InputError: it is not there.

    The tap that others are compared with is drawn dashed and always named. In colour besides it: the taps that lead
    most often at some number of shots.
    """
    table = Run(Path(run)).shots
    taps, readouts = list(pd.unique(table["tap"])), list(pd.unique(table["readout"]))
    reference = reference_of(run, taps)
    colours = _colours(table, reference)
    rest = len(readouts) * (EACH_IN + TITLE_IN) + (len(readouts) - 1) * AXIS_IN
    figure, _, height = style.captioned(_caption(table, len(taps) - len(colours)), rest, 0.56)
    width = style.WIDTH_IN - LEFT_IN - widest(figure, map(wording.tap_title, colours), 9) - 0.3
    low, high = table["lo"].min(), table["hi"].max()
    for i, readout in enumerate(readouts):
        bottom = height - (i + 1) * (EACH_IN + TITLE_IN) - i * AXIS_IN
        axes = style.add_panel(figure, LEFT_IN, bottom, width, EACH_IN)
        axes.set_title(NAMES.get(readout, readout).replace("\n", " "), fontsize=9.5, loc="left", pad=5)
        axes.set_ylim(low - 0.03 * (high - low or 1), high + 0.03 * (high - low or 1))
        _lines(axes, table[table["readout"] == readout], colours, reference)
        _finish(axes, sorted(pd.unique(table["shots"])))
    axes.set_xlabel("training clips a class (logarithmic)", labelpad=3)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, colours: dict[str, str], reference: str) -> None:
    ends = []
    for tap in sorted(pd.unique(rows["tap"]), key=lambda tap: (tap in colours, tap == reference)):
        curve = rows[rows["tap"] == tap].sort_values("shots")
        x, y = curve["shots"], curve["score"]
        if tap not in colours:
            axes.plot(x, y, color=style.FAINT, lw=0.9, zorder=1)
            continue
        colour = colours[tap]
        axes.fill_between(x, curve["lo"], curve["hi"], color=colour, alpha=0.1, lw=0)
        axes.plot(x, y, color=colour, lw=1.9, ls=(0, (4, 1.5)) if tap == reference else "-", zorder=3)
        axes.plot(x, y, "o", ms=4.2, mfc=style.PAPER, mec=colour, mew=1.2, zorder=4)
        ends.append((float(y.iloc[-1]), wording.tap_title(tap), colour))
    label(axes, ends)


def _finish(axes: Axes, shots: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(shots[0] / 1.15, shots[-1] * 1.15)
    axes.xaxis.set_major_locator(FixedLocator(shots))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([str(size) for size in shots])
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    style.light_grid(axes)
    axes.set_ylabel("top-1 accuracy")


def _colours(table: pd.DataFrame, reference: str) -> dict[str, str]:
    """The reference and up to MOST taps that lead most often, in order of that."""
    top = table.loc[table.groupby(["readout", "shots"])["score"].idxmax(), "tap"]
    counts = top[top != reference].value_counts()
    names = sorted(counts.index, key=lambda tap: (-counts[tap], tap))[:MOST]
    if not names:  # the reference leads everywhere: show the next best
        others = table[table["tap"] != reference].groupby("tap", sort=False)["score"].mean()
        names = list(others.nlargest(1).index)
    return dict(zip(names, WINNERS)) | {reference: style.REFERENCE}


def _caption(table: pd.DataFrame, grey: int) -> str:
    first = table.iloc[0]
    tested = np.unique(table["n_test"].round().astype(int).to_numpy())
    span = f"{tested[0]:,}" if len(tested) == 1 else f"{tested[0]:,} to {tested[-1]:,}"
    others = f" Grey: the {grey} other taps." if grey else ""
    return (
        f"Mean of {first['n_draws']} draws of training clips, {first['n_classes']} classes; tested on {span} clips of "
        f"groups that were not drawn. Bands: 95 % of the draws.{others}"
    )
