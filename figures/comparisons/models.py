"""Accuracy against cost of every model's taps, a panel a use: which model, read where, is worth what it costs?

Across: multiply-accumulates from the input up to the tap, for a second of audio (models read windows of different
lengths). Up: the tap's best read-out for the use. Each model's best tap is filled and named at the right.
"""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ...analysis import wording
from ...analysis.runs import GAPS, read_table
from ...features import InputError
from ...features.files import check_run
from .. import style
from ..labels import name_beside

TABLE = "ranking.csv"
COLUMNS = ("model", "tap", "last", "macs_per_s")
USES = {use: words.lower() for use, words in wording.USES.items()}
READOUTS = {
    "knn": "Euclidean k-NN",
    "knn-cosine": "cosine k-NN",
    "knn-standard": "standardised k-NN",
    "centroid": "class means",
    "linear": "ridge",
    "logistic": "logistic",
}
LEFT_IN, NAMES_IN, PANEL_IN, GAP_IN, AXIS_IN, LINE_IN = 0.6, 1.5, 1.95, 0.34, 0.42, 0.17
LABEL_IN = 0.32  # height that a model's best tap takes beside a panel
WIDE = 3.0  # from this ratio of costs on, the axis is logarithmic
MARKS = "oshpPXD"  # one more than colours, so that a colour that comes again has another mark


def has_data(run: Path) -> bool:
    """Whether this is the folder of a comparison of models."""
    path = Path(run) / TABLE
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("model,")


