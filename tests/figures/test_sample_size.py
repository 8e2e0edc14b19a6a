"""Probe budget and leakage drawn: what their tables say, nothing cut off, equal bytes, drawn from a run or a frame."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from birdprobe.analysis.studies import leakage as compared
from birdprobe.analysis.studies import sample_size as counted
from birdprobe.features import InputError
from birdprobe.figures import gallery, style
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
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    curve = counted.curve(features(6), LABELS, FOLDS, GROUPS, draws=12, grouping="column author")
    curve.to_csv(folder / "budget.csv", index=False)
    compare = compared.compare(features(6), LABELS, GROUPS, repeats=2, n_boot=100, grouping="column author")
    compare.to_csv(folder / "leakage.csv", index=False)
    return folder


@pytest.mark.parametrize("n", [3, 18, 60])
@pytest.mark.parametrize("grouping", ["", LONG])
def test_text_is_whole_and_apart(n, grouping):
    curve = counted.curve(features(n), LABELS, FOLDS, GROUPS, draws=3, per_class=[5, 6, 7, 8, 9], grouping=grouping)
    frame = compared.compare(features(n), LABELS, GROUPS, repeats=1, n_boot=20, grouping=grouping)
    for figure in (sample_size.draw(curve), leakage.draw(frame)):
        assert cut_off(figure) == [] and colliding(figure) == []


def test_budget_draws_every_size_but_all(run):
    frame = counted.read(run / "budget.csv")
    top, bottom = sample_size.draw(run).axes
    small = frame[frame["n_clips"] < 96]
    lines = {to_hex(line.get_color()): line for line in top.lines if line.get_marker() == "None"}
    np.testing.assert_allclose(lines[style.PROBE].get_xydata(), small[["n_clips", "p_same_top"]])
    np.testing.assert_allclose(lines[style.REFERENCE].get_ydata(), small["p_within_tie"])
    pairs = small[small["pairs"] >= 6]
    assert 0 < len(pairs) < len(small)  # two sets of 20 a class are more than there is
    np.testing.assert_allclose(lines[style.BEST].get_xydata(), pairs[["n_clips", "p_two_agree"]])
    assert any(np.allclose(line.get_ydata(), small["spearman"]) for line in bottom.lines if len(line.get_ydata()) > 2)
    with pytest.raises(InputError, match="got only the full size"):
        sample_size.draw(frame[frame["n_clips"] == 96])


def test_leakage_draws_both_accuracies_and_fills_what_is_not_zero(run):
    frame = compared.read(run / "leakage.csv")
    left, right = leakage.draw(run).axes
    grouped, random = (line.get_xdata() for line in left.lines)
    np.testing.assert_allclose(grouped, frame["grouped"])
    np.testing.assert_allclose(random, frame["random"])
    dots = [line for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in dots], 100 * frame["difference"])
    filled = [to_hex(line.get_markerfacecolor()) == style.INK for line in dots]
    assert filled == ((frame["difference_lo"] > 0) | (frame["difference_hi"] < 0)).tolist()


def test_captions_say_n_grouping_and_k(run):
    for words in (
        sample_size.caption(counted.read(run / "budget.csv")),
        leakage.caption(compared.read(run / "leakage.csv")),
    ):
        assert "96 clips" in words and "48 groups (grouping: column author)" in words and "5-NN" in words


def test_the_gallery_draws_them_where_their_tables_are_and_twice_the_same(run):
    assert gallery.drawable(run) == ("budget", "leakage")
    first = [path.read_bytes() for path in gallery.save(run)]
    assert [path.read_bytes() for path in gallery.save(run)] == first


def test_a_table_that_is_missing(tmp_path):
    with pytest.raises(InputError, match="expected the CSV of a probe budget"):
        sample_size.draw(tmp_path)
    with pytest.raises(InputError, match="random against group folds"):
        leakage.draw(tmp_path)
