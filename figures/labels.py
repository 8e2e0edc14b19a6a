"""Names in pictures: beside paths, where they hide the least, and beside panels, where none covers another."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from sklearn.isotonic import isotonic_regression

from . import style

ANGLES = np.arange(0, 2 * np.pi, np.pi / 12)
GAPS = (7, 14, 24)  # points between a marker's middle and its name


def name_paths(axes: Axes, paths: dict[str, np.ndarray], colours: dict[str, str], size: float = 8.5) -> None:
    """Write every path's name ([points, 2] in data units) at the cheapest of many places around its points.

    The path's end is preferred, then its start. Names never cover one another or leave the axes while a place is left
    where they do not.
    """
    scale = axes.figure.dpi / 72
    marks = np.concatenate([dense(axes.transData.transform(path)) for path in paths.values()])
    window = axes.get_window_extent()
    taken: list[Bbox] = []
    for label, path in paths.items():
        look: dict[str, Any] = {"color": colours[label], "weight": "bold", "fontsize": size}
        text = axes.text(0, 0, style.trimmed(label), zorder=30, ha="center", va="center", **look)
        box = text.get_window_extent()
        text.set_path_effects([withStroke(linewidth=2.5, foreground=style.PAPER)])
        half = np.array([box.width, box.height]) / 2
        ends = axes.transData.transform(path)
        places = [
            (0.3 * rank + gap / 40, ends[i] + way * (gap * scale + half * np.abs(way)))
            for rank, i in enumerate([len(ends) - 1, 0, *range(len(ends) - 2, 0, -1)])
            for way in np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
            for gap in GAPS
        ]
        areas = [Bbox([centre - half - 3 * scale, centre + half + 3 * scale]) for _, centre in places]
        costs = [cost + hidden(area, marks, taken, window) for (cost, _), area in zip(places, areas)]
        cheapest = int(np.argmin(costs))
        across, along = axes.transData.inverted().transform(places[cheapest][1])
        text.set_position((across, along))
        taken.append(areas[cheapest])


def dense(path: np.ndarray) -> np.ndarray:
    """A path in pixels as closely spaced points, so that crossing it can be counted."""
    steps = np.linspace(0, 1, 24, endpoint=False)[:, None]
    return np.concatenate([*(a + steps * (b - a) for a, b in pairwise(path)), path[-1:]])


def hidden(area: Bbox, marks: np.ndarray, taken: list[Bbox], window: Bbox) -> float:
    """What a name would hide at `area`: points of paths; other names and the edge count a hundredfold."""
    covered = int(((marks > area.min) & (marks < area.max)).all(axis=1).sum())
    outside = area.x0 < window.x0 or area.x1 > window.x1 or area.y0 < window.y0 or area.y1 > window.y1
    return 0.5 * covered + 100 * sum(area.overlaps(other) for other in taken) + 100 * outside


def widest(figure: Figure, names: Iterable[str], size: float, **look: Any) -> float:
    """Inches of the longest of some names."""
    widths = []
    for name in names:
        text = figure.text(0, 0, name, fontsize=size, **look)
        widths.append(style.size_in(text)[0])
        text.remove()
    return max(widths)


def key_of_marks(
    figure: Figure, left: float, height: float, entries: Iterable[tuple[str, dict[str, Any]]], ms: float = 5.0
) -> None:
    """Marks with their words behind, in one row. left: a share of the figure's width. height: share of its height.

    entries: (words, properties of the mark).
    """
    for words, look in entries:
        mark = Line2D([left + 0.012], [height], transform=figure.transFigure, lw=0, ms=ms, **look)
        figure.add_artist(mark)
        text = figure.text(left + 0.03, height, words, fontsize=8, va="center", ha="left")
        left += 0.03 + style.size_in(text)[0] / style.WIDTH_IN + 0.04


def name_beside(
    axes: Axes, labels: Sequence[tuple[str, float, str]], x: float, gap: float, room: tuple[float, float], **look: Any
) -> list[float]:
    """Write names to the right of a panel, each at its height or as near as may be, none on another; their heights.

    labels: (words, height in data units, colour). x: where they begin, a share of the panel's width. gap: inches
    between two names. room: inches below and above the panel that they may take. look: further properties of the
    texts; weights, one a name.
    """
    weights = look.pop("weights", ["normal"] * len(labels))
    texts = [
        axes.annotate(
            words, (x, y), xycoords=("axes fraction", "data"), va="center", color=colour, weight=weight, **look
        )
        for (words, y, colour), weight in zip(labels, weights)
    ]
    low, high = sorted(axes.get_ylim())
    per_inch = (high - low) / (axes.get_position().height * style.figure_of(axes).get_figheight())
    heights = [(style.size_in(text)[1] + gap) * per_inch for text in texts]
    places = spread([y for _, y, _ in labels], heights, low - room[0] * per_inch, high + room[1] * per_inch)
    for text, place in zip(texts, places):
        text.set_y(place)
    return places


def spread(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Centres for labels on one line: each as near as may be to where it is wanted, none on another, in [low, high].

    Less what lies below each, centres only have to rise, so they are an isotonic regression; the order is kept.
    """
    order, tall = np.argsort(wanted, kind="stable"), np.asarray(heights, dtype=float)
    below = np.cumsum(tall[order]) - tall[order] / 2
    free = isotonic_regression(np.asarray(wanted)[order] - below, y_min=low, y_max=high - tall.sum())
    centres = np.empty(len(tall))
    centres[order] = free + below
    return centres.tolist()
