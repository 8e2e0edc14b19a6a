"""Public against private: equal scores are one dot, crowds get a panel, every attempt is named."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from birdprobe.figures import style
from birdprobe.figures.predictions import leaderboard
from tests.pictures import colliding, cut_off

NAMES = ("blend", "fork", "sidecar", "other size", "head", "pseudo", "priors")
PUBLIC = (0.950, 0.950, 0.950, 0.949, 0.879, 0.870, 0.861)
PRIVATE = (0.942, 0.941, 0.942, 0.941, 0.898, 0.893, 0.890)
FEW = pd.DataFrame({"name": NAMES, "public": PUBLIC, "private": PRIVATE})


def test_equal_scores_are_one_dot_with_all_names():
    found = leaderboard.dots(FEW)
    assert [dot.names for dot in found][:3] == [("blend", "sidecar"), ("fork",), ("other size",)]
    assert [dot.number for dot in found] == [1, 2, 3, 4, 5, 6]
    assert found[0].gain == -0.008 and found[0].colour == leaderboard.LOST
    assert found[3].gain == 0.019 and found[3].colour == leaderboard.GAINED


def test_the_crowd_has_a_panel_of_its_own_and_every_dot_its_place():
    whole, corner = leaderboard.draw(FEW).axes
    places = {text.get_text(): text.get_position() for axes in (whole, corner) for text in axes.texts}
    assert places["1"] == (0.950, 0.942) and places["6"] == (0.861, 0.890)
    assert "1–3" in places  # the frame says what it holds
    (low, high), (bottom, top) = corner.get_xlim(), corner.get_ylim()
    assert low < 0.949 < 0.950 < high and bottom < 0.941 < 0.942 < top
    assert high - low == pytest.approx(top - bottom)


def test_apart_they_need_no_second_panel():
    (axes,) = leaderboard.draw(FEW[4:]).axes
    faces = [to_hex(line.get_markerfacecolor()) for line in axes.lines if line.get_marker() == "o"]
    assert faces == [style.REFERENCE] * 3


@pytest.mark.parametrize("n", [1, 2, 7, 25])
def test_text_is_whole_and_apart(n):
    rng = np.random.default_rng(n)
    scores = np.round(
        np.concatenate([0.95 + 0.001 * rng.integers(0, 3, (n // 2, 2)), 0.7 + 0.1 * rng.random((n, 2))])[:n], 3
    )
    if n == 7:
        scores = FEW[["public", "private"]].to_numpy()
    frame = pd.DataFrame(scores, columns=["public", "private"]).assign(
        name=[f"attempt with a long name {i}" for i in range(n)]
    )
    figure = leaderboard.draw(frame, "Made up.")
    assert cut_off(figure) == []
    if n < 25:  # dots at random may cover one another
        assert colliding(figure) == []
    listing = " ".join(text.get_text() for text in figure.texts)  # lines in order
    assert all(f"name {i}" in listing for i in range(n))


def test_equal_frames_give_equal_bytes(tmp_path):
    pairs = [style.save(leaderboard.draw(FEW), tmp_path / name) for name in "ab"]
    for one, other in zip(*pairs):
        assert one.read_bytes() == other.read_bytes()
