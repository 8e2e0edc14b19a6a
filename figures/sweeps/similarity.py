"""How alike the taps arrange the clips: linear CKA between all pairs, as a heat map."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.runs import Run
from .. import style

TABLE = "cka.csv"
MAP_IN, RIGHT_IN = 3.9, 0.62
MOST_NUMBERS = 14  # taps whose cells have room for a number


def has_data(run: Path) -> bool:
    return (Path(run) / TABLE).is_file()


@style.styled
def draw(source: Path | pd.DataFrame) -> Figure:
    """Draw RUN/cka.csv, or the frame that `analysis.transferability.cka` returned. InputError: it is not there."""
    table = source if isinstance(source, pd.DataFrame) else Run(Path(source)).cka
    taps = list(table.index)
    figure = style.new_figure(1)
    lines = style.caption(
        figure,
        "Linear CKA (Kornblith et al. 2019): 1 where two taps arrange the clips alike up to rotation and scale. Few "
        "clips and wide taps raise it everywhere. Taps in the order of the graph; grey: a tap that is constant.",
    )
    spoken = [style.spoken(tap) if not tap.startswith("block_") else style.short(tap) for tap in taps]
    size = float(np.clip(MAP_IN / len(taps) * 72 * 0.7, 5.5, 8.5))
    left = 0.3 + _widest(figure, spoken, size)
    map_in = min(MAP_IN, style.WIDTH_IN - left - RIGHT_IN - 0.1)
    foot, head = 0.2 + 0.13 * lines, 0.1 + _widest(figure, spoken, size) + 0.08
    height = foot + map_in + head
    figure.set_figheight(height)
    figure.texts[0].set_y(0.07 / height)
    place = (left / style.WIDTH_IN, foot / height, map_in / style.WIDTH_IN, map_in / height)
    axes = figure.add_axes(place, facecolor=style.FAINT)
    values = np.ma.masked_invalid(table.to_numpy(dtype=float))
    mesh = axes.pcolormesh(values, cmap=style.ACCURACY, vmin=0, vmax=1)
    axes.set_ylim(len(taps), 0)
    axes.set_yticks(np.arange(len(taps)) + 0.5, spoken, fontsize=size)
    axes.set_xticks(np.arange(len(taps)) + 0.5, spoken, fontsize=size, rotation=90)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    _thin(axes, taps, size, map_in)
    for side in axes.spines.values():
        side.set_visible(False)
    if len(taps) <= MOST_NUMBERS:
        _write(axes, values, mesh, min(8.0, map_in / len(taps) * 72 * 0.33))
    bar = figure.add_axes(((left + map_in + 0.14) / style.WIDTH_IN, foot / height, 0.11 / style.WIDTH_IN, place[3]))
    figure.colorbar(mesh, cax=bar, ticks=[0, 0.5, 1])
    bar.tick_params(length=0, labelsize=8.5)
    bar.set_ylabel("linear CKA", labelpad=2, fontsize=8.5)
    bar.spines["outline"].set_visible(False)
    return figure


def _thin(axes: Axes, taps: list[str], size: float, map_in: float) -> None:
    """Blank the names of blocks that would touch their neighbours'."""
    every = int(np.ceil((size + 1.5) / 72 / (map_in / len(taps))))
    shown = [not tap.startswith("block_") or i % every == 0 for i, tap in enumerate(taps)]
    for i in range(len(taps)):
        near = any(not taps[j].startswith("block_") for j in range(max(0, i - every + 1), min(len(taps), i + every)))
        if taps[i].startswith("block_") and (not shown[i] or (every > 1 and near)):
            axes.get_yticklabels()[i].set_text("")
            axes.get_xticklabels()[i].set_text("")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticklabels([label.get_text() for label in axis.get_ticklabels()])


def _write(axes: Axes, values: np.ma.MaskedArray, mesh, size: float) -> None:
    for i, j in zip(*np.nonzero(~np.ma.getmaskarray(values))):
        value = float(values[i, j])
        words = "1" if value > 0.995 else f"{value:.2f}".removeprefix("0")
        ink = style.ink_on(mesh.cmap(mesh.norm(value)))
        axes.text(j + 0.5, i + 0.5, words, ha="center", va="center_baseline", fontsize=size, color=ink)


def _widest(figure: Figure, names: list[str], size: float) -> float:
    widths = []
    for name in names:
        text = figure.text(0, 0, name, fontsize=size)
        widths.append(style.size_in(text)[0])
        text.remove()
    return max(widths)
