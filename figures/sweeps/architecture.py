"""The backbone drawn from its own block table, and published Figure 1 of Yadav 2026 in that way.

Every block is a box: the wider, the more channels (square-root scale); the taller, the larger its map (logarithmic
scale). Tapped blocks are outlined and filled by their k-NN accuracy, the best one outlined in the colour of "best";
blocks that were not read stay white and dashed. Stages stand together with their sizes below; long models wrap. As
published, the blocks that a head reads are outlined instead, and the accuracies stand above the boxes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ...analysis.runs import Run
from ...features import InputError
from .. import style
from ..labels import widest
from .block_layout import ENDS, GAP, STAGE_GAP, Box, Group, groups, wrap

MARGIN, INDENT = 0.12, 0.17  # at the edges; for the arrow from row to row
ABOVE, BELOW, HEAD, FOOT = 0.24, 0.56, 0.36, 0.62  # room above and below a row's boxes, for the title, for the key
LINE, NOTE = 0.115, 0.14  # of accuracies above a box, of the key
SPELLED = {"mbconv": "MBConv", "convnext": "ConvNeXt"}
PUBLISHED_HEAD = ("block_21", "block_24", "block_25")  # what the head of Yadav 2026 reads, of 26 blocks
PUBLISHED_BLOCKS = 26
BEST: dict[str, Any] = {"ec": style.BEST, "lw": 2.6}
REFERENCE: dict[str, Any] = {"ec": style.REFERENCE, "lw": 2.2}
READ: dict[str, Any] = {"ec": style.INK, "lw": 0.9}
NOT_READ: dict[str, Any] = {"ec": style.QUIET, "lw": 0.8, "ls": (0, (2, 1.5))}


@dataclass(frozen=True, eq=False)
class Look:
    """What is drawn how. head: the taps outlined as those that a head reads, none where the best and the reference are
    outlined. published: tap -> published accuracy, to stand above ours; None: no accuracies above the boxes."""

    data: Run
    colours: ScalarMappable
    head: tuple[str, ...] = ()
    published: Mapping[str, float] | None = None

    @property
    def above(self) -> float:
        """Inches above a row's boxes."""
        return ABOVE + (0 if self.published is None else LINE * (1 + bool(self.published)))

    def accuracy(self, tap: str) -> float | None:
        """The best of a tap's poolings, None where it was not read."""
        read = self.data.ranking.knn[self.data.ranking.tap.str.partition("/")[0] == tap]
        return None if read.empty else float(read.max())

    def edge(self, tap: str) -> dict[str, Any]:
        """The outline of a box."""
        if tap in self.head or (not self.head and tap == self.data.best.partition("/")[0]):
            return BEST
        if not self.head and tap == self.data.reference.partition("/")[0]:
            return REFERENCE
        return NOT_READ if self.accuracy(tap) is None else READ


@style.styled
def draw(run: Path) -> Figure:
    """Draw the architecture of the run folder `run`, as `config.json` holds it."""
    data = Run(Path(run))
    return draw_blocks(Look(data, colour_scale(data)))


@style.styled
def draw_published(
    run: Path, published: Mapping[str, float] | None = None, head: Sequence[str] = PUBLISHED_HEAD
) -> Figure:
    """Published Figure 1: stem, stages, blocks and head, those that the head reads outlined.

    run: a sweep of a backbone with the 26 blocks of Perch v2, else an InputError. published: tap -> published
    accuracy, written above ours. head: the taps that the published head reads.
    """
    data = Run(Path(run))
    if (found := len(data.architecture["blocks"])) != PUBLISHED_BLOCKS:
        raise InputError(
            f"{run}: {found} blocks, and published Figure 1 is of Perch v2, which has {PUBLISHED_BLOCKS}; "
            "`architecture` draws any model."
        )
    return draw_blocks(Look(data, colour_scale(data), tuple(head), published or {}))


