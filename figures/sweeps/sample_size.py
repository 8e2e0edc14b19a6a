"""How many clips until the ranking of the taps stays put: `analysis.studies.sample_size` drawn.

Upper panel: how often a smaller set of clips reads the same best tap, or one that all clips cannot tell from it, and
how often two sets without a common recording agree. Lower panel: rank agreement of all taps, with all clips and between
two such sets. Across: clips, on a logarithmic axis, up to the last size short of all, where agreement says nothing.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MultipleLocator, NullLocator

from ...analysis import wording
from ...features import InputError
from .. import style
from ..labels import name_beside

HEIGHT_IN, LEFT, RIGHT = 4.9, 0.108, 0.735
SHARES = {  # column -> label, colour, dashes
    "p_within_tie": ("the best tap is not\nseparable from the\nbest of all clips", style.REFERENCE, "-"),
    "p_same_top": ("the best tap is the\nbest of all clips", style.PROBE, "-"),
    "p_two_agree": ("two sets have the\nsame best tap", style.BEST, (0, (4, 1.5))),
}
RANKS = {
    ("spearman", "lo", "hi"): ("with all clips", style.PROBE, "-"),
    ("spearman_two", "spearman_two_lo", "spearman_two_hi"): ("between two\nsets", style.BEST, (0, (4, 1.5))),
}


@style.styled
def draw(frame: pd.DataFrame) -> Figure:
    """frame: of `analysis.studies.sample_size.curve`. InputError: no size but that of all clips."""
    frame = frame.sort_values("n_clips", ignore_index=True)
    if not (frame["n_clips"] < frame["n_all"]).any():
        raise InputError("budget: expected at least one smaller set, got only the full size.")
    figure = style.new_figure(HEIGHT_IN)
    lines = style.caption(figure, caption(frame))
    foot = (0.5 + 0.14 * lines) / HEIGHT_IN
    each = (0.95 - foot - 0.07) / 2
    top = figure.add_axes((LEFT, foot + each + 0.07, RIGHT - LEFT, each))
    bottom = figure.add_axes((LEFT, foot, RIGHT - LEFT, each), sharex=top)
    top.set_xscale("log")
    top.set_title("the same best tap", fontsize=9, loc="left", pad=5)
    bottom.set_title("the same order of all taps", fontsize=9, loc="left", pad=5)
    top.set_ylabel("share of draws")
    bottom.set_ylabel("Spearman's rho")
    top.set_ylim(-0.03, 1.05)
    ends = [line(top, frame, (column, f"{column}_lo", f"{column}_hi"), *look) for column, look in SHARES.items()]
    label(top, [end for end in ends if end])
    ends = [line(bottom, frame, columns, *look) for columns, look in RANKS.items()]
    low = np.nanmin(frame[["lo", "spearman_two_lo"]].to_numpy(dtype=float))
    bottom.set_ylim(min(0.0, low) - 0.05, 1.08)
    bottom.yaxis.set_major_locator(MultipleLocator(0.5))
    bottom.axhline(0, color=style.QUIET, lw=0.9, ls=(0, (1, 2)), zorder=1)
    label(bottom, [end for end in ends if end])
    finish(top, bottom, frame[frame["n_clips"] < frame["n_all"]])
    return figure


def known(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that a line may show: pairs of sets only where at least half of the draws had clips for two, and not the
    full size, which agrees with itself."""
    rows = frame[frame[column].notna() & (frame["n_clips"] < frame["n_all"])]
    return rows[rows["pairs"] >= rows["draws"] / 2] if "two" in column else rows


def line(axes: Axes, frame: pd.DataFrame, columns: tuple[str, str, str], words: str, colour: str, dashes):
    """One line with its interval as a band; where its label belongs: (y of its last dot, words, colour)."""
    rows = known(frame, columns[0])
    if rows.empty:
        return None
    x, value, low, high = (rows[name].to_numpy(dtype=float) for name in ("n_clips", *columns))
    axes.fill_between(x, low, high, color=colour, alpha=0.13, lw=0)
    axes.plot(x, value, color=colour, lw=1.6, ls=dashes, zorder=3)
    axes.plot(x, value, "o", ms=3.8, mfc=style.PAPER, mec=colour, mew=1.1, zorder=4)
    return float(value[-1]), words, colour


def label(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Each line's name at the right, at the height of its last dot as near as may be."""
    labels = [(words, y, colour) for y, words, colour in ends]
    name_beside(axes, labels, 1.03, 0.07, (0.1, 0.2), fontsize=8, linespacing=1.1)


def finish(top: Axes, bottom: Axes, frame: pd.DataFrame) -> None:
    sizes = frame["n_clips"].to_numpy()
    top.set_xlim(sizes[0] / 1.1, sizes[-1] * 1.1)
    for axes in (top, bottom):
        style.light_grid(axes)
        axes.xaxis.set_minor_locator(NullLocator())
    per_inch = np.log(top.get_xlim()[1] / top.get_xlim()[0]) / ((RIGHT - LEFT) * style.WIDTH_IN)
    shown: list[int] = []
    for size in sizes[::-1]:  # the largest always
        if not shown or np.log(shown[-1] / size) > (0.1 + 0.075 * len(f"{size:,}")) * per_inch:
            shown.append(int(size))
    bottom.xaxis.set_major_locator(FixedLocator(shown))
    bottom.set_xticklabels([f"{size:,}" for size in shown])
    top.tick_params(labelbottom=False)
    what = f"{frame['unit'].iloc[0]}s"
    bottom.set_xlabel(f"{what} in the set, of {frame['n_classes'].iloc[0]} classes (logarithmic)", labelpad=3)


def caption(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    tied = len(str(first["tied"]).split(";"))
    grouped = "no grouping known" if first["grouping"] in ("", "none") else f"grouping: {first['grouping']}"
    return (
        f"{first['draws']} sets of each size, drawn by class and group from {first['n_all']:,} {first['unit']}s in "
        f"{first['n_groups']:,} groups ({grouped}); {first['n_taps']} taps, {first['k']}-NN. Best of all "
        f"{first['unit']}s: {wording.tap_title(first['top'])}, {tied - 1} taps not separable from it. Solid: "
        f"against all {first['unit']}s, of which a set is part. Dashed: two sets without a common group. Bands: 95 %; "
        "above, of shares (Wilson); below, of the draws."
    )
