"""Accuracy against depth, with what it costs to get there: the figure that answers "which block should I read?".

Upper panel: k-NN top-1 accuracy of every tap with its 95 % interval, the linear probe behind it, chance and the
reference (the model's last tap before the classifier). Embedding and logits stand apart at the right, since they are
not blocks. Lower panel: milliseconds a window up to each tap.
"""

from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...analysis import wording
from ...analysis.runs import Run
from .. import style
from ..labels import name_beside

DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))  # a line a pooling
SLOT = 0.15  # share of the axis that each tap outside the blocks gets, so that its name fits
LEFT_IN, RIGHT_IN, HEIGHT_IN = 0.605, 0.997, 4.8  # room for the scale, for the numbers beside
WIDE: dict[str, Any] = {"ncols": 3, "columnspacing": 1.6}  # the key, and in one column
NARROW: dict[str, Any] = {"ncols": 2, "fontsize": 7, "columnspacing": 0.8, "handlelength": 1.4}
NARROW_IN = (0.5, 0.74, 3.9)  # the same of one column


@style.styled
def draw(run: Path) -> Figure:
    """Draw the run folder `run`. Accuracies as shares, costs in ms a window (multiply-accumulates if never timed)."""
    data = Run(Path(run))
    places = positions(list(data.ranking.tap), len(data.architecture["blocks"]))
    x = np.array([places[tap] for tap in data.ranking.tap])
    left, right, height = NARROW_IN if style.narrow() else (LEFT_IN, RIGHT_IN, HEIGHT_IN)
    figure = style.new_figure(height)
    lines = style.caption(figure, caption(data))
    foot = (0.5 + 0.14 * lines + 0.4 * style.narrow()) / height
    left, width = left / style.WIDTH_IN, 1 - (left + right) / style.WIDTH_IN
    roof = 0.9 - 0.03 * (style.narrow() or data.control is not None)  # two rows in the key
    top = figure.add_axes((left, foot + 0.225, width, roof - foot - 0.225))
    bottom = figure.add_axes((left, foot, width, 0.185), sharex=top)
    top.set_xlim(limits(places))
    shade_stages(data, top, bottom)
    draw_accuracy(data, top, x)
    draw_margin(data, top, x)
    draw_cost(data, bottom, x)
    label_taps(data, bottom, places)
    top.tick_params(labelbottom=False, bottom=False, which="both")
    return figure


def positions(taps: list[str], n_blocks: int) -> dict[str, float]:
    """x of every tap: a block stands at its index, the stem before block 0, embedding and logits in slots behind."""
    outside = [tap for tap in taps if not tap.startswith("block_")]
    slot = SLOT * max(n_blocks, 2) / (1 - SLOT * len(outside))
    behind = [tap for tap in outside if tap != "stem"]
    places = {tap: float(tap.removeprefix("block_").partition("/")[0]) for tap in taps if tap.startswith("block_")}
    places |= {"stem": -slot} if "stem" in outside else {}
    return places | {tap: n_blocks - 1 + slot * (i + 0.8) for i, tap in enumerate(behind)}


def limits(places: dict[str, float]) -> tuple[float, float]:
    low, high = min(places.values()), max(places.values())
    pad = (high - min(low, 0)) * 0.035 + 0.2
    return min(low, 0) - pad, high + pad + (high - low) * 0.015


def shade_stages(data: Run, top: Axes, bottom: Axes) -> None:
    """Stages as alternating shades behind both panels, numbered along the top."""
    blocks = data.architecture["blocks"]
    stages = [block["stage"] for block in blocks]
    if None in stages or len(set(stages)) < 2:
        return
    edges = [i for i in range(len(stages)) if i == 0 or stages[i] != stages[i - 1]] + [len(stages)]
    for number, (first, end) in enumerate(pairwise(edges)):
        if number % 2 == 0:
            for axes in (top, bottom):
                axes.axvspan(first - 0.5, end - 0.5, color=style.SHADE, lw=0, zorder=0)
        words = f"{'stage ' if number == 0 and end - first > 1 and not style.narrow() else ''}{stages[first]}"
        at = ((first + end - 1) / 2, 1.012)
        top.annotate(
            words, at, xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7, color=style.QUIET
        )


