"""The picture of an experiment: what its table says, nothing cut off, drawn only where there is a comparison."""

import json

import numpy as np
import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.figures.predictions import experiments
from tests.pictures import colliding, cut_off

LONG = "weight 1.5, sigma 0.65, prior of other folds, and a name that somebody has made longer than any line can be"


def make_outcome(folder, names=("teacher", "naive student", LONG), gains=(0.012, -0.004), config=True):
    rows = [{"arm": names[0], "against": "", "oof": 0.8, "heldout": 0.8}]
    for name in names[1:]:
        row = {"arm": name, "against": names[0], "oof": 0.81, "heldout": 0.79}
        for gain, value in zip(("oof_gain", "heldout_gain"), gains):
            row |= {gain: value, f"{gain}_lo": value - 0.01, f"{gain}_hi": value + 0.02}
        rows.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["oof", "heldout", *experiments.COLUMNS]).to_csv(folder / "outcome.csv", index=False)
    part = {"windows": 203, "recordings": 24}
    if config:
        about = {"experiment": "pseudo", "repeats": 3, "measured": {"oof": part, "heldout": part}}
        (folder / "config.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize("arms", [1, 3, 8])
@pytest.mark.parametrize("gains", [(0.012, -0.004), (0.0, 0.0), (-0.4, 0.3)])
def test_text_is_whole_and_apart(tmp_path, arms, gains):
    names = ("teacher", *(f"{LONG[: 20 * (i + 1)]} {i}" for i in range(arms)))
    figure = experiments.draw(make_outcome(tmp_path, names, gains))
    assert cut_off(figure) == [] and colliding(figure) == []


def test_dots_and_bars_are_the_tables(tmp_path):
    (axes,) = experiments.draw(make_outcome(tmp_path)).axes
    dots = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "oD"]
    assert dots == [0.012, -0.004] * 2
    bars = [
        tuple(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    assert np.allclose(bars, [(0.002, 0.032), (-0.014, 0.016)] * 2)
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    words = [text.get_text() for text in axes.texts]
    assert words[:2] == ["naive student", "against teacher"] and words[2].endswith("…")


def test_the_caption_counts_what_it_stands_on(tmp_path):
    words = experiments.caption(make_outcome(tmp_path))
    assert "203 windows of 24 recordings" in words and "Means over 3 trainings" in words
    assert "few recordings" in experiments.caption(make_outcome(tmp_path / "bare", config=False))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config\.json: no measured\. Was it written"):
        experiments.draw(tmp_path)


def test_only_where_there_is_something_to_compare(tmp_path):
    assert not experiments.has_data(tmp_path)
    with pytest.raises(InputError, match=r"expected a run of `birdprobe experiment`, got no outcome\.csv in it"):
        experiments.draw(tmp_path)
    alone = make_outcome(tmp_path / "alone", names=("teacher",))
    assert not experiments.has_data(alone)
    with pytest.raises(InputError, match="at least one arm that is compared"):
        experiments.draw(alone)
    (tmp_path / "outcome.csv").write_text("arm,against\na,b\n")
    with pytest.raises(InputError, match="lacks column oof_gain"):
        experiments.draw(tmp_path)


def test_the_gallery_draws_it_where_it_is(tmp_path):
    run = make_outcome(tmp_path)
    assert gallery.drawable(run) == ("experiment",)
    assert [path.name for path in gallery.save(run)] == ["experiment.png", "experiment.pdf"]
