"""Numbers as text: fixed decimals, no negative zero, one rounding for points, one rule for p."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from birdprobe.analysis import wording


def test_intervals():
    assert wording.interval(0.905, 0.8741, 0.93286) == "0.905 [0.874, 0.933]"
    assert wording.interval(0.0204, -0.0004, 0.0394, signed=True) == "+0.020 [+0.000, +0.039]"  # no negative zero
    assert wording.interval(0.5, math.nan, math.nan, 2) == "0.50"


def test_points_round_a_share_once():
    # 0.0925 is stored a little above itself: README, report and paper must all say 9.2
    assert wording.points(0.09250000000000003, 0.046034, 0.13896) == "+9.2 [+4.6, +13.9] points"


@pytest.mark.parametrize(
    ("p", "sentence", "cell"),
    [
        (0.0004, "p < 0.001", "< 0.001"),
        (0.0012, "p = 0.001", "0.001"),
        (0.03, "p = 0.030", "0.030"),
        (0.4, "p = 0.40", "0.40"),
    ],
)
def test_p_values(p, sentence, cell):
    assert (wording.p_value(p), wording.number_of_p(p)) == (sentence, cell)


@pytest.mark.parametrize(
    ("tap", "label", "title", "name"),
    [
        ("block_07", "7", "block 7", "block 7"),
        ("embedding", "embedding", "final embedding", "the final embedding"),
        ("logits", "logits", "logits", "the logits"),
    ],
)
def test_names_of_taps(tap, label, title, name):
    assert (wording.tap_label(tap), wording.tap_title(tap), wording.tap_name(tap)) == (label, title, name)


@given(st.floats(-1e6, 1e6), st.integers(0, 6), st.booleans())
@settings(deadline=None)
def test_a_number_reads_back_within_half_its_last_digit(value, digits, signed):
    text = wording.number(value, digits, signed=signed)
    assert abs(float(text) - value) <= 0.5 * 10**-digits * (1 + 1e-9) + 1e-9
    assert not (text.startswith("-") and float(text) == 0)
    assert text.startswith(("+", "-")) or not signed


def test_minus_sign():
    assert wording.minus_sign("-0.3 [-0.5, 0.1]") == "−0.3 [−0.5, 0.1]"


def test_the_page_of_concepts_has_the_names_of_read_outs():
    page = (Path(__file__).resolve().parents[2] / "docs" / "concepts.md").read_text()
    page = page.partition("## How a tap is read")[2].partition("\n- ")[0]
    found = dict(re.findall(r"^\| `([\w-]+)` \| ([^|]+?) \|", page, re.MULTILINE))
    assert found == {name: wording.readout_name(name, 5) for name in wording.READOUTS}