def draw_accuracy(data: Run, axes: Axes, x: np.ndarray) -> None:
    table = data.ranking
    inside = table.tap.str.startswith("block_").to_numpy()
    knn, low, high = table.knn.to_numpy(), table.knn_lo.to_numpy(), table.knn_hi.to_numpy()
    axes.set_ylim(0, min(1.0, float(np.nanmax([*high, *table.linear])) + 0.12))
    axes.set_ylabel("top-1 accuracy" if style.narrow() else "top-1 accuracy, cross-validated")
    style.light_grid(axes)
    axes.axhline(data.chance, color=style.QUIET, lw=0.9, ls=(0, (1, 2)))
    axes.axhline(table.knn[data.reference], color=style.REFERENCE, lw=1.1, ls=(0, (5, 2.5)))
    handles: dict[str, Any] = {}
    for rule, mask, dashes in poolings(table.tap):
        interval = axes.fill_between(x[mask], low[mask], high[mask], color=style.PROBE, alpha=0.16, lw=0)
        (line,) = axes.plot(x[mask], knn[mask], color=style.PROBE, lw=1.6, ls=dashes, zorder=3)
        handles[f"{rule or data.neighbours}, 95 % interval"] = (interval, line)
    if data.control is not None:
        handles["untrained"] = draw_control(data.control, table.tap, axes, x)
    if len(handles) < 2 + (data.control is not None):
        (quiet,) = axes.plot(x[inside], table.linear[inside], color=style.LINEAR, lw=1.1, ls=(0, (3, 1.2)))
        handles["linear probe"] = quiet
    aside = x[~inside] + 0.012 * np.ptp(axes.get_xlim())  # beside the interval's cap, not on it
    if "linear probe" in handles:
        axes.plot(aside, table.linear[~inside], color=style.LINEAR, marker="_", ms=7, mew=1.6, ls="")
    bars: dict[str, Any] = {"fmt": "none", "ecolor": style.PROBE, "elinewidth": 1.1, "capsize": 2.5, "alpha": 0.75}
    axes.errorbar(x[~inside], knn[~inside], [(knn - low)[~inside], (high - knn)[~inside]], **bars)
    size = float(np.clip(90 / len(x), 2.6, 4.6))
    near = table.tap.isin(data.tied).to_numpy()
    for chosen, face in ((~near, style.PAPER), (near, style.PROBE)):
        axes.plot(x[chosen], knn[chosen], "o", ms=size, mfc=face, mec=style.PROBE, mew=1.2, zorder=4)
    best = list(table.tap).index(data.best)
    axes.plot(x[best], knn[best], "o", ms=size + 4, mfc=style.BEST, mec=style.PAPER, mew=1.2, zorder=5)
    if near.any():
        (dot,) = axes.plot([], [], "o", ms=4.4, color=style.PROBE)
        handles["not separable from the best"] = dot
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.01, 1.09 if style.narrow() else 1.045)}
    small = NARROW if style.narrow() else WIDE
    axes.legend(handles.values(), handles.keys(), frameon=False, borderpad=0, **place, **small)


def draw_control(control: pd.DataFrame, taps: pd.Series, axes: Axes, x: np.ndarray) -> Any:
    """The same network with random weights: grey and dashed, marks in place of the line outside the blocks."""
    untrained = control.set_index("tap")["knn"].reindex(list(taps)).to_numpy()
    look: dict[str, Any] = {"color": style.QUIET, "zorder": 2}
    for _, mask, _ in poolings(taps):
        (line,) = axes.plot(x[mask], untrained[mask], lw=1.2, ls=(0, (4, 2)), **look)
    outside = ~taps.str.startswith("block_").to_numpy()
    axes.plot(x[outside], untrained[outside], marker="_", ms=7, mew=1.6, ls="", **look)
    return line


def poolings(taps: pd.Series) -> list[tuple[str, np.ndarray, Any]]:
    """(Pooling, which taps are blocks pooled so, dashes) for each line; "" where a run has only one pooling."""
    rules = taps.where(taps.str.startswith("block_"), "/-").str.partition("/")[2]
    names = [rule for rule in dict.fromkeys(rules) if rule != "-"]
    return [(rule, (rules == rule).to_numpy(), dashes) for rule, dashes in zip(names, cycle(DASHES))]


def draw_margin(data: Run, axes: Axes, x: np.ndarray) -> None:
    """The numbers to take home, beside the heights that they belong to: the best tap, its gain, reference, chance."""
    table = data.ranking
    best, reference = float(table.knn[data.best]), float(table.knn[data.reference])
    axes.hlines(best, x[list(table.tap).index(data.best)], axes.get_xlim()[1], color=style.BEST, lw=0.9, zorder=1)
    notes = [(f"{name(data.best)}\n{best:.3f}", best, style.BEST)]
    if data.best != data.reference:
        row = table.loc[data.best].to_dict()
        gain, low, high = (wording.in_points(row[name]) for name in ("vs_last", "vs_last_lo", "vs_last_hi"))
        words = f"{wording.number(gain, 1, signed=True)} points\n[{wording.number(low, 1)}, {wording.number(high, 1)}]"
        notes.append((wording.minus_sign(words), (best + reference) / 2, style.INK))
        notes.append((f"{name(data.reference)}\n{reference:.3f}", reference, style.REFERENCE))
        ends = axes.get_yaxis_transform()
        look: dict[str, Any] = {"color": style.INK, "lw": 1.4, "solid_capstyle": "butt"}
        axes.plot([1.012] * 2, [reference, best], transform=ends, clip_on=False, **look)
    notes.append((f"chance\n{data.chance:.3f}", data.chance, style.QUIET))
    weights = ["bold", *["normal"] * (len(notes) - 1)]
    name_beside(axes, notes, 1.03, 0.06, (0.2, 0.06), weights=weights, fontsize=7 if style.narrow() else 8)


