"""Measures on a drawn figure that a reader's eye would take: text that is cut off, text that lies on other text."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def written(figure: Figure) -> list[Text]:
    """Every text that is drawn, those inside path markers left out (they cover one another on purpose)."""
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    off_axis = {  # ticks outside the view exist but are not drawn
        label
        for axes in figure.axes
        for axis, span in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not min(span) - 1e-9 <= tick.get_loc() <= max(span) + 1e-9
    }
    return [
        text for text in texts if text not in off_axis and not (text.get_fontsize() <= 6 and text.get_zorder() == 6)
    ]


def cut_off(figure: Figure) -> list[str]:
    """Texts that reach over the figure's edge."""
    page = figure.bbox
    return [
        text.get_text()
        for text in written(figure)
        for box in [text.get_window_extent()]
        if box.x0 < page.x0 - 0.5 or box.x1 > page.x1 + 0.5 or box.y0 < page.y0 - 0.5 or box.y1 > page.y1 + 0.5
    ]


def colliding(figure: Figure, touch: float = 1.5) -> list[tuple[str, str]]:
    """Pairs of texts whose boxes share more than `touch` pixels in both directions."""
    texts = written(figure)
    if not texts:
        return []
    boxes = [text.get_window_extent() for text in texts]
    low, high = np.array([box.min for box in boxes]), np.array([box.max for box in boxes])
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)  # of what two boxes share
    pairs = np.argwhere(np.triu((sides > touch).all(axis=2), 1))
    return [(texts[i].get_text(), texts[j].get_text()) for i, j in pairs]


def shared(one: Bbox, other: Bbox) -> float:
    """The smaller side of what two boxes share, in pixels; negative when they are apart."""
    across = min(one.x1, other.x1) - max(one.x0, other.x0)
    return min(across, min(one.y1, other.y1) - max(one.y0, other.y0))
