"""Probe budget and leakage drawn: what their tables say, nothing cut off."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from birdprobe.analysis.studies import leakage as compared
from birdprobe.analysis.studies import sample_size as counted
from birdprobe.features import InputError
from birdprobe.figures import style
from birdprobe.figures.sweeps import leakage, sample_size
from tests.pictures import colliding, cut_off
from tests.swept import clips, vectors

TABLE = clips(4, 24)
LABELS, GROUPS, FOLDS = (TABLE[name].to_numpy() for name in ("label", "group", "fold"))
LONG = "file-name pattern '^(XC\\d+|iNat\\d+|CSA\\d+)[-_](\\d{4})[-_].*\\.(ogg|wav|flac)$' and the column of authors"


def features(n):
    taps = [*(f"block_{i:02d}" for i in range(n - 2)), "embedding", "logits"]
    return {tap: vectors(TABLE, 2.0 * i / n, own=1.0, seed=i) for i, tap in enumerate(taps)}


@pytest.fixture(scope="module")
def budget():
    return counted.curve(features(6), LABELS, FOLDS, GROUPS, draws=12, grouping="column author")


@pytest.fixture(scope="module")
def leaked():
    return compared.compare(features(6), LABELS, GROUPS, repeats=2, n_boot=100, grouping="column author")


@pytest.mark.parametrize("n", [3, 18, 60])
@pytest.mark.parametrize("grouping", ["", LONG])
def test_text_is_whole_and_apart(n, grouping):
    curve = counted.curve(features(n), LABELS, FOLDS, GROUPS, draws=3, per_class=[5, 6, 7, 8, 9], grouping=grouping)
    frame = compared.compare(features(n), LABELS, GROUPS, repeats=1, n_boot=20, grouping=grouping)
    for figure in (sample_size.draw(curve), leakage.draw(frame)):
        assert cut_off(figure) == [] and colliding(figure) == []


def test_budget_draws_every_size_but_all(budget):
    top, bottom = sample_size.draw(budget).axes
    small = budget[budget["n_clips"] < 96]
    lines = {to_hex(line.get_color()): line for line in top.lines if line.get_marker() == "None"}
    np.testing.assert_allclose(lines[style.PROBE].get_xydata(), small[["n_clips", "p_same_top"]])
    np.testing.assert_allclose(lines[style.REFERENCE].get_ydata(), small["p_within_tie"])
    pairs = small[small["pairs"] >= 6]
    assert 0 < len(pairs) < len(small)  # two sets of 20 a class are more than there is
    np.testing.assert_allclose(lines[style.BEST].get_xydata(), pairs[["n_clips", "p_two_agree"]])
    assert any(np.allclose(line.get_ydata(), small["spearman"]) for line in bottom.lines if len(line.get_ydata()) > 2)
    with pytest.raises(InputError, match="got only the full size"):
        sample_size.draw(budget[budget["n_clips"] == 96])


def test_leakage_draws_both_accuracies_and_fills_what_is_not_zero(leaked):
    left, right = leakage.draw(leaked).axes
    grouped, random = (line.get_xdata() for line in left.lines)
    np.testing.assert_allclose(grouped, leaked["grouped"])
    np.testing.assert_allclose(random, leaked["random"])
    dots = [line for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in dots], 100 * leaked["difference"])
    filled = [to_hex(line.get_markerfacecolor()) == style.INK for line in dots]
    assert filled == ((leaked["difference_lo"] > 0) | (leaked["difference_hi"] < 0)).tolist()


def test_captions_say_n_grouping_and_k(budget, leaked):
    for words in (sample_size.caption(budget), leakage.caption(leaked)):
        assert "96 clips" in words and "48 groups (grouping: column author)" in words and "5-NN" in words
