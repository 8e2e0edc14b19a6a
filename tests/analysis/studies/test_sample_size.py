"""How many clips a probe needs: what the draws are, that they are read as the sweep reads them, and what it says."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import knn
from birdprobe.analysis.studies import sample_size
from birdprobe.features import InputError
from tests.swept import clips, make_sweep, vectors

TABLE = clips(4, 24)
LABELS, GROUPS, FOLDS = (TABLE[name].to_numpy() for name in ("label", "group", "fold"))
CLEAR = {
    "block_00": vectors(TABLE, 0.0, seed=1),
    "block_01": vectors(TABLE, 0.7, seed=2),
    "block_02": vectors(TABLE, 4.0),
}
ALIKE = {
    f"block_{i:02d}": vectors(TABLE, 1.2, dims=6, seed=0) + vectors(TABLE, 0.0, dims=6, seed=i + 9) for i in range(6)
}


@pytest.mark.parametrize("metric", knn.METRICS)
@pytest.mark.parametrize("size", [4, 9, 24])
def test_a_draw_is_read_as_the_probe_itself_would_read_it(metric, size):
    codes = np.unique(LABELS, return_inverse=True)[1]
    order = np.random.default_rng(size).permutation(len(codes))
    chosen = sample_size._first(order, codes, size)
    assert np.bincount(codes[chosen]).tolist() == [size] * 4
    for x in (*CLEAR.values(), *ALIKE.values()):
        found = sample_size._neighbours(x, FOLDS, metric).correct(chosen, codes, 5)
        wanted = knn.correct(x[chosen], LABELS[chosen], FOLDS[chosen], 5, metric)
        assert (found == wanted).all()


def test_two_sets_have_no_group_in_common(monkeypatch):
    seen = []
    correct = sample_size._Neighbours.correct
    monkeypatch.setattr(
        sample_size._Neighbours, "correct", lambda self, c, *rest: seen.append(c) or correct(self, c, *rest)
    )
    sample_size.curve(CLEAR, LABELS, FOLDS, GROUPS, per_class=[5], draws=3)
    assert len(seen) == 18  # 3 draws, two sets, 3 taps
    for i in range(0, 18, 6):
        one, other = seen[i], seen[i + 3]
        assert len(one) == len(other) == 20
        assert not set(GROUPS[one]) & set(GROUPS[other])


def test_a_clear_best_is_found_by_few_and_a_hairs_breadth_by_none_but_all():
    clear = sample_size.curve(CLEAR, LABELS, FOLDS, GROUPS, draws=40)
    assert clear["per_class"].tolist() == [5, 7, 10, 14, 20, 24]
    assert clear["n_clips"].tolist() == [4 * n for n in clear["per_class"]]
    assert (clear["top"] == "block_02").all() and (clear["tied"] == "block_02").all()
    assert sample_size.enough(clear, 0.95, "p_same_top") <= 28
    alike = sample_size.curve(ALIKE, LABELS, FOLDS, GROUPS, draws=40)
    small = alike[alike["per_class"] == 10].iloc[0]
    assert small["p_same_top"] < 0.6 < small["p_within_tie"]
    assert small["p_two_agree"] < 0.6


def test_all_clips_agree_with_themselves_and_leave_none_for_a_second_set():
    full = sample_size.curve(ALIKE, LABELS, FOLDS, GROUPS, per_class=[24], draws=5).iloc[0]
    assert full["p_same_top"] == pytest.approx(1) and full["loss"] == 0
    assert full[["spearman", "lo", "hi"]].tolist() == pytest.approx([1, 1, 1])
    assert full["pairs"] == 0 and np.isnan(full[["p_two_agree", "spearman_two"]].astype(float)).all()
    assert full["n_clips"] == full["n_all"] == 96


def test_taps_that_are_one_and_the_same_share_the_first_place():
    same = dict.fromkeys("abcd", CLEAR["block_01"])
    frame = sample_size.curve(same, LABELS, FOLDS, GROUPS, per_class=[5, 10], draws=6)
    assert frame["p_same_top"].tolist() == pytest.approx([1, 1])  # whichever is read, it is the best
    assert frame["p_two_agree"].tolist() == pytest.approx([0.25, 0.25])
    assert (frame["p_within_tie"] == 1).all() and (frame["loss"] == 0).all()
    assert frame["spearman"].isna().all()  # nothing is ranked


def test_two_classes_start_with_as_many_clips_as_a_probe_can_read():
    two = np.flatnonzero(np.isin(LABELS, ["class 0", "class 1"]))
    frame = sample_size.curve({k: x[two] for k, x in CLEAR.items()}, LABELS[two], FOLDS[two], GROUPS[two], draws=3)
    assert frame["n_clips"].iloc[0] == 20  # four times k; two a class would be four clips


def test_a_small_class_gives_all_it_has():
    few = np.flatnonzero((LABELS != "class 3") | (np.arange(len(LABELS)) < 72 + 6))
    frame = sample_size.curve(
        {k: x[few] for k, x in CLEAR.items()}, LABELS[few], FOLDS[few], GROUPS[few], per_class=[10], draws=3
    )
    assert frame["n_clips"].item() == 36
    assert (
        sample_size.curve({k: x[few] for k, x in CLEAR.items()}, LABELS[few], FOLDS[few], draws=2)["per_class"].max()
        == 6
    )


def test_wilsons_interval_is_the_textbooks():
    # 15 of 20: Newcombe (1998) gives 0.5313 to 0.8881
    share = sample_size._share("p", np.repeat([1.0, 0.0], [15, 5]))
    assert (share["p_lo"], share["p_hi"]) == (pytest.approx(0.5313, abs=1e-4), pytest.approx(0.8881, abs=1e-4))


def test_enough_is_where_it_stays():
    frame = pd.DataFrame({"n_clips": [10, 20, 30, 40], "p_within_tie": [0.96, 0.9, 0.97, 1.0]})
    assert sample_size.enough(frame) == 30
    assert sample_size.enough(frame, 0.85) == 10
    assert sample_size.enough(frame.iloc[:2]) is None


def test_a_run_is_read(tmp_path):
    run = make_sweep(tmp_path / "run")
    frame = sample_size.of_run(run, draws=8)
    best = pd.read_csv(run / "ranking.csv").set_index("tap")["knn"].idxmax()
    assert set(frame["top"]) == {best} and frame["grouping"].iloc[0] == r"file-name pattern '^(G\d+)-'"
    assert frame["n_clips"].tolist() == [21, 30, 36]
    pd.testing.assert_frame_equal(frame, sample_size.of_run(run, draws=8))


def test_input_errors():
    with pytest.raises(InputError, match="expected 3 or more taps to rank, got 2"):
        sample_size.curve(dict(list(CLEAR.items())[:2]), LABELS, FOLDS)
    with pytest.raises(InputError, match=r"expected 1 to 24 clips a class, all that there are, got \[25\]"):
        sample_size.curve(CLEAR, LABELS, FOLDS, per_class=[25])
    with pytest.raises(InputError, match="4 clips leave fewer than k = 5"):
        sample_size.curve(CLEAR, LABELS, FOLDS, per_class=[1])