@style.styled
def draw(run: Path) -> Figure:
    """Draw the folder that `birdprobe compare` wrote. InputError: no ranking.csv there, or that of a sweep."""
    table = read(Path(run))
    uses = [use for use in USES if table[use].notna().any()]
    models = list(dict.fromkeys(table["model"]))
    panel_in = max(PANEL_IN, LABEL_IN * len(models))
    looks = dict(zip(models, zip(cycle(style.SHOWCASE), cycle(MARKS))))
    head = 0.1 + LINE_IN * -(-len(models) // 2)
    rest = AXIS_IN + len(uses) * panel_in + (len(uses) - 1) * GAP_IN + head + 0.22
    figure, foot, height = style.captioned(caption(table), rest)
    width = style.WIDTH_IN - LEFT_IN - NAMES_IN
    axes: Axes | None = None
    for i, use in enumerate(reversed(uses)):
        bottom = foot + AXIS_IN + i * (panel_in + GAP_IN)
        axes = style.add_panel(figure, LEFT_IN, bottom, width, panel_in, sharex=axes)
        scale(axes, table["macs_per_s"].to_numpy())
        panel(axes, table, use, looks)
        axes.tick_params(labelbottom=i == 0, which="both")
        if i == 0:
            axes.set_xlabel("multiply-accumulates up to the tap, per second of audio", labelpad=3)
    handles = [key(figure.axes[0], *looks[model]) for model in models]
    names = [style.trimmed(model, 34) for model in models]
    look: dict[str, Any] = {"frameon": False, "borderpad": 0, "borderaxespad": 0, "handletextpad": 0.5, "ncols": 2}
    look |= {"bbox_to_anchor": (0.01, 1 - 0.04 / height), "columnspacing": 1.6}
    figure.legend(handles, names, loc="upper left", **look)
    return figure


def read(run: Path) -> pd.DataFrame:
    """The table of a comparison's taps."""
    check_run(run, "compare", TABLE)
    if not has_data(run):
        raise InputError(f"{run}: expected a run of `birdprobe compare`, got a {TABLE} of another kind.")
    return read_table(run / TABLE, (*COLUMNS, *USES), na_values=GAPS, dtype={"model": str, "tap": str})


def key(axes: Axes, colour: str, mark: str):
    (line,) = axes.plot([], [], color=colour, marker=mark, ms=4, lw=1.2, mfc=style.PAPER)
    return line


def panel(axes: Axes, table: pd.DataFrame, use: str, looks: dict[str, tuple[str, str]]) -> None:
    """One use: a line a model through its taps, in order of cost; its best tap filled, its last tap crossed."""
    ends, labels = [], []
    for model, (colour, mark) in looks.items():
        own = table[(table["model"] == model) & table[use].notna()].sort_values("macs_per_s", kind="stable")
        if own.empty:
            continue
        priced = own["macs_per_s"].notna().all()
        x, y = own["macs_per_s"].to_numpy(), own[use].to_numpy()
        if priced:
            axes.plot(x, y, color=colour, lw=1.0, alpha=0.6, zorder=2)
            axes.plot(x, y, mark, ms=3.8 if len(own) < 12 else 3.0, mfc=style.PAPER, mec=colour, mew=1.0, zorder=3)
            last = own["last"].to_numpy(dtype=bool)
            axes.plot(x[last], y[last], "x", ms=5.5, color=style.INK, mew=1.3, zorder=6)
        best = own.iloc[int(np.argmax(y))]
        at = float(best["macs_per_s"]) if priced else axes.get_xlim()[0], float(best[use])
        if priced:
            axes.plot([at[0]] * 2, [best[f"{use}_lo"], best[f"{use}_hi"]], color=colour, lw=1.3, zorder=4)
            axes.plot(*at, mark, ms=6.5, mfc=colour, mec=style.PAPER, mew=0.8, zorder=5)
        else:
            axes.axhline(at[1], color=colour, lw=0.8, ls=(0, (1, 2)), zorder=1)
        readout = READOUTS.get(best[f"{use}_readout"], best[f"{use}_readout"])
        name = wording.tap_title(str(best["tap"]))
        labels.append((f"{name}, {at[1]:.3f}\n{readout}", at[1], colour))
        ends.append(at)
    axes.margins(y=0.1)
    axes.set_title(USES[use], fontsize=9, loc="left", pad=4)
    axes.set_ylabel("score, cross-validated")
    style.light_grid(axes)
    name_best(axes, ends, labels)


def name_best(axes: Axes, ends: list[tuple[float, float]], labels: list[tuple[str, float, str]]) -> None:
    """The best taps' names beside the panel, each at its height or as near as may be, joined by a thin line."""
    axes.set_ylim(axes.get_ylim())
    centres = name_beside(axes, labels, 1.05, 0.06, (0.15, 0.15), fontsize=8)
    for (x, y), (_, _, colour), centre in zip(ends, labels, centres):
        right = axes.get_xlim()[1]
        axes.plot([x, right], [y] * 2, color=colour, lw=0.6, ls=(0, (1, 2)), zorder=1)
        joint = axes.get_yaxis_transform()
        axes.plot([1, 1.04], [y, centre], color=colour, lw=0.6, ls=(0, (1, 2)), transform=joint, clip_on=False)


def scale(axes: Axes, cost: np.ndarray) -> None:
    """The axis of costs: logarithmic where models differ much."""
    low, high = float(np.nanmin(cost)), float(np.nanmax(cost))
    if low > 0 and high / low > WIDE:
        axes.set_xscale("log")
        pad = (high / low) ** 0.06
        axes.set_xlim(low / pad, high * pad)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        pad = 0.06 * (high - low) or 0.1 * high
        axes.set_xlim(low - pad, high + pad)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: counted(value)))


def counted(value: float) -> str:
    """1e6 -> "1 M", 2.5e9 -> "2.5 G"."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"


def caption(table: pd.DataFrame) -> str:
    across = " Dotted across: the best tap of a run of unknown cost." if table["macs_per_s"].isna().any() else ""
    return (
        f"Every tap of {table['model'].nunique()} runs on the same clips and folds, under its best read-out. "
        "Filled and named: the best tap of each, with its 95 % interval, which does not know that it was chosen. "
        "Crossed: its last tap before the classifier. Whether a difference is beyond chance is in compare.md." + across
    )
