"""Read-outs, ranks, shots, planes and similarity drawn: what their tables say, nothing cut off."""

import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from birdprobe.analysis import projection, transferability, wording
from birdprobe.analysis.runs import READOUT_COLUMNS, SHOT_COLUMNS
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
    return pd.DataFrame(rows, columns=list(SHOT_COLUMNS))


def features(n, rows=60, classes=9):
    rng = np.random.default_rng(0)
    codes = np.arange(rows) % classes
    centre = rng.standard_normal((classes, 8))
    labels = np.array([f"Genus species number {c}" for c in range(classes)])[codes]
    return {tap: rng.standard_normal((rows, 8)) + i * centre[codes] for i, tap in enumerate(taps(n))}, labels


def make_run(folder, n, names=NAMES, with_planes=True):
    """A run folder of n taps with the tables of all studies."""
    folder.mkdir()
    x, labels = features(n)
    table(n, names).to_csv(folder / "readouts.csv", index=False)
    shots(n).to_csv(folder / "shots.csv", index=False)
    transferability.cka(x).to_csv(folder / "cka.csv", index_label="tap")
    if with_planes:
        found = projection.plane_scores(x, labels, np.arange(60) % 4, method="pca")
        found.points.to_csv(folder / "planes.csv", index=False)
        found.scores.to_csv(folder / "plane_scores.csv", index=False)
    return folder


def read_by(folder, frame):
    """A run folder that holds this readouts.csv alone."""
    folder.mkdir(exist_ok=True)
    frame.to_csv(folder / "readouts.csv", index=False)
    return folder


