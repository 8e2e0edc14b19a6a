"""Curves of several sweeps on one axis: every depth and height is the table's, whatever the number of series."""

import numpy as np
import pandas as pd
import pytest

from birdprobe.figures import style
from birdprobe.figures.sweeps import curves
from tests.pictures import colliding, cut_off
from tests.runs import BIRDNET, DENSE, PERCH, VIT, make_run

PUBLISHED = pd.DataFrame({"block": [1, 12, 24, 25], "knn": [0.1, 0.2, 0.6, 0.5]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    kinds = {"b": (BIRDNET, None), "p": (PERCH, (1, 4, 7, 12, 21, 24, 25)), "v": (VIT, None), "d": (DENSE, None)}
    return {name: make_run(folder / name, *kind) for name, kind in kinds.items()}


def published(name="Perch v2 (published)"):
    return curves.of_blocks(PUBLISHED, name, 26, 0.1, "600 clips, groups unknown, 30 classes")


def test_depth_is_the_share_of_the_models_blocks_read_or_not(runs):
    frame = curves.of_run(runs["p"]).set_index("tap")
    assert frame.loc["block_01", "depth"] == pytest.approx(1 / 25) and frame.loc["block_25", "depth"] == 1
    assert frame.loc["logits", "depth"] > frame.loc["embedding", "depth"] > 1
    assert curves.of_run(runs["b"])["depth"].iloc[:16].tolist() == pytest.approx(np.linspace(0, 1, 16))
    assert published()["depth"].tolist() == pytest.approx([1 / 25, 12 / 25, 24 / 25, 1])


def test_the_own_best_block_is_one_and_chance_is_zero():
    frame = published()
    shares = curves.of_best(frame)["knn"]
    assert shares.tolist() == pytest.approx([0, 0.2, 1, 0.8])
    assert curves.of_best(frame.assign(chance=0.7))["knn"].isna().all()


def test_lines_are_the_tables_and_what_was_published_is_dashed(runs):
    ours = curves.of_run(runs["b"], "ours")
    top, bottom = curves.draw([published(), ours]).axes
    dashed, solid = (line for line in top.lines if line.get_marker() == "None" and len(line.get_xdata()) > 2)
    assert dashed.get_linestyle() == "--" and dashed.get_color() == style.INK
    np.testing.assert_allclose(dashed.get_xydata(), published()[["depth", "knn"]])
    np.testing.assert_allclose(solid.get_ydata(), ours["knn"].iloc[:16])
    highest = max(line.get_ydata().max() for line in bottom.lines if len(line.get_xdata()) == 16)
    assert highest == pytest.approx(1)


@pytest.mark.parametrize("names", ["b", "bp", "bpvd"])
@pytest.mark.parametrize("long", [False, True])
def test_text_is_whole_and_apart(runs, names, long):
    ours = [
        curves.of_run(runs[name], f"{name} {'and a name that goes on and on ' * 4}" if long else None) for name in names
    ]
    figure = curves.draw([published(), *ours])
    assert cut_off(figure) == [] and colliding(figure) == []


def test_the_caption_counts_each_series(runs):
    words = curves.caption(pd.concat([published(), curves.of_run(runs["b"], "ours")]))
    assert "Perch v2 (published): 600 clips, groups unknown, 30 classes, chance 0.100" in words
    assert "ours: 400 clips in 200 groups, 10 classes, chance 0.100" in words and "without intervals" in words


def test_equal_curves_give_equal_bytes(runs, tmp_path):
    frames = [published(), curves.of_run(runs["b"])]
    written = [style.save(curves.draw(frames), tmp_path / name) for name in "ab"]
    for one, other in zip(*written):
        assert one.read_bytes() == other.read_bytes()
