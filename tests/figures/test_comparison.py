"""The comparison figure: dots where the table has them, nothing cut off, drawn only where its table is."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.predictions import comparison as table
from birdprobe.features import InputError
from birdprobe.figures import gallery, style
from birdprobe.figures.predictions import comparison
from birdprobe.probe.cli.terminal import print_table
from tests.pictures import colliding, cut_off, shared
from tests.runs import make_run

ROWS = [f"f{i // 12}_{5 * (i % 12) + 5}" for i in range(120)]
CLASSES = [f"class {i}" for i in range(8)]
TRUTH = pd.DataFrame(np.random.default_rng(0).random((120, 8)) < 0.25, ROWS, CLASSES)


def member(seed, noise=0.9):
    noisy = noise * np.random.default_rng(seed).random(TRUTH.shape)
    return pd.DataFrame(0.1 * TRUTH.to_numpy() + noisy, ROWS, CLASSES)


LAYOUTS = {
    "one cell": {"attention": [("raw", 1)]},
    "members without steps": {f"member {i}": [("raw", i + 1)] for i in range(14)},
    "members with steps": {f"member {i}": [(f"step {j}", 10 * i + j + 1) for j in range(5)] for i in range(4)},
    "long names": {
        "Model 73: ProtoSSM on Perch embeddings + distilled SED": [
            ("raw", 1),
            ("+ genus .15, class .05, $x_1$ WWWW", 2),
        ],
        "a": [("WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW", 3)],
    },
}  # member -> (step, seed)


def write(folder, layout, rows=120):
    members = {name: [(step, member(seed)[:rows]) for step, seed in steps] for name, steps in layout.items()}
    folder.mkdir(exist_ok=True)
    frame = table.compare(TRUTH[:rows], members, n_boot=100)
    table.write(frame, folder / "comparison")
    return frame


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rows", [120, 12])
def test_text_is_whole_and_apart(tmp_path, layout, rows):
    write(tmp_path, LAYOUTS[layout], rows)
    figure = comparison.draw(tmp_path)
    assert cut_off(figure) == []
    assert colliding(figure) == []


def test_dots_and_bars_stand_where_the_table_has_them(tmp_path):
    frame = write(tmp_path, LAYOUTS["members with steps"])
    for axes, fields in zip(
        comparison.draw(tmp_path).axes,
        (("macro_auc", "lo", "hi"), ("vs_baseline", "vs_baseline_lo", "vs_baseline_hi")),
    ):
        wanted = frame.dropna(subset=fields[0])
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        bars = [line for line in axes.lines if line.get_marker() == "None" and len(set(line.get_ydata())) == 1]
        assert [float(dot.get_xdata()[0]) for dot in dots] == list(wanted[fields[0]])
        assert [tuple(bar.get_xdata()) for bar in bars] == list(zip(wanted[fields[1]], wanted[fields[2]]))
        heights = [float(dot.get_ydata()[0]) for dot in dots]
        assert heights == sorted(heights) and len(set(heights)) == len(wanted)  # in the table's order, from the top
    for dot, (_, row) in zip(dots, wanted.iterrows()):  # of the differences
        assert (dot.get_markerfacecolor() != style.PAPER) == (row["vs_baseline_lo"] > 0 or row["vs_baseline_hi"] < 0)


@pytest.mark.parametrize("low", [0.5, 0.64, 0.85, 0.92])
@pytest.mark.parametrize("span", [0.002, 0.01, 0.04, 0.09, 0.11, 0.3])
def test_tick_labels_keep_apart(tmp_path, low, span):
    # 0.875 and 0.900 once ran into one number between long names
    frame = write(tmp_path, LAYOUTS["long names"])
    frame["macro_auc"] = low + span * np.array([0.1, 0.5, 0.9])
    frame["lo"], frame["hi"] = frame["macro_auc"] - span / 10, frame["macro_auc"] + span / 10
    for name, shift in (("vs_baseline", 0.0), ("vs_baseline_lo", -span / 8), ("vs_baseline_hi", span / 8)):
        frame[name] = [np.nan, 0.4 * span + shift, 0.8 * span + shift]
    table.write(frame, tmp_path / "comparison")
    figure = comparison.draw(tmp_path)
    figure.canvas.draw()
    for axes in figure.axes:
        low_x, high_x = axes.get_xlim()
        boxes = [
            tick.label1.get_window_extent()
            for tick in axes.xaxis.get_major_ticks()
            if low_x <= tick.get_loc() <= high_x
        ]
        assert len(boxes) >= 2
        assert all(shared(one, other) < -10 for one, other in pairwise(boxes))  # pixels of 200 an inch


def test_one_recording_has_dots_and_no_bars(tmp_path):
    write(tmp_path, LAYOUTS["members without steps"], rows=12)
    score = comparison.draw(tmp_path).axes[0]
    assert len(score.lines) == 1 + 14  # the baseline's line and the dots


def test_it_belongs_to_folders_with_a_comparison(tmp_path):
    sweep = make_run(tmp_path / "sweep")
    assert "comparison" not in gallery.drawable(sweep)
    with pytest.raises(InputError, match=r"comparison\.csv: no such file or folder, expected the CSV of a comparison"):
        gallery.save(sweep, ["comparison"])
    write(sweep, LAYOUTS["one cell"])
    assert gallery.drawable(sweep)[-1] == "comparison" and len(gallery.drawable(sweep)) == len(gallery.FIGURES) + 1
    alone = tmp_path / "alone"
    write(alone, LAYOUTS["one cell"])
    assert gallery.drawable(alone) == ("comparison",)
    written = gallery.save(alone)
    assert [path.name for path in written] == ["comparison.png", "comparison.pdf"]


def test_the_same_table_gives_the_same_bytes_from_a_folder_or_a_file(tmp_path):
    write(tmp_path, LAYOUTS["members with steps"])
    for name, source in (("a", tmp_path), ("b", tmp_path / "comparison.csv")):
        style.save(comparison.draw(source), tmp_path / name)
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-1e-9, "0"), (0.02, "+0.02"), (-0.1, "−0.1"), (0.0025, "+0.0025"), (1, "+1")]
)
def test_ticks_of_differences_carry_their_sign(value, text):
    assert comparison.signed(value) == text


def test_a_tick_at_the_right_end_would_keep_its_label_off_the_edge(tmp_path):
    write(tmp_path, LAYOUTS["members with steps"])
    figure = comparison.draw(tmp_path)
    figure.canvas.draw()
    gain = figure.axes[1]
    widest = max(tick.label1.get_window_extent().width for tick in gain.xaxis.get_major_ticks())
    assert gain.get_window_extent().x1 + widest / 2 < (style.WIDTH_IN - 0.02) * figure.dpi


def test_the_terminal_has_an_interval_on_one_line(tmp_path, capsys):
    frame = write(tmp_path, LAYOUTS["members with steps"])
    print_table(table.short_attempts(frame))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    first = frame.iloc[1]
    assert any(
        f"[{first.lo:.3f}, {first.hi:.3f}]  [{first.vs_raw_lo:+.3f}, {first.vs_raw_hi:+.3f}]" in line for line in lines
    )
