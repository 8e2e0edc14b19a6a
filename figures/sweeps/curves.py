"""Accuracy over depth of several backbones and data sets on one axis, a published curve among them if there is one.

Depth is normalised: the first block stands at 0, the last at 1, whatever their number; embedding and logits stand apart
behind. Upper panel: k-NN top-1 accuracy with its 95 % interval. Lower panel: the same above chance, as a share of the
series' own best block, so that an easy data set and a hard one can be compared in shape.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...analysis import wording
from ...analysis.runs import Run
from .. import style

COLUMNS = ("series", "published", "tap", "depth", "knn", "knn_lo", "knn_hi", "chance", "about")
APART = {"embedding": 1.13, "logits": 1.29}
MARKS = ("o", "s", "^", "D", "v", "P")
LEFT, RIGHT, PANEL_IN, BETWEEN_IN, KEY_IN = 0.108, 0.985, 1.75, 0.36, 0.2


def of_run(run: Path | str, name: str | None = None) -> pd.DataFrame:
    """The curve of a finished sweep, columns COLUMNS. name: what the key calls it; by default model and data."""
    run = Run(Path(run))
    blocks = len(run.architecture["blocks"])
    table = run.ranking.reset_index(drop=True)
    model = run.config["model"]
    default = f"{model.get('preset') or Path(model['path']).stem}, {Path(run.config['audio'].get('path', '')).stem}"
    inside = table["tap"].str.startswith("block_")
    depth = table["tap"].map(APART).astype(float)
    depth[inside] = table.loc[inside, "index"].astype(int) / max(blocks - 1, 1)
    depth[table["tap"] == "stem"] = -0.05
    groups = f" in {run.n_groups:,} groups" if run.n_groups else ", groups unknown"
    return pd.DataFrame(
        {
            "series": name or default,
            "published": False,
            **{column: table[column] for column in ("tap", "knn", "knn_lo", "knn_hi")},
            "depth": depth,
            "chance": run.chance,
            "about": f"{run.n_units:,} {run.unit}{groups}, {run.n_classes} classes",
        }
    )[list(COLUMNS)]


def of_blocks(table: pd.DataFrame, name: str, n_blocks: int, chance: float, about: str) -> pd.DataFrame:
    """A published curve, columns COLUMNS, from a table with columns block (0 is the first) and knn; no intervals.

    n_blocks: how many the model has, read or not; about: "600 clips, groups unknown, 30 classes".
    """
    frame = pd.DataFrame({"tap": [f"block_{block:02d}" for block in table["block"]], "knn": table["knn"].to_numpy()})
    frame["depth"] = table["block"].to_numpy() / max(n_blocks - 1, 1)
    return frame.assign(series=name, published=True, knn_lo=np.nan, knn_hi=np.nan, chance=chance, about=about)[
        list(COLUMNS)
    ]


@style.styled
def draw(curves: Sequence[pd.DataFrame]) -> Figure:
    """Draw the curves, a frame a series as `of_run` and `of_blocks` make them; one to six, each of its own name."""
    frame = pd.concat(curves, ignore_index=True)
    names = list(dict.fromkeys(frame["series"]))
    rest = 2 * PANEL_IN + BETWEEN_IN + KEY_IN * len(names) + 0.3
    figure, foot, height = style.captioned(caption(frame), rest, 0.5, 0.14)
    panels = []
    for bottom in (foot + PANEL_IN + BETWEEN_IN, foot):
        panels.append(figure.add_axes((LEFT, bottom / height, RIGHT - LEFT, PANEL_IN / height)))
    looks = dict(zip(names, looked(frame, names)))
    shares = frame.assign(**of_best(frame))
    for axes, table, words in zip(panels, (frame, shares), ("top-1 accuracy", "share of own best")):
        for at, name in enumerate(names):
            shift = 0.018 * (at - (len(names) - 1) / 2)
            colour, mark, dashes = looks[name]
            curve(axes, table[table["series"] == name], colour, mark, dashes, shift)
        finish(axes, frame, words)
    panels[0].tick_params(labelbottom=False)
    panels[1].set_xlabel("depth, as a share of the model's blocks", labelpad=3)
    panels[1].set_title("above chance, as a share of the own best block", fontsize=9, loc="left", pad=4)
    key(figure, names, looks, frame, height)
    return figure


def looked(frame: pd.DataFrame, names: list[str]) -> Iterator[tuple[str, str, Any]]:
    """(colour, marker, dashes) of each series: what was published in ink and dashed, ours in colours."""
    colours = iter(style.SHOWCASE)
    for name, mark in zip(names, MARKS):
        published = bool(frame.loc[frame["series"] == name, "published"].iloc[0])
        yield (style.INK, mark, (0, (4, 1.5))) if published else (next(colours), mark, "-")


def of_best(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """knn, knn_lo, knn_hi less chance, over the same of the series' best block: 1 at the best, 0 at chance."""
    blocks = frame[frame["depth"].between(0, 1)]
    best = frame["series"].map(blocks.groupby("series")["knn"].max())
    above = (best - frame["chance"]).where(best > frame["chance"])  # a probe at chance has no shape
    return {column: (frame[column] - frame["chance"]) / above for column in ("knn", "knn_lo", "knn_hi")}


