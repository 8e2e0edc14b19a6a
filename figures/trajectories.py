"""Where the classes go in the last blocks: published Figure 2 of Yadav 2026.

The centroid of every class, followed through the last blocks in one joint plane. The classes that travel farthest are
drawn in colour with their names and the block numbers along the way, all others faded. Square: first block of the
path; diamond: the last.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

from analysis import projection
from features import InputError
from figures import style
from figures.runs import Run

SHOWN = len(style.SHOWCASE)
HEIGHT_IN = 5.4


@style.styled
def draw(run: Path, shown: int = SHOWN) -> Figure:
    """Draw the run folder `run`: `shown` classes in colour, at most six."""
    data = Run(Path(run))
    centres = projection.centroids(data.projection)
    paths = {label: rows[["x", "y"]].to_numpy() for label, rows in centres.groupby("label")}  # [taps, 2]
    taps = list(dict.fromkeys(data.projection.tap))
    if len(taps) < 2:
        raise InputError(
            f"{data.folder / 'projection.csv'}: one tap ({taps[0]}), at least two wanted for a path between them"
        )
    longest = projection.longest(centres, min(shown, SHOWN))
    figure = style.new_figure(HEIGHT_IN)
    lines = style.caption(figure, caption(data, taps, len(longest), len(paths)))
    foot = (0.3 + 0.14 * lines) / HEIGHT_IN
    axes = figure.add_axes((0.045, foot, 0.945, 0.985 - foot))
    frame(axes, np.concatenate(list(paths.values())), data)
    for label in sorted(set(paths) - set(longest)):
        faded(axes, paths[label])
    occupied: list[np.ndarray] = []
    for rank, label in enumerate(longest):
        showcase(axes, paths[label], taps, style.SHOWCASE[rank], 20 - rank, occupied)
    name_paths(axes, {label: paths[label] for label in longest})
    return figure


def frame(axes: Axes, points: np.ndarray, data: Run) -> None:
    """Equal scales around all paths, with room for names; a joint plane has no units, so no ticks."""
    low, high = points.min(axis=0), points.max(axis=0)
    panel = np.array([axes.bbox.width, axes.bbox.height])
    need = np.maximum(high - low, 1e-9) * (1.2, 1.16)
    half = panel * max(need / panel) / 2
    axes.set_xlim((low + high)[0] / 2 - half[0], (low + high)[0] / 2 + half[0])
    axes.set_ylim((low + high)[1] / 2 - half[1], (low + high)[1] / 2 + half[1])
    axes.set(xticks=[], yticks=[])
    method = {"umap": "UMAP", "pca": "PC"}[data.config["settings"]["projection"]]
    axes.set_xlabel(f"{method} 1 (no unit)", fontsize=7.5, color=style.QUIET, loc="left")
    axes.set_ylabel(f"{method} 2 (no unit)", fontsize=7.5, color=style.QUIET, loc="bottom")
    for side in axes.spines.values():
        side.set_color(style.FAINT)


def faded(axes: Axes, path: np.ndarray) -> None:
    look = {"color": style.FAINT, "zorder": 1}
    axes.plot(*path.T, lw=0.9, **look)
    axes.plot(*path[0], "s", ms=3, mew=0, **look)
    axes.plot(*path[-1], "D", ms=3, mew=0, **look)


def showcase(
    axes: Axes, path: np.ndarray, taps: list[str], colour: str, zorder: int, occupied: list[np.ndarray]
) -> None:
    """One coloured path; a block's number stands in its marker unless one already stands there.

    `occupied` collects the places of numbered markers, in points; both ends are numbered in any case.
    """
    axes.plot(*path.T, color=style.PAPER, lw=4, zorder=zorder, solid_joinstyle="round")
    axes.plot(*path.T, color=colour, lw=1.8, zorder=zorder + 0.1, solid_joinstyle="round")
    points = axes.transData.transform(path) * 72 / axes.figure.dpi
    last = len(path) - 1
    for i in [0, last, *range(1, last)]:
        if i not in (0, last) and min(np.hypot(*(points[i] - other)) for other in occupied) < 12:
            axes.plot(*path[i], "o", ms=3.4, color=colour, mec=style.PAPER, mew=0.6, zorder=zorder + 0.2)
            continue
        occupied.append(points[i])
        marker, size = {0: ("s", 10), last: ("D", 10)}.get(i, ("o", 10.5))
        axes.plot(*path[i], marker, ms=size, mfc=colour, mec=style.PAPER, mew=0.9, zorder=zorder + 0.3)
        look = {"ha": "center", "va": "center_baseline", "fontsize": 6, "color": style.PAPER, "weight": "bold"}
        word = style.short(taps[i]) if taps[i].startswith("block_") else taps[i][0].upper()
        axes.text(*path[i], word, zorder=zorder + 0.4, **look)


def name_paths(axes: Axes, paths: dict[str, np.ndarray]) -> None:
    """Each name near its path's end, where it hides the least: the cheapest of many places around the path."""
    renderer = axes.figure.canvas.get_renderer()
    scale = axes.figure.dpi / 72
    marks = {label: dense(axes.transData.transform(path)) for label, path in paths.items()}
    window, taken = axes.get_window_extent(renderer), []
    for (label, path), colour in zip(paths.items(), style.SHOWCASE):
        text = axes.text(
            0, 0, style.trimmed(label), color=colour, weight="bold", fontsize=8.5, ha="center", va="center", zorder=30
        )
        box = text.get_window_extent(renderer)
        text.set_path_effects([withStroke(linewidth=2.5, foreground=style.PAPER)])
        half = np.array([box.width, box.height]) / 2
        ends = axes.transData.transform(path)
        best, cheapest = ends[-1], np.inf
        for rank, i in enumerate([len(ends) - 1, 0, *range(len(ends) - 2, 0, -1)]):
            for angle in np.arange(0, 2 * np.pi, np.pi / 12):
                for gap in (9, 16, 26):
                    way = np.array([np.cos(angle), np.sin(angle)])
                    reach = gap * scale + half * np.abs(way)
                    centre = ends[i] + way * reach
                    area = Bbox([centre - half - 3 * scale, centre + half + 3 * scale])
                    cost = 0.3 * rank + gap / 40 + overlaps(area, marks, taken, window)
                    if cost < cheapest:
                        best, cheapest = centre, cost
        text.set_position(axes.transData.inverted().transform(best))
        taken.append(Bbox([best - half - 2 * scale, best + half + 2 * scale]))


def dense(path: np.ndarray) -> np.ndarray:
    """A path in pixels as closely spaced points, so that crossing it can be counted."""
    steps = np.linspace(0, 1, 24, endpoint=False)[:, None]
    return np.concatenate([*(a + steps * (b - a) for a, b in pairwise(path)), path[-1:]])


def overlaps(area: Bbox, marks: dict[str, np.ndarray], taken: list[Bbox], window: Bbox) -> float:
    """What a name would hide at `area`: path points, other names (never wanted), the edge (never wanted)."""
    hidden = sum(int(((points > area.min) & (points < area.max)).all(axis=1).sum()) for points in marks.values())
    outside = area.x0 < window.x0 or area.x1 > window.x1 or area.y0 < window.y0 or area.y1 > window.y1
    return 0.5 * hidden + 100 * sum(area.overlaps(other) for other in taken) + 100 * outside


def caption(data: Run, taps: list[str], shown: int, total: int) -> str:
    rest = f"; the other {total - shown} are faded" if total > shown else ""
    return (
        f"Class centroids from {style.spoken(taps[0])} (square) to {style.spoken(taps[-1])} (diamond) in one joint "
        f"plane; in colour the {shown} that travel farthest{rest}. {data.n_units:,} {data.unit}."
    )