def draw_blocks(look: Look) -> Figure:
    """The picture of a look."""
    rows = wrap(groups(look.data), style.WIDTH_IN - 2 * MARGIN - INDENT)
    tallest = [max(box.height for group in row for box in group.boxes) for row in rows]
    foot = FOOT + NOTE * (len(notes_of(look)) - 1) + 0.2 * style.narrow()
    head = 0.1 if style.in_print() else HEAD
    height = head + sum(tallest) + (look.above + BELOW) * len(rows) + foot
    figure = style.new_figure(height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.WIDTH_IN), ylim=(0, height))  # one unit is one inch
    axes.set_axis_off()
    if not style.in_print():
        words = title(look.data)
        size = 9.5 * min(1.0, (style.WIDTH_IN - 2 * MARGIN) / widest(figure, [words], 9.5, weight="bold"))
        axes.text(MARGIN, height - 0.12, words, fontsize=size, fontweight="bold", va="top")
    top = height - head
    for number, (row, tall) in enumerate(zip(rows, tallest)):
        base = top - look.above - tall / 2
        draw_row(axes, row, base, look, first=number == 0, last=number == len(rows) - 1)
        top -= look.above + tall + BELOW
    draw_key(figure, axes, look)
    return figure


def title(data: Run) -> str:
    table = data.architecture
    blocks = table["blocks"]
    kinds = sorted({SPELLED.get(block["kind"], block["kind"]) for block in blocks})
    stages = {block["stage"] for block in blocks} - {None}
    words = [data.model_name, f"{len(blocks)} {'/'.join(kinds)} blocks"]
    words += [f"{len(stages)} stages"] if len(stages) > 1 else []
    macs = max(row["macs"] for row in [*blocks, *(table[key] for key in ENDS if table.get(key))])
    return " · ".join([*words, f"{style.number(macs / 1e9)} GMAC a window"])


def colour_scale(data: Run) -> ScalarMappable:
    knn = data.ranking.knn
    return ScalarMappable(Normalize(float(knn.min()), float(max(knn.max(), knn.min() + 1e-6))), style.ACCURACY)


def draw_row(axes: Axes, row: list[Group], base: float, look: Look, first: bool, last: bool) -> None:
    """One row, left to right, the signal as a line through the middle of the boxes."""
    x = MARGIN + (0 if first else INDENT)
    start, foot = x, base - max(box.height for group in row for box in group.boxes) / 2 - 0.07
    for group in row:
        at = x + (group.width - group.inner) / 2
        for box in group.boxes:
            if box.tap == "audio":
                draw_waveform(axes, box, at, base)
            else:
                draw_box(axes, box, at, base, look)
            at += box.width + GAP
        for number, line in enumerate(group.lines):
            words: dict[str, Any] = {"fontsize": 7.5} if number == 0 else {"fontsize": 7, "color": style.QUIET}
            axes.text(x + group.width / 2, foot - 0.13 * number, line, ha="center", va="top", **words)
        x += group.width + STAGE_GAP
    end = at - GAP
    axes.plot([start, end], [base, base], color=style.QUIET, lw=1, zorder=1, solid_capstyle="butt")
    arrow = {"arrowstyle": "-|>", "color": style.QUIET, "lw": 1, "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    if not first:
        axes.annotate("", (start, base), (MARGIN - 0.06, base), arrowprops=arrow)
    if not last:
        axes.annotate("", (end + INDENT, base), (end, base), arrowprops=arrow)


def draw_waveform(axes: Axes, box: Box, x: float, base: float) -> None:
    """The audio: a little waveform."""
    behind: dict[str, Any] = {"fc": style.PAPER, "ec": "none", "zorder": 2}
    axes.add_patch(FancyBboxPatch((x, base - box.height / 2), box.width, box.height, "square,pad=0", **behind))
    heights = np.array([0.25, 0.6, 1.0, 0.5, 0.8, 0.35, 0.15]) * box.height / 2
    at = x + box.width * (np.arange(len(heights)) + 0.5) / len(heights)
    axes.vlines(at, base - heights, base + heights, color=style.QUIET, lw=1.6, zorder=3)


def draw_box(axes: Axes, box: Box, x: float, base: float, look: Look) -> None:
    """Outline and fill say whether the tap was read and how well it did."""
    known, edge = look.accuracy(box.tap), look.edge(box.tap)
    face = (1.0, 1.0, 1.0, 1.0) if known is None else look.colours.to_rgba(np.array([known]))[0]
    shape = "round,pad=0,rounding_size=0.035"
    size, zorder = (box.width, box.height), 4 if edge is BEST else 3
    axes.add_patch(FancyBboxPatch((x, base - box.height / 2), *size, shape, fc=face, zorder=zorder, **edge))
    middle = x + box.width / 2
    inside: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7.5, "zorder": 5}
    axes.text(middle, base - 0.01, box.text, color=style.ink_on(face), **inside)
    for number, (words, kind) in enumerate(words_above(box.tap, look)):
        axes.text(middle, base + box.height / 2 + 0.05 + LINE * number, words, ha="center", va="bottom", **kind)


