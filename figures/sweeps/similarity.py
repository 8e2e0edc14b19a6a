"""How alike the taps arrange the clips: linear CKA between all pairs, as a heat map."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from ...analysis import wording
from ...analysis.runs import Run
from .. import style
from ..labels import spread, widest

TABLE = "cka.csv"
MAP_IN, RIGHT_IN = 3.9, 0.62
MOST_NUMBERS = 14  # taps whose cells have room for a number


@style.styled
def draw(run: Path) -> Figure:
    """The heat map of RUN/cka.csv. InputError: it is not there."""
    table = Run(Path(run)).cka
    taps = list(table.index)
    figure = style.new_figure()
    lines = style.caption(
        figure,
        "Linear CKA (Kornblith et al. 2019): 1 where two taps arrange the clips alike up to rotation and scale. Few "
        "clips and wide taps raise it everywhere. Taps in the order of the graph; grey: a tap that is constant.",
    )
    spoken = [wording.tap_title(tap) if not tap.startswith("block_") else wording.tap_label(tap) for tap in taps]
    size = float(np.clip(MAP_IN / len(taps) * 72 * 0.7, 7, 8.5))
    names_in = widest(figure, spoken, size)
    left = 0.3 + names_in
    map_in = min(MAP_IN, style.WIDTH_IN - left - RIGHT_IN - 0.1)
    foot, head = 0.2 + 0.13 * lines, 0.1 + names_in + 0.08
    height = foot + map_in + head
    style.set_height(figure, height)
    axes = style.add_panel(figure, left, foot, map_in, map_in, facecolor=style.FAINT)
    values = np.ma.masked_invalid(table.to_numpy(dtype=float))
    mesh = axes.pcolormesh(values, cmap=style.ACCURACY, vmin=0, vmax=1)
    places, shown = _thinned(spoken, taps, (1.15 * size + 1) / 72, map_in)
    axes.set_yticks(places, shown, fontsize=size)
    axes.set_xticks(places, shown, fontsize=size, rotation=90)
    axes.set(xlim=(0, len(taps)), ylim=(len(taps), 0))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    style.hide_spines(axes)
    if len(taps) <= MOST_NUMBERS:
        _write(axes, values, mesh, min(8.0, map_in / len(taps) * 72 * 0.33))
    bar = style.add_panel(figure, left + map_in + 0.14, foot, 0.11, map_in)
    figure.colorbar(mesh, cax=bar, ticks=[0, 0.5, 1])
    bar.tick_params(length=0, labelsize=8.5)
    bar.set_ylabel("linear CKA", labelpad=2, fontsize=8.5)
    bar.spines["outline"].set_visible(False)
    return figure


def _thinned(names: list[str], taps: list[str], name_in: float, map_in: float) -> tuple[list[float], list[str]]:
    """Places and words of the names that have room of `name_in` each; blocks give way to the other taps."""
    room = name_in / (map_in / len(taps))
    named = [i for i, tap in enumerate(taps) if not tap.startswith("block_")]
    apart = spread([i + 0.5 for i in named], [room] * len(named), 0.0, len(taps))
    places = dict(zip(named, apart))
    for i in range(len(taps)):
        if i not in places and all(abs(i + 0.5 - place) >= room for place in places.values()):
            places[i] = i + 0.5
    return [places[i] for i in sorted(places)], [names[i] for i in sorted(places)]


def _write(axes: Axes, values: np.ma.MaskedArray, mesh: QuadMesh, size: float) -> None:
    for i, j in zip(*np.nonzero(~np.ma.getmaskarray(values))):
        value = float(values[i, j])
        words = "1" if value > 0.995 else f"{value:.2f}".removeprefix("0")
        ink = style.ink_on(mesh.to_rgba(values[i, j]))
        axes.text(j + 0.5, i + 0.5, words, ha="center", va="center_baseline", fontsize=size, color=ink)