def draw_cost(data: Run, axes: Axes, x: np.ndarray) -> None:
    """Milliseconds a window up to every tap, the best one's share of the reference's written beside."""
    cost, unit = costs(data)
    inside = data.ranking.tap.str.startswith("block_").to_numpy()
    axes.fill_between(x[inside], cost[inside], color=style.QUIET, alpha=0.18, lw=0)
    axes.plot(x[inside], cost[inside], color=style.QUIET, lw=1.3)
    axes.plot(x[~inside], cost[~inside], "o", ms=3.6, color=style.QUIET)
    axes.set_ylim(0, max(float(np.nanmax(cost)) * 1.12, 1e-9))
    axes.set_ylabel(unit)
    axes.grid(axis="y", color=style.FAINT, lw=0.5, alpha=0.7)
    axes.yaxis.set_major_locator(MaxNLocator(3))
    best, last = (list(data.ranking.tap).index(tap) for tap in (data.best, data.reference))
    axes.vlines(x[best], 0, cost[best], color=style.BEST, lw=1.1)
    axes.plot(x[best], cost[best], "o", ms=6, mfc=style.BEST, mec=style.PAPER, mew=1)
    share = f"\n{100 * cost[best] / cost[last]:.0f} % of the\n{name(data.reference)}'s" if best != last else ""
    words = f"{style.number(cost[best])} {unit.split()[0]}{share}"
    size = 7 if style.narrow() else 8
    axes.annotate(words, (1.03, 0.5), xycoords="axes fraction", va="center", fontsize=size, color=style.BEST)


def costs(data: Run) -> tuple[np.ndarray, str]:
    """Measured ms per window up to each tap; where nothing was timed, multiply-accumulates from the block table."""
    measured = data.ranking.ms_per_window.to_numpy(dtype=float)
    if not np.isnan(measured).any():
        return measured, "ms per window"
    table = data.architecture
    rows = [*table["blocks"], *(table[key] for key in ("stem", "embedding", "logits") if table.get(key))]
    macs = {row["name"]: row["macs"] for row in rows}
    return np.array([macs[tap.partition("/")[0]] for tap in data.ranking.tap]) / 1e9, "GMAC per window"


def label_taps(data: Run, axes: Axes, places: dict[str, float]) -> None:
    """Block numbers below the lower panel, as many as fit, the best always among them; other taps by name."""
    blocks = sorted({int(place) for tap, place in places.items() if tap.startswith("block_")})
    shown = readable(blocks, places[data.best], 0.165 / inches_per_unit(axes))
    others = {tap: place for tap, place in places.items() if not tap.startswith("block_")}
    axes.set_xticks([*shown, *others.values()], [*map(str, shown), *others], fontsize=7.5)
    axes.set_xticks(blocks, minor=True)
    axes.tick_params(axis="x", which="minor", length=2)
    for label, place in zip(axes.get_xticklabels(), [*shown, *others.values()]):
        if place == places[data.best]:
            label.set(color=style.BEST, fontweight="bold")
        if style.narrow() and place in others.values():
            label.set(rotation=90)
    middle = (min(blocks, default=0) + max(blocks, default=0)) / 2
    below = axes.get_xaxis_transform()
    axes.annotate("block", (middle, 0), (0, -20), below, "offset points", ha="center", va="top")


def readable(blocks: list[int], best: float, apart: float) -> list[int]:
    """The block numbers to write so that neighbours stand at least `apart`: the best, then regular steps."""
    step = next(step for step in (1, 2, 4, 5, 10, 20, 50, 100, 1000) if step >= apart)
    whole = bool(blocks) and len(blocks) == blocks[-1] + 1
    shown: list[int] = []
    for block in [*(i for i in blocks if i == best), *(i for i in blocks if not whole or i % step == 0)]:
        if all(abs(block - other) >= apart for other in shown):
            shown.append(block)
    return sorted(shown)


def inches_per_unit(axes: Axes) -> float:
    low, high = axes.get_xlim()
    return axes.get_position().width * style.figure_of(axes).get_figwidth() / (high - low)


def name(tap: str) -> str:
    return wording.tap_title(tap) if tap.startswith("block_") else tap


def caption(data: Run) -> str:
    what = "groups of clips" if data.n_groups else data.unit
    how = ", jackknife" if data.has_readouts else ", bootstrap"  # runs of the first edition
    return (
        f"{data.counted}, {data.config['folds']['n']} folds. Intervals: 95 %{how} over {what}. "
        f"Grouping: {data.config.get('grouping', 'none')}."
        f"{' Untrained: the same network with random weights.' if data.control is not None else ''}"
    )