def words_above(tap: str, look: Look) -> list[tuple[str, dict[str, Any]]]:
    """(text, its look) above a box, from below: our accuracy and the published one, or which tap is the best."""
    if look.published is None:
        best = tap == look.data.best.partition("/")[0]
        words = f"best {look.data.ranking.knn[look.data.best]:.3f}"
        return [(words, {"fontsize": 7.5, "color": style.BEST, "weight": "bold"})] if best else []
    known = look.accuracy(tap)
    small: dict[str, Any] = {"fontsize": 6}
    ours = "" if known is None else f"{known:.3f}".removeprefix("0")
    told = f"{look.published[tap]:.3f}".removeprefix("0") if tap in look.published else ""
    return [(ours, small | {"color": style.PROBE}), (told, small | {"color": style.INK, "weight": "bold"})]


def draw_key(figure: Figure, axes: Axes, look: Look) -> None:
    """The colour bar and what outlines, sizes and numbers mean, along the foot."""
    width, height, notes = style.WIDTH_IN, figure.get_figheight(), notes_of(look)
    foot = FOOT + NOTE * (len(notes) - 1)
    bar = figure.add_axes((MARGIN / width, (foot - 0.32) / height, 1.25 / width, 0.1 / height))
    drawn = figure.colorbar(look.colours, cax=bar, orientation="horizontal")
    low, high = look.colours.get_clim()
    bar.set_xticks([low, high], [f"{low:.2f}", f"{high:.2f}"], fontsize=7)
    bar.tick_params(length=0, pad=2)
    bar.xaxis.get_ticklabels()[0].set_horizontalalignment("left")
    bar.xaxis.get_ticklabels()[1].set_horizontalalignment("right")
    drawn.outline.set_visible(False)
    bar.set_title(f"{look.data.neighbours} top-1 accuracy", fontsize=7, loc="left", pad=3)
    right = MARGIN + (1.4 if style.narrow() else 1.6)
    x, y = (MARGIN, foot + 0.02) if style.narrow() else (right, foot - 0.24)
    for words, edge in key_of(look):
        axes.add_patch(FancyBboxPatch((x, y), 0.16, 0.14, "round,pad=0,rounding_size=0.03", fc=style.PAPER, **edge))
        text = axes.text(x + 0.22, y + 0.07, words, fontsize=7.5, va="center")
        x += 0.22 + style.size_in(text)[0] + 0.22
    for number, words in enumerate(notes):
        at = foot - (0.2 if style.narrow() else 0.4) - NOTE * number
        axes.text(right, at, words, fontsize=7, color=style.QUIET, va="center")


def notes_of(look: Look) -> list[str]:
    """What sizes and numbers mean, in lines."""
    notes = ["Wider: more channels (square root).", "Taller: larger map (logarithm)."]
    if not style.narrow():
        notes = [" ".join(notes)]
    if look.published is None:
        return notes
    return [f"Above: {'published in bold, ' if look.published else ''}ours in blue.", *notes]


def key_of(look: Look) -> list[tuple[str, dict[str, Any]]]:
    """What each outline means."""
    if look.head:
        entries = [("read by the published head", BEST)]
    else:
        entries = [("best", BEST)] + ([("reference", REFERENCE)] if look.data.reference != look.data.best else [])
    entries.append(("read", READ))
    if any(look.accuracy(block["name"]) is None for block in look.data.architecture["blocks"]):
        entries.append(("not read", NOT_READ))
    return entries
