"""The agreement figure: what the tables say, nothing cut off, drawn only where its data are."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.figures.predictions import agreement
from tests.pictures import colliding, cut_off
from tests.runs import make_run

HEADS = ("linear head", "weight of attention", "weight of scalarmix", "weight of concat-block_01-block_02-block_03")


def make_tables(folder, blocks=16, scores=HEADS, seed=0):
    """tap_scores.csv and agreement.csv as heads.agreement leaves them, for `blocks` blocks, embedding and logits."""
    rng = np.random.default_rng(seed)
    taps = [f"block_{i:02d}" for i in range(blocks)] + ["embedding", "logits"]
    knn = 0.5 + 0.4 * np.sin(np.linspace(0.3, 2.2, len(taps)))
    rows, pairs = [], []
    for name in ("knn", *scores):
        value = knn + rng.normal(0, 0.03, len(taps))
        value = value / value.sum() if name.startswith("weight") else value
        lo, hi = 0.95 * value, 1.05 * value
        rows.append(pd.DataFrame({"tap": taps, "score": name, "value": value, "lo": lo, "hi": hi}))
    for i, name in enumerate(scores):
        rho = {"spearman": 0.5, "spearman_lo": -0.25, "spearman_hi": 0.8}
        tau = {"kendall": 0.4, "kendall_lo": 0.1 * i, "kendall_hi": 0.6}
        pairs += [{"score": name, "against": "knn", "taps": len(taps)} | rho | tau]
        pairs += [{"score": name, "against": "linear head", "taps": len(taps)} | rho | tau]
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat(rows).to_csv(folder / "tap_scores.csv", index=False)
    pd.DataFrame(pairs).to_csv(folder / "agreement.csv", index=False)
    return folder


@pytest.mark.parametrize("blocks", [3, 16, 58])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_text_is_whole_and_apart(tmp_path, blocks, heads):
    figure = agreement.draw(make_tables(tmp_path, blocks, HEADS[:heads]))
    assert cut_off(figure) == []
    assert colliding(figure) == []
    assert len(figure.axes) == heads


def test_a_panel_shows_every_tap_where_the_tables_have_it(tmp_path):
    run = make_tables(tmp_path)
    table = pd.read_csv(run / "tap_scores.csv")
    wanted = table.pivot(index="tap", columns="score", values="value")
    for axes, name in zip(agreement.draw(run).axes, HEADS):
        at = {tuple(np.round(text.get_position(), 9)): text.get_text() for text in axes.texts[: len(wanted)]}
        for tap, row in wanted.iterrows():
            mark = str(int(tap[-2:])) if tap.startswith("block") else tap[0].upper()
            assert at[round(row["knn"], 9), round(row[name], 9)] == mark
        words = [text.get_text() for text in axes.texts[len(wanted) :]]
        assert words[1].splitlines()[0] == "Spearman 0.50 [−0.25, 0.80]"
    assert words[0] == "concat-block_01-b…: weights"


def test_equal_weights_have_no_order(tmp_path):
    run = make_tables(tmp_path)
    pairs = pd.read_csv(run / "agreement.csv")
    pairs.loc[:, "spearman":] = np.nan
    pairs.to_csv(run / "agreement.csv", index=False)
    words = agreement.draw(run).axes[1].texts[-1].get_text()
    assert words == "Spearman undefined: all equal\nKendall undefined: all equal"


def test_taps_that_only_one_side_knows_are_left_out(tmp_path):
    run = make_tables(tmp_path)
    table = pd.read_csv(run / "tap_scores.csv")
    table[(table.score != "linear head") | (table.tap > "block_09")].to_csv(run / "tap_scores.csv", index=False)
    marks = [text.get_text() for text in agreement.draw(run).axes[0].texts[:-2]]
    assert marks == ["10", "11", "12", "13", "14", "15", "E", "L"]


def test_it_belongs_to_train_runs_and_leaves_sweeps_alone(tmp_path):
    sweep = make_run(tmp_path / "sweep")
    assert "agreement" not in gallery.drawable(sweep)
    with pytest.raises(InputError, match=r"no tap_scores\.csv in it; expected a train run"):
        gallery.save(sweep, ["agreement"])
    assert gallery.drawable(make_tables(tmp_path / "heads")) == ("agreement",)
    both = make_tables(sweep)  # of a folder that has both, all are drawn
    assert gallery.drawable(both) == ("depth", "architecture", "trajectories", "classes", "agreement")


def test_the_same_tables_give_the_same_bytes(tmp_path):
    one, other = (gallery.save(make_tables(tmp_path / name)) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_tables_of_something_else_are_refused(tmp_path):
    run = make_tables(tmp_path)
    pd.read_csv(run / "agreement.csv").drop(columns="kendall").to_csv(run / "agreement.csv", index=False)
    with pytest.raises(InputError, match=r"agreement\.csv: lacks column kendall"):
        agreement.draw(run)
    run = make_tables(tmp_path)
    pd.read_csv(run / "agreement.csv").query("against != 'knn'").to_csv(run / "agreement.csv", index=False)
    with pytest.raises(InputError, match="expected at least one score against knn, got none"):
        agreement.draw(run)
