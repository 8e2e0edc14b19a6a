"""A paper of one's own runs: their numbers, none of the note's claims; figures for print."""

import json
import shutil
import sys

import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.figures import gallery
from birdprobe.paper.own import build
from tests.runs import add_readouts, make_run

pytest.importorskip("typst")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return add_readouts(make_run(tmp_path_factory.mktemp("runs") / "mine & co"))


@pytest.fixture(scope="module")
def built(sweep):
    return build([sweep], sweep.parent / "paper", log=lambda line: None)


def test_a_paper_of_ones_own_runs_says_what_they_concluded(sweep, built):
    assert built.pages >= 2 and (built.out / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert all(path.is_file() for path in built.files) and not built.missing
    content = json.loads((built.out / "content.json").read_text())
    said = json.dumps(content, ensure_ascii=False)
    conclusion = json.loads((sweep / "config.json").read_text())["conclusion"]
    words = [words for section in content["sections"] for words in section["paragraphs"]]
    assert set(conclusion["lines"]) <= {line.replace("−", "-") for line in words}
    for fact in ("400 clips in 200 groups, 10 classes", "sha256 5a1c5a1c5a1c", "onnxruntime 1.20.0", "48,000 Hz"):
        assert fact in said
    assert "zero-padded" in words[-1]
    assert "Perch v2 itself" not in said and "claims" not in said


def test_what_to_cite_is_written_for_models_that_are_known(sweep, built, tmp_path):
    assert json.loads((built.out / "content.json").read_text())["references"][-1].startswith("Kahl et al. 2021")
    assert not built.uncited and "left to fill in" not in str(built)
    unknown = shutil.copytree(sweep, tmp_path / "other")
    config = json.loads((sweep / "config.json").read_text())
    config["model"]["path"] = "models/frogs.onnx"
    (unknown / "config.json").write_text(json.dumps(config))
    made = build([unknown], tmp_path / "paper", log=lambda line: None)
    content = tmp_path / "paper" / "content.json"
    assert json.loads(content.read_text())["references"][-1] == "[The citation of the model frogs goes here.]"
    assert str(made).splitlines()[-1].startswith(f"left to fill in: what to cite for frogs, at the end of {content}")


def test_its_tables_fit_a_page_and_hold_the_runs_numbers(sweep, built):
    readouts = pd.read_csv(sweep / "readouts.csv")
    table = pd.read_csv(built.out / "tables" / "readouts-mine-co.csv")
    assert len(table) == readouts.readout.nunique()
    best = readouts.loc[readouts.groupby("readout", sort=False)["score"].idxmax()]
    assert list(table["score"].round(5)) == list(best["score"].round(5)) and list(table["tap"]) == list(best["tap"])
    for path in (built.out / "tables").glob("*.json"):
        assert len(json.loads(path.read_text())["header"]) <= 6


def test_equal_runs_give_equal_papers(sweep, built, tmp_path):
    again = build([sweep], tmp_path / "paper", log=lambda line: None)
    for one, other in zip(built.files, again.files, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    with pytest.raises(InputError, match="overwrite"):
        build([sweep], tmp_path / "paper", log=lambda line: None)


def test_without_runs_there_is_no_paper(tmp_path):
    with pytest.raises(InputError, match="expected at least one run, got none"):
        build([], tmp_path / "paper")


def test_a_missing_compiler_is_told_before_anything_is_drawn(sweep, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "typst", None)  # as if it were not installed
    said: list[str] = []
    with pytest.raises(InputError, match="the typst package is not installed"):
        build([sweep], tmp_path / "paper", log=said.append)
    assert said == ["reading runs"]


def test_figures_for_print_are_vectors_without_captions(sweep):
    screen, printed = gallery.save(sweep, ["depth"]), gallery.save(sweep, ["depth", "architecture"], style="print")
    assert [path.suffix for path in printed] == [".pdf", ".svg", ".txt"] * 2
    assert all(path.parent == sweep / "figures" / "print" for path in printed)
    assert all(path.is_file() for path in screen)
    pdf, svg, words = (path.read_bytes() for path in printed[:3])
    assert b"400 clips in 200 groups" in words and b"Grouping: file-name pattern" in words
    assert b"/FontFile2" in pdf and b"/Subtype /Type3" not in pdf
    assert b"<text" not in svg and b'width="504pt"' in svg  # 7 inches, letters as outlines
    assert gallery.save(sweep, ["depth"], style="print")[1].read_bytes() == svg
    column = gallery.save(sweep, ["depth"], style="print", columns=1)
    assert all(path.parent == sweep / "figures" / "column" for path in column)
    assert b'width="249.12pt"' in column[1].read_bytes()  # 88 mm
    with pytest.raises(InputError, match="comparison needs both columns of a page, got --columns 1"):
        gallery.save(sweep, ["depth", "comparison"], style="print", columns=1)
    with pytest.raises(InputError, match="`--columns` must be 1 or 2, got 3"):
        gallery.save(sweep, ["depth"], style="print", columns=3)
    with pytest.raises(InputError, match="`--columns 1` goes with `--style print`, got `--style screen`"):
        gallery.save(sweep, ["depth"], columns=1)
    with pytest.raises(InputError, match="`--style` must be screen or print, got 'poster'"):
        gallery.save(sweep, style="poster")


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", ["depth", "architecture", "classes", "readouts", "ranks", "trajectories", "figure2"])
def test_nothing_is_cut_off_or_covered_in_print(sweep, name, columns):
    from birdprobe.figures import style
    from tests.pictures import colliding, cut_off, written

    every = gallery.FIGURES | gallery.AS_PUBLISHED
    every |= {key: module.draw for key, module in gallery.WHERE_DATA.items()}
    with style.printing(columns):
        figure = every[name](sweep)
    assert figure.get_figwidth() == style.PRINT_IN[columns] and style.WIDTH_IN == style.SCREEN_IN
    assert not cut_off(figure)
    assert name in ("trajectories", "figure2") or not colliding(figure)
    assert all(text.get_fontsize() >= 6 for text in written(figure))


def test_the_scale_of_scores_can_be_read_in_grey():
    import numpy as np

    from birdprobe.figures import style

    light = style.ACCURACY(np.linspace(0, 1, 50))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) < 0).all() and light[0] - light[-1] > 0.7