def curve(axes: Axes, rows: pd.DataFrame, colour: str, mark: str, dashes, shift: float) -> None:
    inside = rows[rows["depth"].between(0, 1)].sort_values("depth")
    aside = rows[~rows["depth"].between(0, 1)].assign(depth=lambda table: table["depth"] + shift)  # side by side
    if inside["knn_lo"].notna().any():
        axes.fill_between(inside["depth"], inside["knn_lo"], inside["knn_hi"], color=colour, alpha=0.13, lw=0)
    axes.plot(inside["depth"], inside["knn"], color=colour, lw=1.4, ls=dashes, zorder=3)
    look: dict[str, Any] = {"mfc": style.PAPER, "mec": colour, "mew": 1.1, "ls": ""}
    axes.plot(inside["depth"], inside["knn"], mark, ms=3.8, zorder=4, **look)
    up, down = aside["knn_hi"] - aside["knn"], aside["knn"] - aside["knn_lo"]
    axes.errorbar(aside["depth"], aside["knn"], [down, up], fmt="none", ecolor=colour, elinewidth=1, alpha=0.6)
    axes.plot(aside["depth"], aside["knn"], mark, ms=4.6, zorder=4, **look)
    if inside["knn"].notna().any():
        best = inside.iloc[int(np.nanargmax(inside["knn"]))]
        axes.plot(best["depth"], best["knn"], mark, ms=6, mfc=colour, mec=style.PAPER, mew=0.8, zorder=5)


def finish(axes: Axes, frame: pd.DataFrame, words: str) -> None:
    axes.set_ylabel(words)
    style.light_grid(axes)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.0), max(high, 1.02))
    beside = [tap for tap in APART if (frame["tap"] == tap).any()]
    axes.set_xlim(
        -0.08 if (frame["tap"] == "stem").any() else -0.03, max([1.03, *(APART[tap] + 0.07 for tap in beside)])
    )
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1, *(APART[tap] for tap in beside)])
    axes.set_xticklabels(["0", "0.25", "0.5", "0.75", "1", *beside])
    if beside:
        axes.axvline(1.04, color=style.FAINT, lw=0.9)


def key(figure: Figure, names: list[str], looks: dict, frame: pd.DataFrame, height: float) -> None:
    """A line for each series above the panels: its mark, its name, its best block."""
    for at, name in enumerate(names):
        colour, mark, dashes = looks[name]
        y = 1 - (0.16 + KEY_IN * at) / height
        place: dict[str, Any] = {"transform": figure.transFigure, "color": colour}
        figure.add_artist(Line2D([LEFT, LEFT + 0.055], [y, y], lw=1.4, ls=dashes, **place))
        figure.add_artist(Line2D([LEFT + 0.0275], [y], marker=mark, ms=4.6, mfc=style.PAPER, mec=colour, **place))
        rows = frame[(frame["series"] == name) & frame["depth"].between(0, 1)]
        best = rows.iloc[int(np.nanargmax(rows["knn"]))]
        words = f", best {wording.tap_title(best['tap'])}: {best['knn']:.3f}"
        for limit in range(60, 10, -1):
            text = figure.text(LEFT + 0.07, y, style.trimmed(name, limit) + words, fontsize=8, va="center_baseline")
            if LEFT + 0.07 + style.size_in(text)[0] / style.WIDTH_IN < 0.985:
                break
            text.remove()


def caption(frame: pd.DataFrame) -> str:
    counts = {
        name: f"{rows['about'].iloc[0]}, chance {rows['chance'].iloc[0]:.3f}"
        for name, rows in frame.groupby("series", sort=False)
    }
    words = "; ".join(f"{style.trimmed(str(name), 60)}: {about}" for name, about in counts.items())
    bare = " Dashed: published, without intervals." if frame["published"].any() else ""
    return f"{words}. Cross-validated k-NN; bands and bars 95 %, jackknife over groups. Filled: the best block.{bare}"
