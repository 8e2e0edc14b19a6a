"""Every figure for every kind of backbone: nothing cut off, no label on another, equal runs give equal bytes."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from birdprobe.features import InputError
from birdprobe.figures import gallery, style
from birdprobe.probe.sweep import run_folder
from tests.pictures import colliding, cut_off
from tests.runs import BIRDNET, DENSE, PERCH, VIT, add_readouts, make_run

KINDS = {
    "16 MBConv blocks": (BIRDNET, None),
    "26 MBConv blocks": (PERCH, None),
    "10 of 26 blocks": (PERCH, (1, 4, 7, 12, 17, 21, 22, 23, 24, 25)),
    "12 transformer blocks": (VIT, None),
    "58 dense layers": (DENSE, None),
    "no block read": (BIRDNET, ()),
}


@pytest.fixture(scope="module", params=KINDS)
def run(request, tmp_path_factory):
    backbone, only = KINDS[request.param]
    return make_run(tmp_path_factory.mktemp("runs") / "run", backbone, only)


@pytest.fixture(scope="module")
def birdnet(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize("name", gallery.FIGURES)
def test_text_is_whole_and_apart(run, name):
    figure = gallery.FIGURES[name](run)
    assert cut_off(figure) == []
    assert colliding(figure) == []


def test_the_measures_see_what_an_eye_would():
    figure = style.new_figure(2)
    figure.text(0.5, 0.5, "one")
    figure.text(0.52, 0.51, "other")
    figure.text(0.98, 0.1, "far too long for the page")
    assert colliding(figure) == [("one", "other")]
    assert cut_off(figure) == ["far too long for the page"]


def test_save_writes_png_and_pdf_of_every_figure(birdnet):
    written = gallery.save(birdnet)
    assert [path.relative_to(birdnet).as_posix() for path in written] == [
        f"figures/{name}.{kind}" for name in gallery.FIGURES for kind in ("png", "pdf")
    ]
    for path in written:
        if path.suffix == ".png":
            height, width, _ = imread(path).shape
            assert width == 1120  # 5.6 in at 200 dpi
            assert height > 400
        else:
            assert path.read_bytes().startswith(b"%PDF-")


@pytest.mark.slow
def test_equal_runs_give_equal_bytes_without_a_date(birdnet, tmp_path):
    again = shutil.copytree(birdnet, tmp_path / "elsewhere")
    for one, other in zip(gallery.save(birdnet), gallery.save(again)):
        assert one.read_bytes() == other.read_bytes(), one.name
        assert b"CreationDate" not in one.read_bytes()


def test_unknown_name_is_told_the_names(birdnet):
    names = r"expected one of depth, .*agreement, pipelines, comparison, experiment, "
    names += "readouts, ranks, shots, planes, similarity, models, got 'heat'"
    with pytest.raises(InputError, match=names):
        gallery.save(birdnet, ["depth", "heat"])


def test_without_a_projection_the_paths_are_left_out_unless_asked_for(birdnet, tmp_path):
    bare = shutil.copytree(birdnet, tmp_path / "bare")
    (bare / "projection.csv").unlink()
    assert gallery.drawable(bare) == ("depth", "architecture", "classes")
    with pytest.raises(InputError, match=r"no projection\.csv in it"):
        gallery.save(bare, ["trajectories"])


def test_a_run_with_readouts_draws_them_by_default(birdnet, tmp_path):
    run = add_readouts(shutil.copytree(birdnet, tmp_path / "run"))
    assert gallery.drawable(run) == (*gallery.FIGURES, "readouts", "ranks")
    gallery.save(run, ["readouts", "ranks", "depth"])
    assert {"readouts.png", "ranks.pdf", "depth.png"} <= {path.name for path in (run / "figures").iterdir()}


def test_the_run_folder_owns_every_figure_of_a_sweep():
    assert set(run_folder.FIGURES) == {*gallery.FIGURES, "readouts", "ranks", "shots", "planes", "similarity"}


def test_short_class_names_leave_the_word_beside_the_colour_bar_whole(birdnet, tmp_path):
    run = shutil.copytree(birdnet, tmp_path / "digits")
    table = pd.read_csv(run / "predictions.csv")
    names = {name: str(i) for i, name in enumerate(dict.fromkeys(table.label))}
    table.replace(names).to_csv(run / "predictions.csv", index=False)
    assert cut_off(gallery.FIGURES["classes"](run)) == []


def test_no_folder_and_no_files_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no such file or folder, expected a run of `birdprobe sweep`"):
        gallery.save(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"expected a run of `birdprobe sweep`, got no ranking\.csv in it"):
        gallery.save(tmp_path, ["depth"])


def test_long_and_odd_class_names_stay_on_the_page(birdnet, tmp_path):
    odd = shutil.copytree(birdnet, tmp_path / "odd")
    names = {"dog": "$\\frac{$ {x} 100 % & <b>", "rain": "a name that goes on and on and on and on, much too long"}
    for table in ("predictions.csv", "projection.csv"):
        pd.read_csv(odd / table).replace(names).to_csv(odd / table, index=False)
    for name in ("trajectories", "classes"):
        figure = gallery.FIGURES[name](odd)
        assert cut_off(figure) == []
        assert colliding(figure) == []


def test_untimed_run_draws_multiply_accumulates(birdnet, tmp_path):
    untimed = shutil.copytree(birdnet, tmp_path / "untimed")
    pd.read_csv(untimed / "ranking.csv").assign(ms_per_window=np.nan).to_csv(untimed / "ranking.csv", index=False)
    figure = gallery.FIGURES["depth"](untimed)
    assert figure.axes[1].get_ylabel() == "GMAC per window"


def test_reference_that_is_best_is_drawn_once(birdnet, tmp_path):
    kept = shutil.copytree(birdnet, tmp_path / "kept")
    config = json.loads((kept / "config.json").read_text())
    config["answer"]["best"] = config["answer"]["reference"]
    (kept / "config.json").write_text(json.dumps(config))
    for name, draw in gallery.FIGURES.items():
        figure = draw(kept)
        assert cut_off(figure) == [], name
        assert colliding(figure) == [], name
