"""One look for every figure: palette, type sizes, number formats, and how bytes are written.

Colours are Okabe & Ito's colour-blind safe set (https://jfly.uni-koeln.de/color/), given by role rather than by name,
so that "best" has one colour in every picture. Figures are 5.6 inches wide: they fit the text of an A4 page, and
8-point type can still be read when a phone shrinks the picture to its 390 pixels. In print they are as wide as one or
both columns of a journal, and their captions stand in a text beside them.
"""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from ..features.files import replacing

WIDTH_IN = SCREEN_IN = 5.6
PRINT_IN = {1: 3.46, 2: 7.0}  # columns of a page of two -> width: 88 and 178 mm
DPI = 200
CAPTION_IN = 0.07  # of a caption above the lower edge

INK = "#1d2730"
QUIET = "#65727d"
FAINT = "#c9d0d6"
SHADE = "#f1f4f6"
PAPER = "#ffffff"
BEST = "#c44601"  # Okabe-Ito vermilion, one step darker so that small type keeps 4.5:1 on white
PROBE = "#0072b2"
LINEAR = "#8a6fa8"
REFERENCE = "#00775a"
SHOWCASE = ("#0072b2", "#c44601", "#00775a", "#b3487e", "#3aa0d8", "#b27f00")
ACCURACY = matplotlib.colors.LinearSegmentedColormap.from_list(
    "accuracy", ["#f4f7f9", "#cfe1ee", "#8fbcdc", "#4690c4", "#12609f", "#083463"]
)

RC = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so the bytes do not depend on the machine
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 10,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "svg.hashsalt": "birdprobe",
    "svg.fonttype": "path",  # letters as outlines: nothing to be missing at the printer's
    "text.usetex": False,
    "text.parse_math": False,  # a class may be called "$x$"
    "axes.unicode_minus": True,
}


def styled(draw):
    """Decorator: run a drawing function under RC, whatever the user's matplotlibrc says."""

    @wraps(draw)
    def under_style(*args, **options):
        with matplotlib.rc_context(RC):
            return draw(*args, **options)

    return under_style


@contextmanager
def printing(columns: int = 2) -> Iterator[None]:
    """Figures drawn inside are as wide as `PRINT_IN` of one column or both, and carry neither captions nor titles."""
    global WIDTH_IN
    WIDTH_IN = PRINT_IN[columns]
    try:
        yield
    finally:
        WIDTH_IN = SCREEN_IN


def in_print() -> bool:
    """Whether what is drawn now is for print."""
    return WIDTH_IN != SCREEN_IN


def narrow() -> bool:
    """Whether what is drawn now is one column wide."""
    return WIDTH_IN < SCREEN_IN


def new_figure(height_in: float = 1) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
    FigureCanvasAgg(figure)  # so that text can be measured while drawing
    return figure


def set_height(figure: Figure, height_in: float) -> None:
    """Make a figure with a caption this tall; the caption stays at its foot."""
    figure.set_figheight(height_in)
    figure.texts[0].set_y(CAPTION_IN / height_in)


def captioned(words: str, rest: float, foot: float = 0.16, line: float = 0.13) -> tuple[Figure, float, float]:
    """A new figure with a caption at its foot, where the rest begins, and how high it is, in inches.

    rest: inches above the caption's room. foot, line: inches of that room without the caption, and a line of it.
    """
    figure = new_figure()
    foot += line * caption(figure, words)
    set_height(figure, foot + rest)
    return figure, foot, foot + rest


def add_panel(figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
    """Axes at a place in inches."""
    tall = figure.get_figheight()
    return figure.add_axes((left / WIDTH_IN, bottom / tall, width / WIDTH_IN, height / tall), **options)


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "y") -> None:
    """Faint lines behind what is drawn."""
    axes.grid(axis=axis, color=FAINT, lw=0.5, alpha=0.7)
    axes.set_axisbelow(True)


def hide_spines(axes: Axes) -> None:
    for side in axes.spines.values():
        side.set_visible(False)


@styled
def save_png(figure: Figure, path: Path) -> Path:
    """Write PATH (200 dpi) without a date or a version: equal figures give equal bytes."""
    with replacing(path) as bitmap:
        figure.savefig(bitmap, dpi=DPI, format="png", metadata={"Software": None})
    return path


@styled
def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write STEM.png (200 dpi) and STEM.pdf without dates or versions: equal figures give equal bytes."""
    png, pdf = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".pdf")
    with replacing(png) as bitmap, replacing(pdf) as vectors:
        figure.savefig(bitmap, dpi=DPI, metadata={"Software": None})
        figure.savefig(vectors, metadata={"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None})
    return png, pdf


@styled
def save_print(figure: Figure, stem: Path) -> tuple[Path, Path, Path]:
    """Write STEM.pdf and STEM.svg, both vectors with their letters inside, and STEM.txt: what the caption must say."""
    pdf, svg, words = (stem.with_name(stem.name + suffix) for suffix in (".pdf", ".svg", ".txt"))
    with replacing(pdf) as vectors, replacing(svg) as drawing, replacing(words) as text:
        figure.savefig(vectors, metadata={"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None})
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        text.write_text(captions.get(figure, "") + "\n", encoding="utf-8")
    return pdf, svg, words


def size_in(text: Text) -> tuple[float, float]:
    """Width and height of a text in inches, as it will be drawn."""
    box, dpi = text.get_window_extent(), figure_of(text).dpi
    return box.width / dpi, box.height / dpi


def figure_of(artist: Artist) -> Figure:
    """The figure that holds an artist; this project nests none."""
    if not isinstance(artist.figure, Figure):
        raise ValueError(f"{artist} stands in no figure of its own")
    return artist.figure


captions: WeakKeyDictionary[Figure, str] = WeakKeyDictionary()  # what was said below each


def caption(figure: Figure, words: str) -> int:
    """A small line at the foot of a figure: what was counted, and how. Returns how many lines it took, in print 0."""
    captions[figure] = words
    place = (0.012, CAPTION_IN / figure.get_figheight())
    text = figure.text(*place, "", fontsize=7, color=QUIET, va="bottom", linespacing=1.35)
    if in_print():
        return 0
    for columns in range(130, 60, -2):
        lines = textwrap.wrap(words, columns)
        text.set_text("\n".join(lines))
        if size_in(text)[0] < 0.976 * figure.get_figwidth():
            break
    return len(lines)


def forest_axis(axes: Axes) -> None:
    """Axes of dots with their intervals: no heights, a few lines down."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    light_grid(axes, "x")
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def trimmed(name: str, limit: int = 26) -> str:
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"


def number(value: float) -> str:
    """Three figures that count, never an exponent: 0.412, 25.8, 2,396."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ink_on(rgba) -> str:
    """Black or white, whichever reads better on this colour (WCAG relative luminance)."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgba[:3])
    return INK if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.22 else PAPER
