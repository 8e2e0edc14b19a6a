"""The pictures of an atlas: curves beside untrained ones, depth against distance, what rules of thumb cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.readout_ranking import best_index
from ...analysis.studies.atlas import CELL, DISTANCES, with_depth
from .. import style

CURVES = {"logistic": (style.PROBE, "logistic regression"), "knn": (style.BEST, "Euclidean 5-NN (published)")}
LOOKS = dict(zip(("knn", "knn-cosine", "knn-standard", "centroid", "linear", "logistic"), style.SHOWCASE))
NAMES = {
    "knn": "5-NN\nEuclid.",
    "knn-cosine": "5-NN\ncosine",
    "knn-standard": "5-NN\nstand.",
    "centroid": "class\nmeans",
    "linear": "ridge",
    "logistic": "logistic",
}
Tables = Mapping[str, pd.DataFrame]


@style.styled
def curves(tables: Tables) -> Figure:
    """Accuracy over depth: backbones down, data sets across; dashed the same architecture untrained."""
    cells, scores = tables["cells"], tables["scores"].merge(with_depth(tables["taps"]), on=[*CELL, "tap"])
    rows, columns = list(dict.fromkeys(cells["backbone"])), list(dict.fromkeys(cells["data"]))
    words = "Top-1, cross-validated; bands 95 %, jackknife over groups. Dotted: chance. Filled: the best tap up to the "
    figure, foot, height = style.captioned(
        f"{words}final embedding. {counted(cells)}", 1.0 * len(rows) + 0.3, 0.42, 0.14
    )
    left, width = 0.5, (style.WIDTH_IN - 0.5 - 0.08) / len(columns)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            x, y = left + j * width, foot + (len(rows) - 1 - i) * 1.0
            axes = style.add_panel(figure, x, y, width - 0.1, 0.82)
            at = (scores["backbone"] == row) & (scores["data"] == column)
            panel(axes, scores[at], cells[(cells["backbone"] == row) & (cells["data"] == column)])
            axes.set_title(f"{row} on {column}", fontsize=7.5, loc="left", pad=2)
            axes.tick_params(labelsize=7, labelbottom=i == len(rows) - 1, labelleft=j == 0)
            if i == len(rows) - 1:
                axes.set_xticks([0, 1], ["first\nblock", "final\nembedding"])
                first, last = axes.get_xticklabels()
                first.set_horizontalalignment("left")
                last.set_horizontalalignment("right")
    key(figure, height)
    return figure


def panel(axes: Axes, rows: pd.DataFrame, cells: pd.DataFrame) -> None:
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(0, 1)
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 0.5, 1])
    style.light_grid(axes)
    axes.axhline(float(cells["chance"].iloc[0]), color=style.QUIET, lw=0.8, ls=(0, (1, 2)))
    for readout, (colour, _) in CURVES.items():
        for control in (True, False):
            line = rows[(rows["readout"] == readout) & (rows["control"] == control) & (rows["tap"] != "logits")]
            line = line.sort_values("position")
            if line.empty:
                continue
            axes.plot(line["depth"], line["score"], color=colour, lw=0.9 if control else 1.5, ls=dashes(control))
            if not control:
                axes.fill_between(line["depth"], line["lo"], line["hi"], color=colour, alpha=0.13, lw=0)
                best = line.iloc[best_index(line["score"], line["tap"] == "embedding")]
                axes.plot(best["depth"], best["score"], "o", ms=4, color=colour, mec=style.PAPER, mew=0.6, zorder=5)


def dashes(control: bool) -> Any:
    return (0, (3, 1.5)) if control else "-"


def key(figure: Figure, height: float) -> None:
    for i, (colour, words) in enumerate(CURVES.values()):
        figure.text(0.09 + 0.32 * i, 1 - 0.12 / height, words, color=colour, fontsize=8, va="top", weight="bold")
    figure.text(0.985, 1 - 0.12 / height, "dashed: untrained", fontsize=8, va="top", ha="right", color=style.QUIET)


def counted(cells: pd.DataFrame) -> str:
    """What each data set holds."""
    parts = []
    for data, rows in cells.groupby("data", sort=False):
        n = "-".join(map(str, sorted({rows["n"].min(), rows["n"].max()})))
        parts.append(f"{data}: {n} items in {rows['groups'].iloc[0]} groups, {rows['classes'].iloc[0]} classes")
    return "; ".join(parts) + "."


@style.styled
def depth(tables: Tables) -> Figure:
    """How deep the best tap lies, by how far the recordings are from what the backbone was trained on."""
    found = tables["answers"]
    found = found[~found["control"]]
    groups = [d for d in DISTANCES if d in set(found["distance"])]
    sizes = ", ".join(f"{found[found['distance'] == d].groupby(['backbone', 'data']).ngroups} {d}" for d in groups)
    words = f"One mark a backbone, data set and read-out; the bar is their mean. Cells: {sizes}. Depth counts taps: 0 "
    figure, foot, height = style.captioned(
        f"{words}the first block, 1 the final embedding (or the logits).", 0.75 * len(groups) + 0.36, 0.62, 0.14
    )
    axes = figure.add_axes((0.1, foot / height, 0.83, 0.75 * len(groups) / height))
    for i, group in enumerate(groups):
        rows = found[found["distance"] == group]
        for k, (readout, colour) in enumerate(LOOKS.items()):
            own = rows[rows["readout"] == readout]
            y = i + (k - (len(LOOKS) - 1) / 2) * 0.14
            axes.plot(own["depth"], np.full(len(own), y), "o", ms=4.2, color=colour, alpha=0.55, mew=0)
            axes.plot([own["depth"].mean()] * 2, [y - 0.065, y + 0.065], color=colour, lw=2.4, solid_capstyle="butt")
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_yticks(range(len(groups)), groups, fontsize=8.5)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["first block", "0.25", "0.5", "0.75", "embedding"], fontsize=8)
    style.light_grid(axes, "x")
    axes.set_xlabel("depth of the best tap", labelpad=3)
    x = 0.03
    for readout, colour in LOOKS.items():
        words = NAMES[readout].replace("\n", " ")
        text = figure.text(x, 1 - 0.1 / height, words, color=colour, fontsize=7.5, va="top", weight="bold")
        x += style.size_in(text)[0] / style.WIDTH_IN + 0.02
    return figure


@style.styled
def rules(tables: Tables) -> Figure:
    """What reading by a rule of thumb costs against the best tap, in points: mean over the cells, and the worst."""
    table = tables["rules"]
    names = list(dict.fromkeys(table["rule"]))
    columns = [name for name in LOOKS if name in set(table["readout"])]
    mean = table.pivot(index="rule", columns="readout", values="regret_mean").loc[names, columns] * 100
    worst = table.pivot(index="rule", columns="readout", values="regret_worst").loc[names, columns] * 100
    cells = int(table["cells"].max())
    words = (
        f"Points of top-1 below the best tap under the same read-out: mean over {cells} trained cells, (worst). The "
    )
    row_in, left = 0.36, 2.0
    figure, foot, _ = style.captioned(
        f"{words}best tap is picked on the same data, so even a good rule pays.", row_in * len(names) + 0.5, 0.16, 0.14
    )
    axes = style.add_panel(figure, left, foot, style.WIDTH_IN - left - 0.08, row_in * len(names))
    mesh = axes.pcolormesh(mean.to_numpy(), cmap=style.ACCURACY.reversed(), vmin=0, vmax=float(mean.to_numpy().max()))
    axes.set_ylim(len(names), 0)
    furthest = worst.to_numpy()
    for (i, j), value in np.ndenumerate(mean.to_numpy()):
        ink = style.ink_on(mesh.cmap(mesh.norm(value)))
        words = f"{value:.1f}\n({furthest[i, j]:.0f})"
        axes.text(j + 0.5, i + 0.5, words, ha="center", va="center", fontsize=7.5, color=ink, linespacing=1.0)
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=8)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [NAMES[name] for name in columns], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    style.hide_spines(axes)
    return figure


@style.styled
def controls(tables: Tables) -> Figure:
    """How much of a score is architecture: chance, the untrained network's best tap, the trained one's."""
    table = tables["controls"]
    table = table[table["readout"] == "logistic"].reset_index(drop=True)
    words = "Best tap by logistic regression of each network, one seed of untrained weights. The same front end serves "
    figure, foot, height = style.captioned(
        f"{words}both, so what the untrained one reaches is spectrogram too.", 0.2 * len(table) + 0.32, 0.62, 0.14
    )
    axes = figure.add_axes((0.29, foot / height, 0.68, 0.2 * len(table) / height))
    marks = (("chance", "|", style.QUIET), ("untrained", "o", style.QUIET), ("trained", "o", style.PROBE))
    for i, row in enumerate(table.to_dict("records")):
        axes.plot([row["untrained"], row["trained"]], [i, i], color=style.PROBE, lw=2.4, alpha=0.35, zorder=1)
        for column, mark, colour in marks:
            axes.plot(row[column], i, mark, ms=5.5, color=colour, zorder=2, mew=1.4 if mark == "|" else 0)
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set_yticks(range(len(table)), table["backbone"] + " on " + table["data"], fontsize=8)
    axes.set_xlim(0, 1)
    style.light_grid(axes, "x")
    axes.set_xlabel("top-1 accuracy, cross-validated", labelpad=3)
    for k, (column, _, colour) in enumerate(marks):
        figure.text(0.29 + 0.2 * k, 1 - 0.1 / height, column, color=colour, fontsize=8.5, va="top", weight="bold")
    return figure
