"""Read-outs, ranks, shots, planes and similarity drawn: what their tables say, nothing cut off, from run or frame."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from birdprobe.analysis import projection, transferability, wording
from birdprobe.analysis.runs import READOUT_COLUMNS
from birdprobe.analysis.studies import few_shot as drawn
from birdprobe.features import InputError
from birdprobe.figures import gallery, style
from birdprobe.figures.sweeps import few_shot, planes, readouts, similarity
from tests.pictures import colliding, cut_off

NAMES = list(readouts.NAMES)


def taps(n):
    return ["stem", *(f"block_{i:02d}" for i in range(n - 3)), "embedding", "logits"]


def table(n, names=NAMES):
    rng = np.random.default_rng(n)
    rows = [
        (tap, name, score, score - 0.1, score + 0.1, *[0.0] * 7)
        for name in names
        for tap, score in zip(taps(n), rng.permutation(n) / n)
    ]
    return pd.DataFrame(rows, columns=list(READOUT_COLUMNS))


def shots(n, names=NAMES[:2]):
    rows = [
        (tap, name, size, 0.1 + 0.1 * i / n * np.log2(size), 0.1, 0.6, 20, 300.0 - size, 10)
        for name in names
        for i, tap in enumerate(taps(n))
        for size in (1, 2, 4, 8, 16, 32)
    ]
    return pd.DataFrame(rows, columns=list(drawn.COLUMNS))


def features(n, rows=60, classes=9):
    rng = np.random.default_rng(0)
    codes = np.arange(rows) % classes
    centre = rng.standard_normal((classes, 8))
    labels = np.array([f"Genus species number {c}" for c in range(classes)])[codes]
    return {tap: rng.standard_normal((rows, 8)) + i * centre[codes] for i, tap in enumerate(taps(n))}, labels


def all_planes(n):
    x, labels = features(n)
    return projection.plane_scores(x, labels, np.arange(60) % 4, method="pca")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    table(6).to_csv(folder / "readouts.csv", index=False)
    shots(6).to_csv(folder / "shots.csv", index=False)
    found = all_planes(6)
    found.points.to_csv(folder / "planes.csv", index=False)
    found.scores.to_csv(folder / "plane_scores.csv", index=False)
    transferability.cka(features(6)[0]).to_csv(folder / "cka.csv", index_label="tap")
    return folder


@pytest.mark.parametrize("n", [3, 19, 60])
def test_text_is_whole_and_apart(n):
    figures = [readouts.draw(table(n)), readouts.draw_ranks(table(n)), few_shot.draw(shots(n))]
    figures += [readouts.draw(table(n, ["knn"])), readouts.draw_ranks(table(n, NAMES[:2]))]
    figures.append(similarity.draw(transferability.cka(features(n)[0])))
    if n < 60:
        found = all_planes(n)
        figures += [planes.draw(found.points, found.scores), planes.draw(found.points)]
    for figure in figures:
        assert cut_off(figure) == [] and colliding(figure) == []


def test_each_best_cell_is_outlined_and_the_reference_marked():
    frame = table(6)
    frame.loc[3, "score"] = np.nan
    scores = frame.pivot(index="tap", columns="readout", values="score").loc[taps(6), NAMES]
    axes = readouts.draw(frame).axes[0]
    written = [text.get_text() for text in axes.texts]
    assert written == ["–" if np.isnan(v) else f"{v:.3f}".removeprefix("0") for v in scores.to_numpy().ravel()]
    outlined = [(int(p.get_y()), int(p.get_x())) for p in axes.patches if isinstance(p, Rectangle)]
    assert outlined == [(int(np.nanargmax(scores[name])), j) for j, name in enumerate(NAMES)]
    marked = [t.get_text() for t in axes.get_yticklabels() if t.get_color() == style.REFERENCE]
    assert marked == ["final embedding"]
    other = readouts.draw(frame, reference="block_01").axes[0]
    assert [t.get_text() for t in other.get_yticklabels() if t.get_color() == style.REFERENCE] == ["block 1"]


def test_ranks_are_those_of_the_scores():
    frame = table(6)
    scores = frame.pivot(index="tap", columns="readout", values="score").loc[taps(6), NAMES]
    axes = readouts.draw_ranks(frame).axes[0]
    lines = {to_hex(line.get_color()): line.get_ydata() for line in axes.lines if line.get_marker() == "None"}
    np.testing.assert_array_equal(lines[style.REFERENCE], (scores > scores.loc["embedding"]).sum() + 1)
    labelled = {text.get_text() for text in axes.texts}
    assert labelled == {wording.tap_title(tap) for tap in scores.idxmax()} | {"final embedding"}
    with pytest.raises(InputError, match="expected at least two read-outs, got 1"):
        readouts.draw_ranks(frame[frame["readout"] == "knn"])
    with pytest.raises(InputError, match="got block_99"):
        readouts.draw_ranks(frame, "block_99")


def test_shots_draws_every_curve(run):
    frame = drawn.read(run / "shots.csv")
    figure = few_shot.draw(run)
    assert len(figure.axes) == 2
    rows = frame[(frame["readout"] == NAMES[1]) & (frame["tap"] == "embedding")]
    lines = [line for line in figure.axes[1].lines if to_hex(line.get_color()) == style.REFERENCE]
    np.testing.assert_allclose(lines[0].get_xydata(), rows[["shots", "score"]])
    curves = [line for line in figure.axes[1].lines if line.get_marker() == "None"]
    assert len(curves) == 6


def test_planes_say_their_own_score(run):
    scores = pd.read_csv(run / "plane_scores.csv")
    figure = planes.draw(run)
    assert len(figure.axes) == 6
    for axes, row in zip(figure.axes, scores.itertuples()):
        name, said = (text.get_text() for text in axes.texts)
        assert name == wording.tap_title(row.tap) and f"k-NN {row.knn:.2f}" in said
        assert sum(len(line.get_xdata()) for line in axes.lines) == 60
    assert "3 other classes" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_similarity_is_the_table(run):
    values = pd.read_csv(run / "cka.csv", index_col="tap").to_numpy()
    mesh = similarity.draw(run).axes[0].collections[0]
    wide = similarity.draw(transferability.cka(features(60)[0])).axes[0]
    for labels in (wide.get_xticklabels(), wide.get_yticklabels()):
        assert {"stem", "final embedding", "logits"} < {text.get_text() for text in labels if text.get_visible()}
        assert all(0 <= tick <= 60 for tick in wide.get_xticks())
    np.testing.assert_allclose(mesh.get_array().reshape(6, 6), values)
    pd.DataFrame({"tap": ["a"], "b": [1.0]}).to_csv(run.parent / "cka.csv", index=False)
    with pytest.raises(InputError, match="rows and columns differ"):
        similarity.draw(run.parent)


def test_gallery_draws_what_the_folder_holds(run, tmp_path):
    assert gallery.drawable(run) == ("readouts", "ranks", "shots", "planes", "similarity")
    first = {path.name: path.read_bytes() for path in gallery.save(run)}
    assert len(first) == 10
    assert first == {path.name: path.read_bytes() for path in gallery.save(run)}
    table(6, ["knn"]).to_csv(tmp_path / "readouts.csv", index=False)
    assert gallery.drawable(tmp_path) == ("readouts",)
