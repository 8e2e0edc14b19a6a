"""The parts of the style that are arithmetic: label spreading, contrast, names and numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from birdprobe.figures import style
from birdprobe.figures.labels import spread

LABELS = st.lists(st.tuples(st.floats(-1, 2), st.floats(0.01, 0.15)), min_size=1, max_size=6)


@given(LABELS)
def test_spread_keeps_labels_apart_in_order_and_inside(labels):
    wanted, heights = zip(*labels)
    centres = spread(list(wanted), list(heights), 0.0, 1.0)
    order = np.argsort(wanted, kind="stable")
    low = np.array(centres)[order] - np.array(heights)[order] / 2
    high = np.array(centres)[order] + np.array(heights)[order] / 2
    assert (low[1:] >= high[:-1] - 1e-9).all()
    assert low[0] >= -1e-9
    assert high[-1] <= 1 + 1e-9


def test_spread_leaves_labels_where_there_is_room():
    assert spread([0.8, 0.2], [0.1, 0.1], 0, 1) == pytest.approx([0.8, 0.2])
    assert spread([0.5, 0.5], [0.1, 0.1], 0, 1) == pytest.approx([0.45, 0.55])  # both give way alike


def luminance(rgb):
    return np.dot([0.2126, 0.7152, 0.0722], [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb])


def contrast(one, other):
    low, high = sorted((luminance(to_rgb(one)), luminance(to_rgb(other))))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [style.INK, style.QUIET, style.BEST, style.PROBE, style.REFERENCE])
def test_type_on_paper_has_contrast(colour):
    assert contrast(colour, style.PAPER) >= 4.5  # WCAG AA for small type


def test_numbers_in_cells_can_be_read_on_every_shade():
    worst = min(contrast(style.ink_on(style.ACCURACY(v)), style.ACCURACY(v)) for v in np.linspace(0, 1, 101))
    assert worst >= 3.8


def test_accuracy_grows_darker_steadily():
    shades = [luminance(style.ACCURACY(v)[:3]) for v in np.linspace(0, 1, 101)]
    assert (np.diff(shades) < 0).all()  # in grey print the order survives


def test_names_and_numbers():
    assert [style.number(v) for v in (0.41234, 25.78, 2396.6)] == ["0.412", "25.8", "2,397"]
    assert style.trimmed("Troglodytes troglodytes", 12) == "Troglodytes…"
