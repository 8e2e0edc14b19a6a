"""The paper is built from any runs, from none, twice with the same bytes; what is missing is told."""

import hashlib
import json
import shutil

import pandas as pd
import pytest

from birdprobe.features import InputError
from birdprobe.heads.agreement import agree
from birdprobe.heads.training import loop
from birdprobe.heads.training.train import train
from birdprobe.paper.build import INDEX, build
from birdprobe.paper.drawings import attempts, slug
from birdprobe.paper.published import read
from birdprobe.paper.runs.discovery import recognise
from birdprobe.paper.runs.readers import PERCH_V2
from birdprobe.paper.runs.roles import cast, relabelled, weighed_taps
from birdprobe.probe.sweep.sweep import Settings, run_sweep
from tests.paper.test_discovery import a_comparison, a_member, an_experiment
from tests.runs import make_run
from tests.tiny import SAMPLE_RATE, tiny_backbone, tiny_dataset

pytest.importorskip("typst")


def silent(line):
    pass


def relabel(run, to):
    """The same sweep with every second class renamed: a run on the same recordings under other labels."""
    shutil.copytree(run, to)
    table = recognise([run]).sweeps[0].run.predictions
    names = {name: name if i % 2 else "other" for i, name in enumerate(sorted(set(table["label"])))}
    table.replace(names).to_csv(to / "predictions.csv", index=False)
    return to


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A real sweep and real heads of a tiny backbone, the sweep relabelled, and one made-up run of every other kind."""
    folder = tmp_path_factory.mktemp("runs")
    model, audio = tiny_backbone(folder / "tiny.onnx"), tiny_dataset(folder / "audio", classes=4, clips=12)
    settings = Settings(sample_rate=SAMPLE_RATE, group_regex=r"^G(\d+)-", folds=3, projection="pca")
    run_sweep(model, audio, folder / "sweep", settings, progress=False)
    few = loop.Settings(epochs=3, folds=3, dim=8, loss="ce", learning_rate=1e-2)
    train([folder / "sweep" / "features.h5"], folder / "all", few, heads="attention,scalarmix", progress=False)
    agree(folder / "all", folder / "sweep")
    kinds = [a_comparison(folder / "blend"), an_experiment(folder / "pseudo"), a_member(folder / "member")]
    return [folder / "sweep", relabel(folder / "sweep", folder / "two"), folder / "all", *kinds]


@pytest.fixture(scope="module")
def built(runs, tmp_path_factory):
    return build(runs, tmp_path_factory.mktemp("paper") / "out", draws=5, log=silent)


def hashes(built):
    return {path.relative_to(built.out).as_posix(): hashlib.sha256(path.read_bytes()).digest() for path in built.files}


def test_every_file_is_there_and_in_the_index(built):
    index = json.loads((built.out / INDEX).read_text())
    there = {path.relative_to(built.out).as_posix() for path in built.out.rglob("*") if path.is_file()}
    assert there == {*index["files"], INDEX} == set(hashes(built))
    for name, digest in index["files"].items():
        assert hashlib.sha256((built.out / name).read_bytes()).hexdigest() == digest
    for kind in ("csv", "md", "tex", "json"):
        assert f"tables/table1.{kind}" in there and f"tables/claims.{kind}" in there
    assert {"figures/depth-sweep.png", "figures/depth-sweep.pdf", "figures/curves.pdf"} <= there
    assert {
        "figures/budget-sweep.pdf",
        "figures/leakage-sweep.pdf",
        "figures/leaderboard.pdf",
    } <= there
    assert (built.out / "paper.pdf").read_bytes().startswith(b"%PDF-") and built.pages > 5


@pytest.mark.slow
def test_a_second_build_gives_the_same_bytes(built, runs, tmp_path):
    again = build(runs, tmp_path / "out", draws=5, log=silent)
    assert hashes(again) == hashes(built)


def test_what_is_missing_is_told_with_the_command(built):
    assert [one.key for one in built.missing] == ["perch", "standin", "heads", "comparison", "residual", "priors"]
    said = str(built)
    assert "sh perch.sh perch_v2.onnx" in said and "birdprobe demo -o runs/demo" in said
    assert f"{built.pages} pages" in said


def test_without_any_run_the_paper_still_builds(tmp_path):
    bare = build([], tmp_path / "out", log=silent)
    assert {"perch", "sweep", "budget", "leakage", "members"} <= {one.key for one in bare.missing}
    assert bare.pages >= 4 and (tmp_path / "out" / "figures" / "curves.pdf").is_file()


def test_an_earlier_paper_is_replaced_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    build([], out, log=silent)
    (out / "mine.txt").write_text("kept")
    (out / "tables" / "mine.csv").write_text("kept")
    with pytest.raises(InputError, match=r"out: expected a new folder, got a paper. Use --overwrite"):
        build([], out, log=silent)
    stale = out / "tables" / "old.csv"
    stale.write_text("of an earlier build")
    index = json.loads((out / INDEX).read_text())
    index["files"] |= {"tables/old.csv": "", "../outside.txt": ""}
    (out / INDEX).write_text(json.dumps(index))
    (tmp_path / "outside.txt").write_text("kept")
    build([], out, overwrite=True, log=silent)
    assert not stale.exists() and (out / "mine.txt").exists() and (out / "tables" / "mine.csv").exists()
    assert (tmp_path / "outside.txt").exists()


def test_a_wrong_run_leaves_no_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected a run"):
        build([tmp_path / "empty"], tmp_path / "out", log=silent)
    assert not (tmp_path / "out").exists()


def test_roles(runs):
    roles = cast(recognise(runs))
    assert (roles.sweep.name, roles.regrouped.name, roles.standin, roles.perch) == ("sweep", "two", None, None)
    assert relabelled(roles.regrouped, roles.sweep) and not relabelled(roles.sweep, roles.sweep)
    assert roles.comparison is None  # its configuration names no members
    assert roles.pseudo.name == "pseudo" and roles.residual is None
    assert (
        roles.weights.name == "all" == roles.pipeline.name and weighed_taps(roles.weights) == 6 and roles.heads is None
    )


def test_the_numbers_are_those_of_the_runs(built, runs):
    said = json.loads((built.out / "numbers.json").read_text(encoding="utf-8"))["values"]
    (one,) = recognise(runs[:1]).sweeps
    best = one.ranking["knn"].max()
    assert said["sweep.best.knn"].startswith(f"{best:.3f} [") and said["sweep.taps"] == str(len(one.ranking)) == "6"
    assert said["sweep.n"] == said["budget.n"] == said["leakage.n"] == "48"
    assert said["regrouped.common"] == "6"
    verdicts = [int(said[f"claims.{name}"]) for name in ("holds", "fails", "undecided", "untested")]
    assert sum(verdicts) == int(said["claims.rows"]) == len(pd.read_csv(built.out / "tables" / "claims.csv"))
    assert said["table1.24.knn"] == "0.648" and said["real.networks"] == "1"


def test_attempts_are_those_of_both_tables_each_pair_of_scores_once():
    found = attempts(read())
    assert len(found) == 11 and found["name"].value_counts().max() == 1
    assert set(found["name"]) >= {"blend", "eos7", "v4", "v6", "v7"}


def test_file_names_of_figures_are_plain():
    assert slug("runs/esc10 (2)") == "runs-esc10-2"


def with_config(run, to, change):
    """A copy of a run with its configuration changed."""
    shutil.copytree(run, to)
    config = json.loads((to / "config.json").read_text())
    change(config)
    (to / "config.json").write_text(json.dumps(config))
    return to


def test_perch_v2_is_known_by_its_hash_and_the_text_speaks_of_it(tmp_path):
    published = make_run(tmp_path / "made", only=(0, 7, 15))
    perch = with_config(published, tmp_path / "perch", lambda config: config["model"].update(sha256=PERCH_V2[0]))
    roles = cast(recognise([published, perch]))
    assert (roles.perch.name, roles.sweep.name) == ("perch", "made")
    alone = build([perch], tmp_path / "out", log=silent)
    keys = {one.key for one in alone.missing}
    assert "perch" not in keys and {"sweep", "budget"} <= keys
    numbers = json.loads((alone.out / "numbers.json").read_text(encoding="utf-8"))["values"]
    assert {"perch.best.knn", "picture.perch.depth"} <= set(numbers)


def test_a_figure_that_a_run_cannot_give_is_told_and_the_rest_is_built(runs, tmp_path):
    lame = with_config(runs[2], tmp_path / "lame", lambda config: config.pop("activation"))
    made = build([lame], tmp_path / "out", log=silent)
    assert "figure-pipelines" in {one.key for one in made.missing}
    assert (tmp_path / "out" / "figures" / "agreement-lame.pdf").is_file()
    assert not (tmp_path / "out" / "figures" / "pipelines.pdf").exists()
