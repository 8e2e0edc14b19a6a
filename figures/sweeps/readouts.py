"""Taps under every read-out: a heat map of the scores, and a bump chart of the ranks.

Where the outlined cells lie in one row, the answer does not depend on how the tap is read; where they do not, it does.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...analysis import wording
from ...analysis.readout_ranking import best_index
from ...analysis.runs import Run
from ...features import InputError
from .. import style
from ..labels import name_beside, widest

TABLE = "readouts.csv"
NAMES = {
    "knn": "k-NN\nEuclidean",
    "knn-cosine": "k-NN\ncosine",
    "knn-standard": "k-NN\nstandard.",
    "centroid": "class\nmeans",
    "linear": "ridge",
    "logistic": "logistic",
    "attentive": "attentive",
}
HEAD_IN, SIDE_IN = 0.5, 0.1
WINNERS = (style.BEST, style.PROBE, *(c for c in style.SHOWCASE if c not in (style.BEST, style.PROBE, style.REFERENCE)))


def has_ranks(run: Path) -> bool:
    """Whether the run was read in two ways or more."""
    return (Path(run) / TABLE).is_file() and Run(Path(run)).readouts["readout"].nunique() > 1


@style.styled
def draw(run: Path) -> Figure:
    """The heat map of RUN/readouts.csv: taps down, read-outs across, the tap that others are compared with marked."""
    scores, reference = _scores(run)
    row_in = float(np.clip(4.6 / len(scores), 0.135, 0.25))
    figure, foot, _ = style.captioned(_caption(scores, reference), row_in * len(scores) + _head_in())
    size = min(7.0 if style.narrow() else 9.0, row_in * 72 * 0.8)
    left = SIDE_IN + _widest(figure, scores.index, size) + 0.1
    room = style.WIDTH_IN - left - SIDE_IN
    axes = style.add_panel(figure, left, foot, room, row_in * len(scores))
    values = np.ma.masked_invalid(scores.to_numpy())
    mesh = axes.pcolormesh(values, cmap=style.ACCURACY, vmin=values.min() - 1e-9, vmax=values.max() + 1e-9)
    axes.set_ylim(len(scores), 0)
    axes.hlines(np.arange(1, len(scores)), 0, scores.shape[1], color=style.PAPER, lw=0.7)
    axes.vlines(np.arange(1, scores.shape[1]), 0, len(scores), color=style.PAPER, lw=2.5)
    _name_columns(axes, np.arange(scores.shape[1]) + 0.5, scores)
    axes.set_yticks(np.arange(len(scores)) + 0.5, [wording.tap_title(tap) for tap in scores.index], fontsize=size)
    axes.tick_params(length=0, pad=3)
    style.hide_spines(axes)
    _write(axes, scores, mesh, size)
    _mark(axes, scores, reference)
    return figure


@style.styled
def draw_ranks(run: Path) -> Figure:
    """The bump chart of RUN/readouts.csv: a line a tap, its rank under each read-out.

    Coloured: the best tap of each read-out and the reference tap; equal scores share their mean rank.
    InputError: the table is not there, another, or of a single read-out.
    """
    scores, reference = _scores(run)
    if scores.shape[1] < 2:
        raise InputError(f"ranks: expected at least two read-outs, got {scores.shape[1]}.")
    ranks = scores.rank(ascending=False)
    colours = _colours(scores, reference)
    shares = "coloured: the best tap of each read-out, and "
    body = float(np.clip(0.19 * len(ranks), 1.8, 4.6))
    figure, foot, _ = style.captioned(
        f"Rank of each of {len(ranks)} taps, 1 the best; {shares}the {wording.tap_title(reference)} (dashed).",
        body + _head_in(),
    )
    side = SIDE_IN + _widest(figure, colours, 9) + 0.1
    left, room = 0.42, style.WIDTH_IN - 0.42 - side
    axes = style.add_panel(figure, left, foot, room, body)
    axes.set(xlim=(-0.15, ranks.shape[1] - 0.85), ylim=(len(ranks) + 0.5, 0.5))
    x = np.arange(ranks.shape[1])
    for tap in sorted(ranks.index, key=lambda tap: (tap in colours, tap == reference)):
        y, colour = ranks.loc[tap], colours.get(tap, style.FAINT)
        strong = tap in colours
        dashes = (0, (4, 1.5)) if tap == reference else "-"
        axes.plot(x, y, color=colour, lw=2.2 if strong else 0.9, ls=dashes, zorder=3 if strong else 1)
        axes.plot(x, y, "o", ms=5 if strong else 2.5, color=colour, zorder=4 if strong else 2)
    _name_columns(axes, x, ranks)
    shown = sorted({1, *range(5, len(ranks) - 1, 5), len(ranks)})
    axes.set_yticks(shown, [str(rank) for rank in shown])
    axes.set_ylabel("rank", labelpad=1)
    axes.tick_params(length=0, pad=3)
    style.hide_spines(axes)
    ends = [(wording.tap_title(tap), float(ranks.loc[tap].to_numpy()[-1]), colour) for tap, colour in colours.items()]
    half = 0.5 * body / len(ranks)  # of a rank
    name_beside(axes, ends, 1.02, 0.03, (half, half), fontsize=9)
    return figure


def _head_in() -> float:
    """Inches above the columns: in one column of a page their names stand upright."""
    return 2 * HEAD_IN if style.narrow() else HEAD_IN


def _name_columns(axes: Axes, places: np.ndarray, table: pd.DataFrame) -> None:
    """The read-outs' names above their columns."""
    names = [NAMES.get(name, name) for name in map(str, table)]
    if style.narrow():
        axes.set_xticks(places, [name.replace("\n", " ") for name in names], fontsize=7, rotation=90)
    else:
        axes.set_xticks(places, names, fontsize=8.5)
    axes.xaxis.tick_top()


