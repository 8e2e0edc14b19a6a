"""A later tap cannot be cheaper than an earlier one: falls beyond the spread are flagged, others are not."""

import pytest

from birdprobe.analysis.studies.timing import non_monotone
from birdprobe.features import InputError

MS = {"stem": 1.0, "block_00": 3.0, "block_01": 2.6, "block_02": float("nan"), "block_03": 2.0, "embedding": 3.5}


def test_falls_beyond_the_spread_are_flagged():
    assert non_monotone(MS, 0.5) == ("block_03",)
    assert non_monotone(MS, 0.1) == ("block_01", "block_03")
    assert non_monotone(MS, 1.0) == ()


def test_each_tap_may_have_its_own_spread():
    own = dict.fromkeys(MS, 0.1)
    assert non_monotone(MS, own) == ("block_01", "block_03")
    assert non_monotone(MS, own | {"block_00": 2.0}) == ("block_03",)  # below block_01, whatever block_00 was


def test_bad_spreads_are_one_line():
    with pytest.raises(InputError, match="expected a spread for every tap, got none for embedding"):
        non_monotone(MS, {tap: 0.1 for tap in MS if tap != "embedding"})
    with pytest.raises(InputError, match="expected 0 or more"):
        non_monotone(MS, -1.0)
