"""Where the classes go in the last blocks: published Figure 2 of Yadav 2026.

The centroid of every class, followed through the last blocks in one joint plane. The classes that travel farthest are
drawn in colour with their names, all others faded, over the items of the last block as dots. Square: first block of
the path; diamond: the last. A joint plane puts classes on islands, which makes most paths short, so each coloured one
is drawn once more below, as large as fits, with the block numbers along it. As published, the map stands alone, and
the block numbers along its paths.
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
from .. import style
from ..labels import name_paths

SHOWN, COLUMNS = len(style.SHOWCASE), 3
MAP_IN, CLOSE_IN, TITLE_IN = 3.9, 1.25, 0.3  # heights of the map, of a close-up, of its title
LEFT_IN, RIGHT_IN = 0.25, 0.055
METHODS = {"umap": "UMAP", "pca": "PC"}


@style.styled
def draw(run: Path, shown: int = SHOWN) -> Figure:
    """Draw the run folder `run`: `shown` classes in colour, at most six."""
    data = Run(Path(run))
    taps, paths, colours = chosen(data, shown)
    rows = -(-len(colours) // COLUMNS)
    axes = new_map(rows * (CLOSE_IN + TITLE_IN) + 0.88)
    close = "Below: each coloured path alone; × is its scale against the map."
    style.caption(style.figure_of(axes), f"{caption(data, taps, len(colours), len(paths))} {close}")
    draw_map(axes, data, paths, colours)
    name_paths(axes, {label: paths[label] for label in colours}, colours)
    close_ups(axes, {label: paths[label] for label in colours}, taps, colours)
    return style.figure_of(axes)


@style.styled
def draw_published(run: Path, shown: int = SHOWN) -> Figure:
    """Published Figure 2: one plane, block numbers along the paths of the `shown` classes that travel farthest."""
    data = Run(Path(run))
    taps, paths, colours = chosen(data, shown)
    axes = new_map(0.88)
    same = data.config["settings"]["projection"] == "umap"
    plane = "" if same else " The plane is PCA's; the published one is UMAP's (`--projection umap`)."
    style.caption(style.figure_of(axes), caption(data, taps, len(colours), len(paths)) + plane)
    draw_map(axes, data, paths, colours)
    for label, colour in colours.items():
        number_path(axes, paths[label], taps, colour, zorder=21)
    name_paths(axes, {label: paths[label] for label in colours}, colours)
    return style.figure_of(axes)


def chosen(data: Run, shown: int) -> tuple[list[str], dict[str, np.ndarray], dict[str, str]]:
    """(taps, class -> its path [taps, 2], class -> colour of those that travel farthest)."""
    taps = list(dict.fromkeys(data.projection.tap))
    if len(taps) < 2:
        place = data.folder / "projection.csv"
        raise InputError(f"{place}: one tap ({taps[0]}), expected at least two for a path between them")
    centres = projection.centroids(data.projection)
    paths = {str(label): rows[["x", "y"]].to_numpy() for label, rows in centres.groupby("label")}
    return taps, paths, dict(zip(projection.longest(centres, min(shown, SHOWN)), style.SHOWCASE))


def new_map(below: float) -> Axes:
    """The map of a new figure with `below` inches under it."""
    figure = style.new_figure(MAP_IN + below)
    width, height = figure.get_size_inches()
    room = (width - LEFT_IN - RIGHT_IN) / width
    return figure.add_axes((LEFT_IN / width, 1 - (MAP_IN + 0.05) / height, room, MAP_IN / height))


def draw_map(axes: Axes, data: Run, paths: dict[str, np.ndarray], colours: dict[str, str]) -> None:
    """All paths in one frame, over the items of the last block."""
    items = data.projection[data.projection.tap == data.projection.tap.iloc[-1]]
    frame(axes, np.concatenate([*paths.values(), items[["x", "y"]].to_numpy()]), 0.15)
    method = METHODS[data.config["settings"]["projection"]]
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
    place, height = chart.get_position(), figure.get_figheight()
    width = (place.width - gap * (COLUMNS - 1)) / COLUMNS
    for number, (label, path) in enumerate(paths.items()):
        row, column = divmod(number, COLUMNS)
        bottom = height - MAP_IN - 0.3 - (row + 1) * (CLOSE_IN + TITLE_IN)
        axes = figure.add_axes((place.x0 + column * (width + gap), bottom / height, width, CLOSE_IN / height))
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


def number_path(axes: Axes, path: np.ndarray, taps: list[str], colour: str, zorder: float = 2) -> None:
    """A path with a block's number in every marker; a marker that would cover another stays a small dot."""
    axes.plot(*path.T, color=colour, lw=1.6, zorder=zorder, solid_joinstyle="round")
    points = axes.transData.transform(path) * 72 / axes.figure.dpi
    last = len(path) - 1
    numbered: list[int] = []
    for i in [last, 0, *range(1, last)]:
        if any(np.hypot(*(points[i] - points[other])) < 11.5 for other in numbered):
            axes.plot(
                *path[i], "s" if i == 0 else "o", ms=3.6, color=colour, mec=style.PAPER, mew=0.6, zorder=zorder + 1
            )
            continue
        numbered.append(i)
        marker, size = {0: ("s", 10), last: ("D", 10)}.get(i, ("o", 10.5))
        axes.plot(*path[i], marker, ms=size, mfc=colour, mec=style.PAPER, mew=0.9, zorder=zorder + 2)
        word = wording.tap_label(taps[i]) if taps[i].startswith("block_") else taps[i][0].upper()
        look: dict[str, Any] = {"fontsize": 6, "color": style.PAPER, "weight": "bold", "zorder": zorder + 4}
        axes.text(path[i, 0], path[i, 1], word, ha="center", va="center_baseline", **look)


def caption(data: Run, taps: list[str], shown: int, total: int) -> str:
    rest = f", the other {total - shown} in grey" if total > shown else ""
    first, last = wording.tap_title(taps[0]), wording.tap_title(taps[-1])
    return (
        f"Class centroids from {first} (square) to {last} (diamond) in one joint plane: the {shown} that travel "
        f"farthest in colour{rest}. Dots: {data.n_units:,} {data.unit} at {last}."
    )