def reference_of(run: Path, taps: Sequence[str]) -> str:
    """The tap that others are compared with: that of config.json, else `embedding`, else the last.

    InputError: config.json names another tap.
    """
    if not (Path(run) / "config.json").is_file():
        return "embedding" if "embedding" in taps else taps[-1]
    if (reference := Run(Path(run)).reference) not in taps:
        raise InputError(f"read-outs: expected one of {', '.join(taps)}, got {reference}.")
    return reference


def _scores(run: Path) -> tuple[pd.DataFrame, str]:
    """[taps, read-outs], both in the order of the table; and the tap that others are compared with."""
    table = Run(Path(run)).readouts
    if (twice := table[table.duplicated(["tap", "readout"])]).size:
        raise InputError(f"read-outs: {twice.tap.iloc[0]} by {twice.readout.iloc[0]} is there twice, expected once.")
    taps = list(table["tap"].unique())
    scores = table.pivot(index="tap", columns="readout", values="score")
    scores = scores.reindex(index=taps, columns=list(table["readout"].unique())).astype(float)
    return scores, reference_of(run, taps)


def _best(scores: pd.DataFrame, reference: str) -> list[str]:
    """The best tap of each read-out, in order."""
    return [str(scores.index[best_index(scores[name], scores.index == reference)]) for name in scores]


def _colours(scores: pd.DataFrame, reference: str) -> dict[str, str]:
    """Each read-out's winner, the most frequent first, and the reference."""
    winners = pd.Series(_best(scores, reference)).value_counts(sort=True).index
    others = [tap for tap in winners if tap != reference]
    return {tap: WINNERS[i % len(WINNERS)] for i, tap in enumerate(others)} | {reference: style.REFERENCE}


def _write(axes: Axes, scores: pd.DataFrame, mesh: QuadMesh, size: float) -> None:
    best = scores.max()
    values = scores.to_numpy()
    for i in range(len(scores)):
        for j, readout in enumerate(scores.columns):
            value = float(values[i, j])
            words = "–" if np.isnan(value) else f"{value:.3f}".removeprefix("0")
            ink = style.ink_on(mesh.to_rgba(values[i, j])) if not np.isnan(value) else style.QUIET
            weight = "bold" if value == best[readout] else "normal"
            axes.text(
                j + 0.5, i + 0.5, words, ha="center", va="center_baseline", fontsize=size, color=ink, weight=weight
            )


def _mark(axes: Axes, scores: pd.DataFrame, reference: str) -> None:
    """An outline around each read-out's best cell, and the reference tap's name and row set off."""
    for j, tap in enumerate(_best(scores, reference)):
        i = list(scores.index).index(tap)
        axes.add_patch(
            Rectangle((j + 0.03, i + 0.04), 0.94, 0.92, fill=False, ec=style.BEST, lw=2, clip_on=False, zorder=5)
        )
    i = list(scores.index).index(reference)
    name = axes.get_yticklabels()[i]
    name.set_color(style.REFERENCE)
    name.set_fontweight("bold")
    axes.hlines([i, i + 1], 0, scores.shape[1], color=style.REFERENCE, lw=1.1, zorder=4, clip_on=False)


def _widest(figure: Figure, taps, size: float) -> float:
    """Inches of the longest tap name in bold."""
    return widest(figure, map(wording.tap_title, taps), size, weight="bold")


def _caption(scores: pd.DataFrame, reference: str) -> str:
    same = len(set(_best(scores, reference))) == 1
    return (
        "Score of every tap under every read-out; the stronger the colour, the higher. Outlined: the best tap of each "
        "read-out"
        f"{', the same for all' if same and scores.shape[1] > 1 else ''}. Between green lines: the "
        f"{wording.tap_title(reference)}, which the others are compared with."
    )
