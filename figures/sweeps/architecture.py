"""The backbone drawn from its own block table: published Figure 1 of Yadav 2026, for any model.

Every block is a box: the wider, the more channels (square-root scale); the taller, the larger its map (logarithmic
scale). Tapped blocks are outlined and filled by their k-NN accuracy, the best one outlined in the colour of "best";
blocks that were not read stay white and dashed. Stages stand together with their sizes below; long models wrap.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ...analysis.runs import Run
from .. import style
from .block_layout import ENDS, GAP, STAGE_GAP, Box, Group, groups, wrap

MARGIN, INDENT = 0.12, 0.17  # at the edges; for the arrow from row to row
ABOVE, BELOW, HEAD, FOOT = 0.24, 0.56, 0.36, 0.62  # room above and below a row's boxes, for the title, for the key
SPELLED = {"mbconv": "MBConv", "convnext": "ConvNeXt"}


@style.styled
def draw(run: Path) -> Figure:
    """Draw the architecture of the run folder `run`, as `config.json` holds it."""
    data = Run(Path(run))
    rows = wrap(groups(data), style.WIDTH_IN - 2 * MARGIN - INDENT)
    tallest = [max(box.height for group in row for box in group.boxes) for row in rows]
    height = HEAD + sum(tallest) + (ABOVE + BELOW) * len(rows) + FOOT
    figure = style.new_figure(height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.WIDTH_IN), ylim=(0, height))  # one unit is one inch
    axes.set_axis_off()
    if not style.in_print():
        axes.text(MARGIN, height - 0.12, title(data), fontsize=9.5, fontweight="bold", va="top")
    colours = colour_scale(data)
    top = height - HEAD
    for number, (row, tall) in enumerate(zip(rows, tallest)):
        base = top - ABOVE - tall / 2
        draw_row(axes, row, base, data, colours, first=number == 0, last=number == len(rows) - 1)
        top -= ABOVE + tall + BELOW
    draw_key(figure, axes, data, colours)
    return figure


def title(data: Run) -> str:
    table, model = data.architecture, data.config["model"]
    blocks = table["blocks"]
    kinds = sorted({SPELLED.get(block["kind"], block["kind"]) for block in blocks})
    stages = {block["stage"] for block in blocks} - {None}
    words = [model.get("preset") or Path(model["path"]).stem, f"{len(blocks)} {'/'.join(kinds)} blocks"]
    words += [f"{len(stages)} stages"] if len(stages) > 1 else []
    macs = max(row["macs"] for row in [*blocks, *(table[key] for key in ENDS if table.get(key))])
    return " · ".join([*words, f"{style.number(macs / 1e9)} GMAC a window"])


def colour_scale(data: Run) -> ScalarMappable:
    knn = data.ranking.knn
    return ScalarMappable(Normalize(float(knn.min()), float(max(knn.max(), knn.min() + 1e-6))), style.ACCURACY)


def draw_row(
    axes: Axes, row: list[Group], base: float, data: Run, colours: ScalarMappable, first: bool, last: bool
) -> None:
    """One row, left to right, the signal as a line through the middle of the boxes."""
    x = MARGIN + (0 if first else INDENT)
    start, foot = x, base - max(box.height for group in row for box in group.boxes) / 2 - 0.07
    for group in row:
        at = x + (group.width - group.inner) / 2
        for box in group.boxes:
            draw_box(axes, box, at, base, data, colours)
            at += box.width + GAP
        for number, line in enumerate(group.lines):
            look: dict[str, Any] = {"fontsize": 7.5} if number == 0 else {"fontsize": 7, "color": style.QUIET}
            axes.text(x + group.width / 2, foot - 0.13 * number, line, ha="center", va="top", **look)
        x += group.width + STAGE_GAP
    end = at - GAP
    axes.plot([start, end], [base, base], color=style.QUIET, lw=1, zorder=1, solid_capstyle="butt")
    arrow = {"arrowstyle": "-|>", "color": style.QUIET, "lw": 1, "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    if not first:
        axes.annotate("", (start, base), (MARGIN - 0.06, base), arrowprops=arrow)
    if not last:
        axes.annotate("", (end + INDENT, base), (end, base), arrowprops=arrow)


def draw_box(axes: Axes, box: Box, x: float, base: float, data: Run, colours: ScalarMappable) -> None:
    """Outline and fill say whether the tap was read and how well it did."""
    y = base - box.height / 2
    if box.tap == "audio":  # a little waveform
        axes.add_patch(
            FancyBboxPatch((x, y), box.width, box.height, "square,pad=0", fc=style.PAPER, ec="none", zorder=2)
        )
        heights = np.array([0.25, 0.6, 1.0, 0.5, 0.8, 0.35, 0.15]) * box.height / 2
        at = x + box.width * (np.arange(len(heights)) + 0.5) / len(heights)
        axes.vlines(at, base - heights, base + heights, color=style.QUIET, lw=1.6, zorder=3)
        return
    read = data.ranking.knn[data.ranking.tap.str.partition("/")[0] == box.tap]  # once a pooling
    known = not read.empty
    face = colours.to_rgba(read.max()) if known else (1.0, 1.0, 1.0, 1.0)
    edge: dict[str, Any] = (
        {"ec": style.INK, "lw": 0.9} if known else {"ec": style.QUIET, "lw": 0.8, "ls": (0, (2, 1.5))}
    )
    if box.tap == data.reference.partition("/")[0]:
        edge = {"ec": style.REFERENCE, "lw": 2.2}
    if box.tap == data.best.partition("/")[0]:
        edge = {"ec": style.BEST, "lw": 2.6}
        words = f"best {data.ranking.knn[data.best]:.3f}"
        axes.text(
            x + box.width / 2,
            y + box.height + 0.05,
            words,
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=style.BEST,
            weight="bold",
        )
    shape = "round,pad=0,rounding_size=0.035"
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            box.width,
            box.height,
            shape,
            fc=face,
            zorder=4 if box.tap == data.best.partition("/")[0] else 3,
            **edge,
        )
    )
    axes.text(
        x + box.width / 2,
        base - 0.01,
        box.text,
        ha="center",
        va="center",
        fontsize=7.5,
        color=style.ink_on(face),
        zorder=5,
    )


def draw_key(figure: Figure, axes: Axes, data: Run, colours: ScalarMappable) -> None:
    """The colour bar and what outlines and sizes mean, along the foot."""
    bar = figure.add_axes(
        (MARGIN / style.WIDTH_IN, 0.3 / figure.get_figheight(), 1.25 / style.WIDTH_IN, 0.1 / figure.get_figheight())
    )
    drawn = figure.colorbar(colours, cax=bar, orientation="horizontal")
    low, high = colours.get_clim()
    bar.set_xticks([low, high], [f"{low:.2f}", f"{high:.2f}"], fontsize=7)
    bar.tick_params(length=0, pad=2)
    bar.xaxis.get_ticklabels()[0].set_horizontalalignment("left")
    bar.xaxis.get_ticklabels()[1].set_horizontalalignment("right")
    drawn.outline.set_visible(False)
    bar.set_title(f"{data.neighbours} top-1 accuracy", fontsize=7, loc="left", pad=3)
    x = MARGIN + 1.6
    entries: list[tuple[str, dict[str, Any]]] = [("best", {"ec": style.BEST, "lw": 2.4})]
    entries += [("reference", {"ec": style.REFERENCE, "lw": 2})] if data.reference != data.best else []
    entries += [("read", {"ec": style.INK, "lw": 0.9})]
    if any(block["name"] not in data.ranking.index for block in data.architecture["blocks"]):
        entries.append(("not read", {"ec": style.QUIET, "lw": 0.8, "ls": (0, (2, 1.5))}))
    for words, edge in entries:
        axes.add_patch(FancyBboxPatch((x, 0.38), 0.16, 0.14, "round,pad=0,rounding_size=0.03", fc=style.PAPER, **edge))
        text = axes.text(x + 0.22, 0.45, words, fontsize=7.5, va="center")
        x += 0.22 + style.size_in(text)[0] + 0.22
    words = "Wider: more channels (square root). Taller: larger map (logarithm)."
    axes.text(MARGIN + 1.6, 0.22, words, fontsize=7, color=style.QUIET, va="center")
