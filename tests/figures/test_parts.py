"""What the figures show is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from birdprobe.analysis.runs import Run
from birdprobe.features import InputError
from birdprobe.figures import style
from birdprobe.figures.sweeps import architecture, block_layout, classes, depth, trajectories
from tests.pictures import colliding, cut_off
from tests.runs import BIRDNET, DENSE, PERCH, VIT, Backbone, make_run


@pytest.fixture(scope="module")
def birdnet(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


def drawn(axes, colour):
    """Data of the lines and markers of one face colour."""
    return [line.get_xydata() for line in axes.lines if to_hex(line.get_markerfacecolor()) == colour]


def test_depth_marks_the_best_tap_and_the_reference(birdnet):
    data = Run(birdnet)
    top, bottom = depth.draw(birdnet).axes
    ((x, y),) = drawn(top, style.BEST)[-1]
    assert (x, y) == (11, pytest.approx(data.ranking.knn["block_11"]))
    levels = {round(float(line.get_ydata()[0]), 6) for line in top.lines if len(set(line.get_ydata())) == 1}
    assert {round(data.ranking.knn["embedding"], 6), 0.1} <= levels  # reference and chance
    assert bottom.get_ylabel() == "ms per window"
    words = " ".join(text.get_text() for text in top.texts)
    assert "block 11\n0.910" in words
    assert "+10.0 points" in words


def test_depth_sets_embedding_and_logits_apart():
    places = depth.positions(["block_00", "block_01", "block_15", "embedding", "logits"], 16)
    assert places["block_15"] == 15
    assert places["embedding"] - 15 > 1.5
    assert places["logits"] - places["embedding"] > 1.5


@pytest.mark.parametrize("best", [0, 13, 52, 57])
def test_block_numbers_that_fit_include_the_best(best):
    shown = depth.readable(list(range(58)), best, 2.7)
    assert best in shown
    assert min(np.diff(shown)) >= 2.7
    assert len(shown) > 10


@pytest.mark.parametrize("backbone", [BIRDNET, PERCH, VIT, DENSE], ids=lambda b: b.name)
def test_layout_keeps_every_block_in_order_on_rows_that_fit(backbone, tmp_path):
    data = Run(make_run(tmp_path / "run", backbone, ()))
    room = 5.2
    rows = block_layout.wrap(block_layout.groups(data), room)
    taps = [box.tap for row in rows for group in row for box in group.boxes if box.tap.startswith("block_")]
    assert taps == [block["name"] for block in data.architecture["blocks"]]
    for row in rows:
        assert sum(group.width for group in row) + block_layout.STAGE_GAP * (len(row) - 1) <= room + 1e-9
    assert rows[-1][0].boxes[0].tap not in block_layout.ENDS


def test_boxes_grow_with_channels_and_map(birdnet):
    boxes = {box.tap: box for group in block_layout.groups(Run(birdnet)) for box in group.boxes}
    assert boxes["block_15"].width > boxes["block_00"].width
    assert boxes["block_15"].height < boxes["block_00"].height
    assert "96–256 ch" in block_layout.sizes(
        [block_layout.Box("a", "", 1, 1, 96), block_layout.Box("b", "", 1, 1, 256)]
    )


def test_architecture_outlines_the_best_and_dashes_what_was_not_read(tmp_path):
    run = make_run(tmp_path / "run", BIRDNET, (0, 5, 11))
    patches = [patch for patch in architecture.draw(run).axes[0].patches if patch.get_width() > 0.2]
    outlines = [to_hex(patch.get_edgecolor()) for patch in patches]
    assert outlines.count(style.BEST) == 1
    assert sum(patch.get_linestyle() not in ("solid", "-") for patch in patches) == 16 - 3 + 1  # and the stem


def test_published_figure_1_outlines_what_the_head_reads_and_sets_both_accuracies_above(tmp_path):
    run = make_run(tmp_path / "run", PERCH)
    figure = architecture.draw_published(run, {"block_24": 0.648, "block_01": 0.072})
    outlined = [p for p in figure.axes[0].patches if to_hex(p.get_edgecolor()) == style.BEST and p.get_width() > 0.2]
    words = [text.get_text() for text in figure.axes[0].texts]
    assert len(outlined) == 3 and {".648", ".072"} <= set(words)
    ours = Run(run).ranking.knn
    assert {f"{ours[tap]:.3f}"[1:] for tap in ("block_00", "block_24", "embedding")} <= set(words)
    assert not cut_off(figure) and not colliding(figure)


def test_published_figure_1_is_of_perch_alone(birdnet):
    with pytest.raises(InputError, match="16 blocks, and published Figure 1 is of Perch v2, which has 26"):
        architecture.draw_published(birdnet)


def test_published_figure_2_numbers_the_paths_on_the_map(birdnet):
    (chart,) = trajectories.draw_published(birdnet).axes
    numbers = [text.get_text() for text in chart.texts]
    assert numbers.count("15") == 6 and {"11", "12", "13", "14"} <= set(numbers)  # an end hides what lies under it


def test_trajectories_colour_the_six_longest(birdnet):
    items = Run(birdnet).projection
    centres = items.groupby(["label", "tap"])[["x", "y"]].mean()
    steps = {label: np.diff(rows.to_numpy(), axis=0) for label, rows in centres.groupby("label")}
    length = {label: np.linalg.norm(step, axis=1).sum() for label, step in steps.items()}
    six = sorted(length, key=length.get)[-6:]
    chart, *close_ups = trajectories.draw(birdnet).axes
    assert {text.get_text() for text in chart.texts} == set(six)
    assert [axes.get_title("left") for axes in close_ups] == six[::-1]
    paths = [line for line in chart.lines if len(line.get_xdata()) == 5]
    first = next(line for line in paths if line.get_color() == style.SHOWCASE[0])
    np.testing.assert_allclose(first.get_xydata(), centres.loc[six[-1]])
    np.testing.assert_allclose(close_ups[0].lines[0].get_xydata(), centres.loc[six[-1]])
    assert len({tuple(line.get_xydata().ravel()) for line in paths}) == 10
    for axes in close_ups:  # both ends are always numbered
        assert {"11", "15"} <= {text.get_text() for text in axes.texts}


def test_close_ups_tell_their_scale(birdnet):
    chart, *close_ups = trajectories.draw(birdnet).axes
    for axes in close_ups:
        told = float(axes.get_title("right").removeprefix("×"))
        ratio = trajectories.scale(axes) / trajectories.scale(chart)
        assert told == pytest.approx(ratio, rel=0.26)  # whole numbers from 2 on
        box = axes.bbox
        assert np.diff(axes.get_xlim()) / box.width == pytest.approx(np.diff(axes.get_ylim()) / box.height)


def test_trajectories_need_two_taps(birdnet, tmp_path):
    run = make_run(tmp_path / "run")
    items = pd.read_csv(run / "projection.csv")
    items[items.tap == "block_15"].to_csv(run / "projection.csv", index=False)
    with pytest.raises(InputError, match=r"one tap \(block_15\), expected at least two"):
        trajectories.draw(run)


def test_class_map_holds_the_accuracy_of_every_class(birdnet):
    data = Run(birdnet)
    shares, counts = classes.by_class(data)
    table = data.predictions
    dog = table[table.label == "dog"]
    assert shares.loc["dog", "block_03"] == pytest.approx((dog.block_03 == "dog").mean())
    assert (shares[data.best].diff().dropna() <= 0).all()
    assert counts["dog"] == 40
    # classes are of one size here, so their mean is the accuracy that the ranking gives
    np.testing.assert_allclose(shares.mean(), data.ranking.knn[shares.columns], atol=1e-9)


def test_many_classes_become_sixty_rows_that_can_be_read(tmp_path):
    many = Backbone(
        *("many", "mbconv", BIRDNET.stages, None, 64, 200, 5.0, 32000, BIRDNET.accuracy),
        classes=tuple(f"Genus species {i:03d}" for i in range(206)),
        per_class=4,
    )
    run = make_run(tmp_path / "run", many)
    shares, counts = classes.by_class(Run(run))
    rows, names = classes.condensed(shares, counts)
    assert len(rows) == len(names) == classes.MOST
    assert names[30].split() == ["mean", "of", "147", "between", "588"]
    np.testing.assert_allclose(rows[30], shares.to_numpy()[30:177].mean(axis=0))
    np.testing.assert_allclose(rows[-1], shares.to_numpy()[-1])
    figure = classes.draw(run)
    assert cut_off(figure) == []
    assert colliding(figure) == []
