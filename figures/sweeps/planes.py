"""Every tap's own plane, side by side: where a block gains or loses its species.

Each title says what is left of the labels in that plane: k-NN accuracy and silhouette, as `projection.plane_scores`
gave them. Colours and marks stand for the commonest classes, the same in all planes; the rest is grey.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...analysis import wording
from ...analysis.runs import Run
from .. import style

TABLE = "planes.csv"
ACROSS = 3
MARKS = "os^Dvp"
GAP_IN, TITLE_IN, SIDE_IN, HEAD_IN = 0.12, 0.36, 0.1, 0.06


@style.styled
def draw(run: Path) -> Figure:
    """RUN/planes.csv with the scores of RUN/plane_scores.csv. InputError: one of them is not there."""
    data = Run(Path(run))
    points, scores = data.planes, data.plane_scores.set_index("tap")
    taps = list(pd.unique(points["tap"]))
    across = min(ACROSS, len(taps))
    down = -(-len(taps) // across)
    shown = _classes(points)
    each = (style.WIDTH_IN - 2 * SIDE_IN - (across - 1) * GAP_IN) / max(across, 2)
    figure = style.new_figure()
    lines = style.caption(figure, _caption(points, scores))
    figure.set_figheight(20)
    used = _legend(figure, points, shown)
    foot = 0.16 + 0.13 * lines + used
    height = foot + down * (each + TITLE_IN) + (down - 1) * 0.04 + HEAD_IN
    style.set_height(figure, height)
    figure.legends[0].set_bbox_to_anchor((0.5, (0.12 + 0.13 * lines) / height), figure.transFigure)
    size = float(np.clip(90 / np.sqrt(len(points) / len(taps)), 1.6, 4.2))
    for i, tap in enumerate(taps):
        left = SIDE_IN + (i % across) * (each + GAP_IN)
        bottom = height - HEAD_IN - (i // across + 1) * (each + TITLE_IN) - (i // across) * 0.04
        axes = style.add_panel(figure, left, bottom, each, each, facecolor=style.SHADE)
        _plane(axes, points[points["tap"] == tap], shown, size)
        axes.text(
            0, 1 + 0.2 / each, wording.tap_title(tap), transform=axes.transAxes, fontsize=9, weight="bold", va="bottom"
        )
        axes.text(0, 1 + 0.05 / each, _said(scores.loc[tap]), transform=axes.transAxes, fontsize=8, va="bottom")
    return figure


def _plane(axes, points: pd.DataFrame, shown: dict[str, tuple[str, str]], size: float) -> None:
    rest = points[~points["label"].isin(list(shown))]
    axes.plot(rest["x"], rest["y"], "o", ms=0.8 * size, mfc=style.FAINT, mec="none", ls="", zorder=1)
    order = points[points["label"].isin(list(shown))].sample(frac=1, random_state=0)  # so that no class hides another
    for part in np.array_split(np.arange(len(order)), max(1, min(len(order), 12))):
        for label, rows in order.iloc[part].groupby("label", sort=False):
            colour, mark = shown[str(label)]
            axes.plot(rows["x"], rows["y"], mark, ms=size, mfc=colour, mec=style.PAPER, mew=0.2, ls="", zorder=2)
    axes.set(xticks=[], yticks=[])
    axes.margins(0.06)
    style.hide_spines(axes)


def _classes(points: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The commonest classes -> colour and mark."""
    counts = points["label"].astype(str).value_counts()
    names = sorted(counts.index, key=lambda name: (-counts[name], name))[: len(style.SHOWCASE)]
    return dict(zip(sorted(names), zip(style.SHOWCASE, MARKS)))


def _legend(figure: Figure, points: pd.DataFrame, shown: dict[str, tuple[str, str]]) -> float:
    """The classes at the foot, in rows of three; returns its height in inches."""
    handles = [
        Line2D([], [], marker=mark, color=colour, ls="", ms=5, label=style.trimmed(name, 24))
        for name, (colour, mark) in shown.items()
    ]
    others = points["label"].nunique() - len(shown)
    if others:
        words = f"{others} other class{'es' if others > 1 else ''}"
        handles.append(Line2D([], [], marker="o", color=style.FAINT, ls="", ms=5, label=words))
    legend = figure.legend(
        handles=handles,
        ncols=min(3, len(handles)),
        loc="lower center",
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.2,
        borderpad=0.2,
        labelspacing=0.35,
    )
    return legend.get_window_extent().height / figure.dpi + 0.08


def _said(row: pd.Series) -> str:
    silhouette = f"   sil. {row['silhouette']:.2f}".replace("-", "−") if np.isfinite(row["silhouette"]) else ""
    return f"k-NN {row['knn']:.2f}{silhouette}"


def _caption(points: pd.DataFrame, scores: pd.DataFrame) -> str:
    n = int((points["tap"] == points["tap"].iloc[0]).sum())
    words = f"{n:,} items in each tap's own plane; orientation and scale of a plane mean nothing."
    method = {"umap": "UMAP", "pca": "PCA"}.get(str(scores["method"].iloc[0]), str(scores["method"].iloc[0]))
    seeds = int(scores["seeds"].max())
    over = f" (means over {seeds} seeds, the first drawn)" if seeds > 1 else ""
    return f"{method}: {words} k-NN: accuracy out of fold in the plane; sil.: silhouette of the labels in it{over}."