def named(run, reference):
    """The run says which tap the others are compared with."""
    config = {
        "model": {"architecture": {"blocks": []}},
        "answer": {"best": "stem", "reference": reference, "chance": 0.1},
        "settings": {"k": 5, "metric": "euclidean", "unit": "clip"},
        "folds": {"n": 4},
        "audio": {"units": 60, "groups": 60, "classes": 9},
    }
    (run / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run", 6)


@pytest.mark.parametrize("n", [3, 19, 60])
def test_text_is_whole_and_apart(n, tmp_path):
    run = make_run(tmp_path / "run", n, with_planes=n < 60)
    drawers = [readouts.draw, readouts.draw_ranks, few_shot.draw, similarity.draw] + [planes.draw] * (n < 60)
    figures = [draw(run) for draw in drawers]
    figures.append(readouts.draw(read_by(tmp_path / "one", table(n, ["knn"]))))
    figures.append(readouts.draw_ranks(read_by(tmp_path / "two", table(n, NAMES[:2]))))
    for figure in figures:
        assert cut_off(figure) == [] and colliding(figure) == []


def test_each_best_cell_is_outlined_and_the_reference_marked(tmp_path):
    frame = table(6)
    frame.loc[3, "score"] = np.nan
    scores = frame.pivot(index="tap", columns="readout", values="score").loc[taps(6), NAMES]
    run = read_by(tmp_path, frame)
    axes = readouts.draw(run).axes[0]
    written = [text.get_text() for text in axes.texts]
    assert written == ["–" if np.isnan(v) else f"{v:.3f}".removeprefix("0") for v in scores.to_numpy().ravel()]
    outlined = [(int(p.get_y()), int(p.get_x())) for p in axes.patches if isinstance(p, Rectangle)]
    assert outlined == [(int(np.nanargmax(scores[name])), j) for j, name in enumerate(NAMES)]
    marked = [t.get_text() for t in axes.get_yticklabels() if t.get_color() == style.REFERENCE]
    assert marked == ["final embedding"]
    named(run, "block_01")
    other = readouts.draw(run).axes[0]
    assert [t.get_text() for t in other.get_yticklabels() if t.get_color() == style.REFERENCE] == ["block 1"]


def test_ranks_are_those_of_the_scores(tmp_path):
    frame = table(6)
    scores = frame.pivot(index="tap", columns="readout", values="score").loc[taps(6), NAMES]
    run = read_by(tmp_path, frame)
    axes = readouts.draw_ranks(run).axes[0]
    lines = {to_hex(line.get_color()): line.get_ydata() for line in axes.lines if line.get_marker() == "None"}
    np.testing.assert_array_equal(lines[style.REFERENCE], (scores > scores.loc["embedding"]).sum() + 1)
    labelled = {text.get_text() for text in axes.texts}
    assert labelled == {wording.tap_title(tap) for tap in scores.idxmax()} | {"final embedding"}
    with pytest.raises(InputError, match="expected at least two read-outs, got 1"):
        readouts.draw_ranks(read_by(tmp_path, frame[frame["readout"] == "knn"]))
    named(read_by(tmp_path, frame), "block_99")
    with pytest.raises(InputError, match="got block_99"):
        readouts.draw_ranks(tmp_path)


def test_shots_draws_every_curve(run):
    frame = shots(6)
    figure = few_shot.draw(run)
    assert len(figure.axes) == 2
    rows = frame[(frame["readout"] == NAMES[1]) & (frame["tap"] == "embedding")]
    lines = [line for line in figure.axes[1].lines if to_hex(line.get_color()) == style.REFERENCE]
    np.testing.assert_allclose(lines[0].get_xydata(), rows[["shots", "score"]])
    curves = [line for line in figure.axes[1].lines if line.get_marker() == "None"]
    assert len(curves) == 6


def test_shots_follow_the_runs_own_reference(tmp_path):
    run = make_run(tmp_path / "run", 5, with_planes=False)
    named(run, "block_00")
    frame = shots(5)
    rows = frame[(frame["readout"] == NAMES[0]) & (frame["tap"] == "block_00")]
    lines = [line for line in few_shot.draw(run).axes[0].lines if to_hex(line.get_color()) == style.REFERENCE]
    np.testing.assert_allclose(lines[0].get_xydata(), rows[["shots", "score"]])


def test_planes_say_their_own_score(run):
    scores = pd.read_csv(run / "plane_scores.csv")
    figure = planes.draw(run)
    assert len(figure.axes) == 6
    for axes, row in zip(figure.axes, scores.itertuples()):
        name, said = (text.get_text() for text in axes.texts)
        assert name == wording.tap_title(row.tap) and f"k-NN {row.knn:.2f}" in said
        assert sum(len(line.get_xdata()) for line in axes.lines) == 60
    assert "3 other classes" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_similarity_is_the_table(run, tmp_path):
    values = pd.read_csv(run / "cka.csv", index_col="tap").to_numpy()
    mesh = similarity.draw(run).axes[0].collections[0]
    wide = similarity.draw(make_run(tmp_path / "wide", 60, with_planes=False)).axes[0]
    for labels in (wide.get_xticklabels(), wide.get_yticklabels()):
        assert {"stem", "final embedding", "logits"} < {text.get_text() for text in labels if text.get_visible()}
        assert all(0 <= tick <= 60 for tick in wide.get_xticks())
    np.testing.assert_allclose(mesh.get_array().reshape(6, 6), values)
    pd.DataFrame({"tap": ["a"], "b": [1.0]}).to_csv(tmp_path / "cka.csv", index=False)
    with pytest.raises(InputError, match="rows and columns differ"):
        similarity.draw(tmp_path)


def test_gallery_draws_what_the_folder_holds(run, tmp_path):
    assert gallery.drawable(run) == ("readouts", "ranks", "shots", "planes", "similarity")
    first = {path.name: path.read_bytes() for path in gallery.save(run)}
    assert len(first) == 10
    again = {f"{name}.png": gallery.save_png(run, name).read_bytes() for name in gallery.drawable(run)}
    again |= {path.name: path.read_bytes() for path in gallery.save(run, ["similarity"])}  # its PDF too
    assert len(again) == 6
    assert again.items() <= first.items()
    table(6, ["knn"]).to_csv(tmp_path / "readouts.csv", index=False)
    assert gallery.drawable(tmp_path) == ("readouts",)
