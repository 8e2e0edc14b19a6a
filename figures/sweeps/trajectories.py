"""Where the classes go in the last blocks: published Figure 2 of Yadav 2026.

The centroid of every class, followed through the last blocks in one joint plane. The classes that travel farthest are
drawn in colour with their names, all others faded, over the items of the last block as dots. Square: first block of
the path; diamond: the last. A joint plane puts classes on islands, which makes most paths short, so each coloured one
is drawn once more below, as large as fits, with the block numbers along it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis import projection, wording
from ...analysis.runs import Run
from ...features import InputError
from .. import path_labels, style

SHOWN, COLUMNS = len(style.SHOWCASE), 3
MAP_IN, CLOSE_IN, TITLE_IN = 3.9, 1.25, 0.3  # heights of the map, of a close-up, of its title
LEFT, RIGHT = 0.045, 0.99


@style.styled
def draw(run: Path, shown: int = SHOWN) -> Figure:
    """Draw the run folder `run`: `shown` classes in colour, at most six."""
    data = Run(Path(run))
    taps = list(dict.fromkeys(data.projection.tap))
    if len(taps) < 2:
        place = data.folder / "projection.csv"
        raise InputError(f"{place}: one tap ({taps[0]}), expected at least two for a path between them")
    centres = projection.centroids(data.projection)
    paths = {str(label): rows[["x", "y"]].to_numpy() for label, rows in centres.groupby("label")}  # [taps, 2]
    longest = projection.longest(centres, min(shown, SHOWN))
    colours = dict(zip(longest, style.SHOWCASE))
    rows = -(-len(longest) // COLUMNS)
    height = MAP_IN + 0.3 + rows * (CLOSE_IN + TITLE_IN) + 0.58
    figure = style.new_figure(height)
    style.caption(figure, caption(data, taps, len(longest), len(paths)))
    axes = figure.add_axes((LEFT, 1 - (MAP_IN + 0.05) / height, RIGHT - LEFT, MAP_IN / height))
    draw_map(axes, data, paths, colours)
    close_ups(axes, {label: paths[label] for label in longest}, taps, colours)
    return figure


def draw_map(axes: Axes, data: Run, paths: dict[str, np.ndarray], colours: dict[str, str]) -> None:
    """All paths in one frame, over the items of the last block."""
    items = data.projection[data.projection.tap == data.projection.tap.iloc[-1]]
    frame(axes, np.concatenate([*paths.values(), items[["x", "y"]].to_numpy()]), 0.15)
    method = {"umap": "UMAP", "pca": "PC"}[data.config["settings"]["projection"]]
    axes.set_xlabel(f"{method} 1 (no unit)", fontsize=7.5, color=style.QUIET, loc="left")
    axes.set_ylabel(f"{method} 2 (no unit)", fontsize=7.5, color=style.QUIET, loc="bottom")
    dots(axes, items, colours)
    for label in sorted(set(paths) - set(colours)):
        path = paths[label]
        axes.plot(*path.T, color="#a3adb5", lw=1, zorder=2)
        ends(axes, path, "#a3adb5", 3.2, 2)
    for rank, (label, colour) in enumerate(colours.items()):
        axes.plot(*paths[label].T, color=style.PAPER, lw=4, zorder=20 - rank, solid_joinstyle="round")
        axes.plot(*paths[label].T, color=colour, lw=1.8, zorder=20.1 - rank, solid_joinstyle="round")
        ends(axes, paths[label], colour, 5.5, 20.2 - rank)
    path_labels.place(axes, {label: paths[label] for label in colours}, colours)


def frame(axes: Axes, points: np.ndarray, edge_in: float) -> None:
    """Equal scales, `edge_in` inches around `points` [n, 2]. A joint plane has no units, so no ticks."""
    low, high = points.min(axis=0), points.max(axis=0)
    panel = np.array([axes.bbox.width, axes.bbox.height])
    room = panel - 2 * edge_in * axes.figure.dpi
    half = panel * max(np.maximum(high - low, 1e-9) / room) / 2
    middle = (low + high) / 2
    axes.set(xlim=middle[0] + half[0] * np.array([-1, 1]), ylim=middle[1] + half[1] * np.array([-1, 1]))
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_color(style.FAINT)


def dots(axes: Axes, items: pd.DataFrame, colours: dict[str, str]) -> None:
    """Items as small dots, those of the coloured classes in a light shade of their colour; pixels also in the PDF."""
    rest = items[~items.label.isin(colours)]
    look: dict[str, Any] = {"s": 5, "lw": 0, "zorder": 1, "rasterized": True}
    axes.scatter(rest.x, rest.y, color=style.FAINT, alpha=0.55, **look)
    for label, colour in colours.items():
        mine = items[items.label == label]
        axes.scatter(mine.x, mine.y, color=colour, alpha=0.3, **look)


def ends(axes: Axes, path: np.ndarray, colour: str, size: float, zorder: float) -> None:
    look: dict[str, Any] = {"ms": size, "mfc": colour, "mec": style.PAPER, "mew": 0.7, "zorder": zorder}
    axes.plot(path[0, 0], path[0, 1], "s", **look)
    axes.plot(path[-1, 0], path[-1, 1], "D", **look)


def close_ups(chart: Axes, paths: dict[str, np.ndarray], taps: list[str], colours: dict[str, str]) -> None:
    """One panel a coloured path, as large as it gets, numbered along the way; its scale against the map beside it."""
    figure, gap = style.figure_of(chart), 0.02
    height, width = figure.get_figheight(), (RIGHT - LEFT - gap * (COLUMNS - 1)) / COLUMNS
    for number, (label, path) in enumerate(paths.items()):
        row, column = divmod(number, COLUMNS)
        bottom = height - MAP_IN - 0.3 - (row + 1) * (CLOSE_IN + TITLE_IN)
        axes = figure.add_axes((LEFT + column * (width + gap), bottom / height, width, CLOSE_IN / height))
        frame(axes, path, 0.16)
        axes.spines[["top", "right"]].set_visible(True)
        look: dict[str, Any] = {"fontsize": 7.5, "pad": 3}
        axes.set_title(style.trimmed(label, 22), loc="left", weight="bold", color=colours[label], **look)
        larger = scale(axes) / scale(chart)
        axes.set_title(f"×{larger:.0f}" if larger >= 2 else f"×{larger:.1f}", loc="right", color=style.QUIET, **look)
        number_path(axes, path, taps, colours[label])


def scale(axes: Axes) -> float:
    """Pixels a unit."""
    return axes.bbox.width / np.ptp(axes.get_xlim())


def number_path(axes: Axes, path: np.ndarray, taps: list[str], colour: str) -> None:
    """A path with a block's number in every marker; a marker that would cover another stays a small dot."""
    axes.plot(*path.T, color=colour, lw=1.6, zorder=2, solid_joinstyle="round")
    points = axes.transData.transform(path) * 72 / axes.figure.dpi
    last = len(path) - 1
    numbered: list[int] = []
    for i in [last, 0, *range(1, last)]:
        if any(np.hypot(*(points[i] - points[other])) < 11.5 for other in numbered):
            axes.plot(*path[i], "s" if i == 0 else "o", ms=3.6, color=colour, mec=style.PAPER, mew=0.6, zorder=3)
            continue
        numbered.append(i)
        marker, size = {0: ("s", 10), last: ("D", 10)}.get(i, ("o", 10.5))
        axes.plot(*path[i], marker, ms=size, mfc=colour, mec=style.PAPER, mew=0.9, zorder=4)
        word = wording.tap_label(taps[i]) if taps[i].startswith("block_") else taps[i][0].upper()
        look: dict[str, Any] = {"fontsize": 6, "color": style.PAPER, "weight": "bold", "zorder": 6}
        axes.text(path[i, 0], path[i, 1], word, ha="center", va="center_baseline", **look)


def caption(data: Run, taps: list[str], shown: int, total: int) -> str:
    rest = f", the other {total - shown} in grey" if total > shown else ""
    first, last = wording.tap_title(taps[0]), wording.tap_title(taps[-1])
    return (
        f"Class centroids from {first} (square) to {last} (diamond) in one joint plane: the {shown} that travel "
        f"farthest in colour{rest}. Dots: {data.n_units:,} {data.unit} at {last}. Below: each coloured path alone; × "
        "is its scale against the map."
    )
