"""Public against private scores of a competition's attempts (Tables 3 and 4 of Yadav 2026): who gained on unseen data?

A numbered dot is one pair of scores, shared by every attempt that has it; the list below names them. Above the diagonal
the private score is the higher one. Where dots crowd, a second panel shows that corner alone.
"""

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, StrMethodFormatter

from ...analysis import wording
from .. import style

SIDE_IN, LEFT_IN, BETWEEN_IN, AXIS_IN, HEAD_IN, LINE_IN = 0.12, 0.6, 0.72, 0.44, 0.3, 0.145
GAINED, LOST = style.REFERENCE, style.BEST
NEAR = 0.06  # of the whole range: dots closer than this crowd


@dataclass(frozen=True)
class Dot:
    number: int
    names: tuple[str, ...]
    public: float
    private: float

    @property
    def gain(self) -> float:
        return round(self.private - self.public, 6)

    @property
    def colour(self) -> str:
        return GAINED if self.gain > 0 else LOST if self.gain < 0 else style.QUIET


@style.styled
def draw(attempts: pd.DataFrame, about: str = "") -> Figure:
    """Draw attempts, a frame with columns name, public, private (scores as shares of 1); about: for the caption."""
    found = dots(attempts)
    crowd = crowded(found)
    names = [textwrap.wrap(listed(dot), 96) for dot in found]
    listing = sum(len(lines) for lines in names) * LINE_IN + 0.05 * len(names) + 0.12
    side = (style.WIDTH_IN - SIDE_IN - (2 * LEFT_IN + BETWEEN_IN - LEFT_IN if crowd else LEFT_IN)) / (2 if crowd else 1)
    side = min(side, 3.4)
    figure, foot, height = style.captioned(caption(about, found), listing + AXIS_IN + side + HEAD_IN)
    bottom = foot + listing + AXIS_IN
    panels = [(found, LEFT_IN, "all")] + ([(crowd, LEFT_IN + side + BETWEEN_IN, "inside the frame")] if crowd else [])
    limits = [square(shown, 0.12 if shown is found else 0.4) for shown, _, _ in panels]
    for (shown, left, words), (x, y) in zip(panels, limits):
        axes = style.add_panel(figure, left, bottom, side, side)
        axes.set_xlim(x)
        axes.set_ylim(y)
        apart = [dot for dot in shown if not (crowd and shown is found and dot in crowd)]
        panel(axes, apart)
        axes.set_title(words if crowd else "", fontsize=9, loc="left", pad=5)
        if crowd and shown is found:
            frame(axes, crowd)
    listing_below(figure, found, names, foot + listing - 0.12, height)
    return figure


def dots(attempts: pd.DataFrame) -> list[Dot]:
    """Attempts of equal scores as one dot each, the best public score first."""
    scores = attempts[["public", "private"]].to_numpy(dtype=float)
    pairs: dict[tuple[float, float], dict[str, None]] = {}  # scores -> the names that have them, in order
    for name, public, private in zip(attempts["name"], *scores.T.tolist()):
        pairs.setdefault((public, private), {})[name] = None
    ordered = sorted(pairs.items(), key=lambda item: (-item[0][0], -item[0][1]))
    return [Dot(i + 1, tuple(names), a, b) for i, ((a, b), names) in enumerate(ordered)]


def crowded(found: list[Dot]) -> list[Dot]:
    """The largest set of dots that would cover one another, empty when there is none."""
    points = np.array([(dot.public, dot.private) for dot in found])
    near = NEAR * max(np.ptp(points), 1e-9)
    sets = [[other for other, point in zip(found, points) if np.abs(point - at).max() <= near] for at in points]
    most = max(sets, key=len)
    return most if 1 < len(most) < len(found) else []


def square(shown: list[Dot], margin: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of both axes, of one length, with the dots inside; one range for both where that costs little room."""
    x, y = np.array([(dot.public, dot.private) for dot in shown]).T
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    span = max(np.ptp(x), np.ptp(y))
    if high - low < 1.6 * span:
        span, centres = high - low, ((low + high) / 2,) * 2
    else:
        centres = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
    half = max(span, 0.001) * (0.5 + margin)
    across, up = centres
    return (across - half, across + half), (up - half, up + half)


def panel(axes: Axes, shown: list[Dot]) -> None:
    axes.axline((0.5, 0.5), slope=1, color=style.QUIET, lw=0.9, ls=(0, (3, 2)), zorder=1)
    style.light_grid(axes, "both")
    for dot in shown:
        axes.plot(dot.public, dot.private, "o", ms=11, mfc=dot.colour, mec=style.PAPER, mew=0.8, zorder=4)
        place: dict[str, Any] = {"ha": "center", "va": "center_baseline", "zorder": 6}
        axes.text(dot.public, dot.private, str(dot.number), fontsize=7, color=style.PAPER, weight="bold", **place)
    for axis in (axes.xaxis, axes.yaxis):
        fine = np.ptp(axis.get_view_interval()) < 0.006  # scores have three decimals
        axis.set_major_locator(MultipleLocator(0.001) if fine else MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(StrMethodFormatter("{x:.3f}" if fine else "{x:.2f}"))
    axes.set_xlabel("public score", labelpad=3)
    axes.set_ylabel("private score", labelpad=3)


def frame(axes: Axes, crowd: list[Dot]) -> None:
    """Where the second panel lies, and which dots it holds."""
    per_unit = axes.get_position().width * style.WIDTH_IN / np.ptp(axes.get_xlim())
    x, y = np.array([(dot.public, dot.private) for dot in crowd]).T
    half = max(0.11 / per_unit, np.ptp(x) / 2, np.ptp(y) / 2)
    middle = np.array([(x.min() + x.max()) / 2, (y.min() + y.max()) / 2])
    axes.add_patch(Rectangle(middle - half, 2 * half, 2 * half, fc="none", ec=style.INK, lw=1, zorder=5))
    axes.plot(x, y, "o", ms=4, mfc=LOST, mec=style.PAPER, mew=0.4, zorder=4)
    whole = crowd[-1].number - crowd[0].number == len(crowd) - 1
    numbers = f"{crowd[0].number}–{crowd[-1].number}" if whole else ", ".join(str(dot.number) for dot in crowd)
    place: dict[str, Any] = {"xytext": (0, -4), "textcoords": "offset points", "ha": "center", "va": "top"}
    axes.annotate(numbers, (middle[0], middle[1] - half), fontsize=8, **place)


def listed(dot: Dot) -> str:
    gain = wording.minus_sign(wording.number(dot.gain, signed=True))
    return f"{dot.public:.3f} / {dot.private:.3f} ({gain})  {', '.join(dot.names)}"


def listing_below(figure: Figure, found: list[Dot], names: list[list[str]], top: float, height: float) -> None:
    y = top
    for dot, lines in zip(found, names):
        at: dict[str, Any] = {"fontsize": 7.5, "va": "top"}
        number = figure.text((SIDE_IN + 0.13) / style.WIDTH_IN, y / height, str(dot.number), ha="right", **at)
        number.set(color=dot.colour, weight="bold")
        for line in lines:
            figure.text((SIDE_IN + 0.23) / style.WIDTH_IN, y / height, line, **at)
            y -= LINE_IN
        y -= 0.05


def caption(about: str, found: list[Dot]) -> str:
    n = sum(len(dot.names) for dot in found)
    words = f"{n} attempts, public / private score (difference). Dashed: equal scores. Green: private is higher, "
    return f"{words}vermilion: lower. {about}".strip()
