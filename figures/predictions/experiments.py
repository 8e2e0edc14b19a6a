"""What an experiment promised out of fold and what it gave on recordings held out.

Each arm that is compared with another has two dots: its gain in macro AUC out of fold and held out, with 95 % bars.
Where the upper lies further right than the lower, the out-of-fold score is too optimistic.
"""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ...analysis.runs import GAPS, read_table
from ...features import InputError
from ...features.files import check_run, read_json
from .. import style
from ..labels import key_of_marks

TABLE, CONFIG = "outcome.csv", "config.json"
PARTS = ("oof", "heldout")
GAINS = ("oof_gain", "heldout_gain")
COLUMNS = ("arm", "against", *(f"{name}{end}" for name in GAINS for end in ("", "_lo", "_hi")))
LOOK = {  # name, colour, marker
    "oof_gain": ("out of fold", style.PROBE, "o"),
    "heldout_gain": ("held out", style.BEST, "D"),
}
NAME_IN, MARK_IN, GAP_IN, HEAD_IN, AXIS_IN, SIDE_IN = 0.31, 0.17, 0.08, 0.3, 0.4, 0.24  # an arm: name, two marks, gap
LONGEST = 88  # characters of a name


def has_data(run: Path) -> bool:
    """Whether the folder holds an experiment's outcome with anything to compare."""
    return (Path(run) / TABLE).is_file() and not read(Path(run)).empty


@style.styled
def draw(run: Path) -> Figure:
    """Draw the outcome that `heads.experiments.run` left in the folder `run`. InputError: it is not there."""
    arms = read(Path(run))
    if arms.empty:
        raise InputError(f"{Path(run) / TABLE}: expected at least one arm that is compared with another, got none.")
    each = NAME_IN + 2 * MARK_IN + GAP_IN
    total = len(arms) * each
    figure, foot, height = style.captioned(caption(Path(run)), AXIS_IN + total + HEAD_IN, 0.14)
    width = style.WIDTH_IN - 2 * SIDE_IN
    axes = style.add_panel(figure, SIDE_IN, foot + AXIS_IN, width, total, ylim=(total, 0))
    for i, arm in enumerate(arms.to_dict("records")):
        block(axes, arm, i * each)
    finish(axes)
    marks = [(words, _mark(colour, marker)) for words, colour, marker in LOOK.values()]
    key_of_marks(figure, SIDE_IN / style.WIDTH_IN, 1 - 0.15 / height, marks, 5.2)
    return figure


def read(run: Path) -> pd.DataFrame:
    """The arms of outcome.csv that have gains."""
    check_run(run, "experiment", TABLE)
    table = read_table(run / TABLE, COLUMNS, dtype={"arm": str, "against": str}, na_values=GAPS)
    return table[table["against"].notna()].reset_index(drop=True)


def block(axes: Axes, arm: dict, top: float) -> None:
    """The lines of one arm: its name, what it is compared with, a dot and a bar a gain."""
    at: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "left", "zorder": 6}
    at["bbox"] = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 1}  # the line at 0 passes behind names
    axes.text(0, top + 0.09, style.trimmed(arm["arm"], LONGEST), fontsize=8, **at)
    axes.text(0, top + 0.23, style.trimmed(f"against {arm['against']}", LONGEST), fontsize=7, color=style.QUIET, **at)
    for i, gain in enumerate(GAINS):
        _, colour, marker = LOOK[gain]
        y = top + NAME_IN + (i + 0.5) * MARK_IN
        value, low, high = (arm[f"{gain}{end}"] for end in ("", "_lo", "_hi"))
        axes.plot([low, high], [y, y], color=colour, lw=1.6, alpha=0.75, solid_capstyle="butt", zorder=3)
        axes.plot(value, y, marker, ms=5.2, mfc=colour, mec=style.PAPER, mew=0.6, zorder=4)


def finish(axes: Axes) -> None:
    """The axis of gains; 0 always in view, and as a line."""
    low, high = axes.get_xlim()
    low, high = min(low, -0.005), max(high, 0.005)
    margin = 0.03 * (high - low)
    axes.set_xlim(low - margin, high + margin)
    axes.axvline(0, color=style.QUIET, lw=0.9, ls=(0, (3, 2)), zorder=1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.set_xlabel("gain in macro ROC-AUC", labelpad=2)


def _mark(colour: str, marker: str) -> dict[str, Any]:
    return {"marker": marker, "mfc": colour, "mec": style.PAPER}


def signed(value: float) -> str:
    return "0" if np.isclose(value, 0, atol=1e-9) else f"{value:+.2g}".replace("-", "−")


def caption(run: Path) -> str:
    """What was counted, from config.json where it is there."""
    words = "Bars: 95 %, paired bootstrap over recordings; few recordings, so rough."
    if not (run / CONFIG).is_file():
        return words
    about = read_json(run / CONFIG, {"measured": {part: {"windows": int, "recordings": int} for part in PARTS}})
    oof, heldout = (
        f"{about['measured'][part]['windows']} windows of {about['measured'][part]['recordings']} recordings"
        for part in PARTS
    )
    name = textwrap.shorten(str(about.get("experiment", "")), 30)
    repeats = about.get("repeats", 1)
    mean = f" Means over {repeats} trainings, whose own chance the bars leave out." if repeats > 1 else ""
    return f"Experiment {name}. Out of fold: {oof}; held out: {heldout}. {words}{mean}"
