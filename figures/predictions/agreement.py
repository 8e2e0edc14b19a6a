"""Probe against head: does what the heads learned follow what the cheap probe saw before any training?

One panel a score: across, the k-NN accuracy of each tap; up, its own linear head's accuracy or the weight that a head
gives it. A tap is a dot with its block number, darker with depth; a line joins the blocks in order. Above each panel
stand Spearman's and Kendall's rank agreement with their intervals.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...analysis import wording
from ...analysis.runs import GAPS, read_table
from ...features import InputError
from .. import style

PROBE, WEIGHT = "knn", "weight of "
TABLES = {
    "tap_scores.csv": ("tap", "score", "value", "lo", "hi"),
    "agreement.csv": (
        *("score", "against", "taps", "spearman", "spearman_lo", "spearman_hi"),
        *("kendall", "kendall_lo", "kendall_hi"),
    ),
}
PANEL_IN, HEAD_IN, GAP_IN = 1.95, 0.62, 0.5  # heights: a panel, the words above it, the axis labels below it
LEFT, WIDTH, APART = 0.1, 0.375, 0.5  # shares of the figure's width


def has_data(run: Path) -> bool:
    return all((Path(run) / name).is_file() for name in TABLES)


@style.styled
def draw(run: Path) -> Figure:
    """Draw the train run `run`, in which `heads.agreement` has left its two tables. InputError: they are not there."""
    scores, pairs = (read(Path(run), name) for name in TABLES)
    pairs = pairs[pairs["against"] == PROBE]
    if pairs.empty:
        raise InputError(f"{Path(run) / 'agreement.csv'}: expected at least one score against {PROBE}, got none.")
    rest = -(-len(pairs) // 2) * (HEAD_IN + PANEL_IN + GAP_IN)
    figure, _, height = style.captioned(caption(scores), rest, 0.2)
    for at, pair in enumerate(pairs.itertuples()):
        bottom = height - (at // 2 + 1) * (HEAD_IN + PANEL_IN + GAP_IN) + GAP_IN
        place = (LEFT + APART * (at % 2), bottom / height, WIDTH, PANEL_IN / height)
        panel(figure.add_axes(place), scores, pair)
    return figure


def read(run: Path, name: str) -> pd.DataFrame:
    path = run / name
    if not path.is_file():
        raise InputError(f"{run}: no {name} in it; expected a train run whose heads were compared with a probe")
    text = {"tap": str, "score": str, "against": str, "head": str}
    table = read_table(path, TABLES[name], dtype=text, na_values=GAPS)
    if name == "agreement.csv" and "head" not in table:  # of a run before there was such a column
        own = table["score"].str.startswith(WEIGHT)
        table["head"] = table["score"].str.removeprefix(WEIGHT).where(own, "")
    return table.fillna({"head": ""}) if "head" in table else table


def panel(axes: Axes, scores: pd.DataFrame, pair) -> None:
    """One score over the probe's. Taps that only one of them knows are left out, as from the agreement."""
    probe, other = (scores[scores["score"] == name].set_index("tap") for name in (PROBE, pair.score))
    taps = [tap for tap in probe.index if tap in other.index]
    x, y = probe.loc[taps], other.loc[taps]
    style.light_grid(axes, "both")
    up, across = (np.maximum([s["value"] - s["lo"], s["hi"] - s["value"]], 0) for s in (y, x))
    bars: dict[str, Any] = {"fmt": "none", "ecolor": style.FAINT, "elinewidth": 0.8, "zorder": 2}
    axes.errorbar(x["value"], y["value"], up, across, **bars)
    blocks = [tap for tap in taps if tap.startswith("block_")]
    axes.plot(x.loc[blocks, "value"], y.loc[blocks, "value"], color=style.FAINT, lw=0.9, zorder=3)
    if pair.head:
        axes.axhline(1 / len(other), color=style.QUIET, lw=0.9, ls=(0, (1, 2)), zorder=1)
    size = float(np.clip(260 / len(taps), 5, 9.5))
    for place, tap in enumerate(taps):
        face = style.ACCURACY(0.12 + 0.88 * place / max(len(taps) - 1, 1))
        at = (x.loc[tap, "value"], y.loc[tap, "value"])
        axes.plot(*at, "o", ms=size, mfc=face, mec=style.PAPER, mew=0.6, zorder=5)
        centred: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 6}
        axes.text(*at, mark(tap), fontsize=0.55 * size, color=style.ink_on(face), **centred)
    axes.margins(0.08)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel("k-NN accuracy", labelpad=2)
    title = style.trimmed(pair.head or pair.score, 18) + (": weights" if pair.head else ": accuracy")
    words = [
        f"{name} {rank_agreement(getattr(pair, key), getattr(pair, f'{key}_lo'), getattr(pair, f'{key}_hi'))}"
        for name, key in (("Spearman", "spearman"), ("Kendall", "kendall"))
    ]
    top: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(title, (0, 1), (0, 26), fontsize=9, **top)
    axes.annotate("\n".join(words), (0, 1), (0, 4), fontsize=7, color=style.QUIET, linespacing=1.3, **top)


def mark(tap: str) -> str:
    """What stands in a dot: a block's number, else a letter."""
    return wording.tap_label(tap) if tap.startswith("block_") else tap[:1].upper()


def rank_agreement(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "undefined: all equal"
    return wording.minus_sign(wording.interval(value, low, high, 2))


def caption(scores: pd.DataFrame) -> str:
    others = [tap for tap in dict.fromkeys(scores["tap"]) if not tap.startswith("block_")]
    letters = ", ".join(f"{mark(tap)} {tap}" for tap in others)
    return (
        f"A dot is a tap: block number{', ' + letters if letters else ''}. Bars and brackets: 95 %, bootstrap over "
        "groups (accuracies) and over folds (weights). Dotted: equal weights."
    )
