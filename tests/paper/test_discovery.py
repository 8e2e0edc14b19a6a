"""Runs are known by the files that their own commands leave, and give back what these wrote."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis.predictions import comparison
from birdprobe.features import InputError
from birdprobe.figures.predictions import experiments
from birdprobe.heads.experiments import comparison as arms
from birdprobe.heads.experiments import outcome
from birdprobe.heads.training import results as heads_folder
from birdprobe.heads.training import scores as heads_scores
from birdprobe.paper.runs import readers
from birdprobe.paper.runs.discovery import Sources, recognise
from tests.runs import make_run

LABELS = ("crow", "wren")


def a_sweep(folder: Path) -> Path:
    return make_run(folder, only=(0, 7, 15))


def heads_run(folder: Path, heads=("attention", "linear-embedding")) -> Path:
    """What `heads.training.results.write` leaves of 4 windows; one head has nothing to be compared with."""
    folder.mkdir(parents=True)
    rows = pd.DataFrame({name: ["x"] * 4 for name in heads_folder.ROW_COLUMNS})
    rows["source"], rows["labels"], rows["fold"] = "focal", ["crow", "wren"] * 2, [0, 0, 1, 1]
    rows["file"], rows["start_s"], rows["end_s"] = [f"{i}.ogg" for i in range(4)], 0.0, 5.0
    values = {head: np.random.default_rng(i).random((4, 2)) for i, head in enumerate(heads)}
    scored = [
        dict.fromkeys(heads_scores.COLUMNS, 0.5) | {"head": head, "source": "focal", "unit": "clip", "fold": fold}
        for head in heads
        for fold in (0, 1, "pooled")
    ]
    scores = pd.DataFrame(scored).assign(parameters=1234, n=4)
    gains = [dict.fromkeys(readers.DIFFERENCES, 0.01) | {"head": heads[0], "baseline": one} for one in heads[1:]]
    weights = pd.DataFrame(
        {"head": head, "fold": fold, "tap": tap, "weight": weight}
        for head in heads
        for fold in (0, 1)
        for tap, weight in (("block_24", 0.75), ("block_25", 0.25))
    )
    config = {"scored": {"source": "focal", "unit": "clip"}, "heads": list(heads), "labels": LABELS, "settings": {}}
    heads_folder.write(folder, config, rows, values, LABELS, scores, pd.DataFrame(gains), weights)
    return folder


def an_experiment(folder: Path) -> Path:
    frame = pd.DataFrame(
        [dict.fromkeys(arms.COLUMNS, 0.01) | {"arm": "student", "against": "teacher", "role": "naive", "repeats": 1}]
    )
    first = pd.DataFrame([{"arm": "teacher", "against": "", "oof": 0.8, "heldout": 0.8, "role": ""}])
    about = {name: {"windows": 9, "recordings": 3, "classes_scored": 2, "classes": 2} for name in ("oof", "heldout")}
    finding = outcome.Finding(pd.concat([first, frame]), "It gains.", grid=pd.DataFrame({"alpha": [0.5], "oof": [0.8]}))
    outcome.write(folder, "pseudo", finding, {"repeats": 1}, about)
    return folder


def a_comparison(folder: Path, stem: str = "submission-comparison", beside: str = "submission.json") -> Path:
    rows = [f"f{i // 4}_{5 * (i % 4) + 5}" for i in range(24)]
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(rng.random((24, 2)) < 0.4, rows, LABELS)
    members = {name: [("raw", pd.DataFrame(rng.random((24, 2)), rows, LABELS))] for name in ("blend", "head")}
    folder.mkdir(parents=True, exist_ok=True)
    comparison.write(comparison.compare(truth, members, n_boot=20), folder / stem)
    (folder / beside).write_text(json.dumps({"space": "prob"}))
    return folder


def a_member(folder: Path, finished=(0,), begun=(0, 1)) -> Path:
    from birdprobe.finetune.training import results as member_folder

    config = {"format": member_folder.KIND.format, "member": "timm:resnet18", "labels": LABELS, "data": {}}
    config["settings"] = {"recipe": {"learning_rate": 3e-4}}
    for fold in begun:
        member_folder.prepare(folder, fold, config)
        member_folder.write_log(folder / f"fold{fold}", [dict.fromkeys(member_folder.LOG, fold + 1)])
    for fold in finished:
        ends = ([f"a_{fold}"], np.array([[0.1, 0.9]]), np.array([[0, 1]]))
        member_folder.write_oof(folder, config["member"], fold, *ends, LABELS)
    return folder


MAKERS = {
    "sweeps": a_sweep,
    "heads": heads_run,
    "experiments": an_experiment,
    "comparisons": a_comparison,
    "members": a_member,
}


def test_the_columns_are_those_that_the_writers_write():
    from birdprobe.finetune.training import results as member_folder

    assert readers.SCORES == heads_scores.COLUMNS and readers.LOG == member_folder.LOG
    assert set(experiments.COLUMNS) <= set(arms.COLUMNS)


@pytest.mark.parametrize("kind", MAKERS)
def test_each_kind_is_known_by_its_files(tmp_path, kind):
    found = recognise([MAKERS[kind](tmp_path / "mine")])
    assert found.count == 1 == len(getattr(found, kind))


def test_all_kinds_together_in_the_order_given(tmp_path):
    paths = [make(tmp_path / kind) for kind, make in MAKERS.items()]
    paths += [a_sweep(tmp_path / "another")]
    found = recognise([*paths, paths[0]])
    assert [len(getattr(found, kind)) for kind in MAKERS] == [2, 1, 1, 1, 1]
    assert [one.name for one in found.sweeps] == ["sweeps", "another"]
    assert [one.name for one in recognise(paths[::-1]).sweeps] == ["another", "sweeps"]


def test_no_runs_are_no_fault():
    assert recognise([]).count == 0 == Sources().count


def test_a_sweep(tmp_path):
    (found,) = recognise([a_sweep(tmp_path / "esc10")]).sweeps
    assert found.ranking.index.tolist() == ["block_00", "block_07", "block_15", "embedding", "logits"]
    assert found.blocks["depth"].tolist() == pytest.approx([0, 7 / 15, 1])
    assert (found.model, found.data, found.is_perch_v2) == ("BirdNET_V2.4", "esc10", False)
    assert found.run.n_units == 400 and found.store is None
    (tmp_path / "esc10" / "features.h5").touch()
    assert recognise([tmp_path / "esc10"]).sweeps[0].store == tmp_path / "esc10" / "features.h5"


@pytest.mark.parametrize(
    ("stem", "sha256", "name"),
    [
        ("wren", "68d8" * 16, "Wren"),
        ("BirdNET_GLOBAL_6K_V2.4", "1c39" * 16, "BirdNET V2.4"),
        ("perch_v2", "68d8" * 16, "perch_v2"),  # a stand-in under its name is not it
        ("mine", readers.PERCH_V2[0], "Perch v2"),
    ],
)
def test_a_model_is_named_after_itself_not_after_its_contract(tmp_path, stem, sha256, name):
    config = json.loads((a_sweep(tmp_path / "run") / "config.json").read_text())
    config["model"] |= {"path": f"models/{stem}.onnx", "sha256": sha256, "preset": "perch-v2"}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    (found,) = recognise([tmp_path / "run"]).sweeps
    assert found.model == name and found.is_perch_v2 == (name == "Perch v2")


def test_heads(tmp_path):
    (found,) = recognise([heads_run(tmp_path / "run")]).heads
    assert found.parameters == {"attention": 1234, "linear-embedding": 1234}
    assert found.pooled["head"].tolist() == ["attention", "linear-embedding"]
    assert found.weights.groupby("tap")["weight"].mean().to_dict() == {"block_24": 0.75, "block_25": 0.25}
    assert found.differences["baseline"].tolist() == ["linear-embedding"]
    assert (found.tap_scores, found.agreement, found.selection) == (None, None, None)
    assert list(found.oof) == ["attention", "linear-embedding"] and found.truth.name == "truth.csv"


def test_one_head_has_no_differences(tmp_path):
    (found,) = recognise([heads_run(tmp_path / "run", heads=("attention",))]).heads
    assert found.differences.empty and tuple(found.differences.columns) == readers.DIFFERENCES


def test_an_experiment(tmp_path):
    (found,) = recognise([an_experiment(tmp_path / "run")]).experiments
    assert (found.kind, found.sentence) == ("pseudo", "It gains.")
    assert found.outcome["arm"].tolist() == ["teacher", "student"] and found.gains["arm"].tolist() == ["student"]
    assert found.grid["alpha"].tolist() == [0.5]


def test_a_comparison_by_folder_by_csv_and_by_submission(tmp_path):
    place = a_comparison(tmp_path / "blends")
    (place / "submission.csv").write_text("row_id\n")
    ways = [place, place / "submission-comparison.csv", place / "submission.csv"]
    (found,) = recognise(ways).comparisons
    assert found.name == "submission" and found.config == {"space": "prob"}
    for way in ways:
        pd.testing.assert_frame_equal(recognise([way]).comparisons[0].frame, found.frame)
    assert found.frame["member"].tolist() == ["blend", "head"]


def test_a_comparison_alone_is_named_after_its_folder(tmp_path):
    (found,) = recognise([a_comparison(tmp_path / "tta", "comparison", "config.json")]).comparisons
    assert found.name == "tta" and found.config == {"space": "prob"}


def test_a_member(tmp_path):
    (found,) = recognise([a_member(tmp_path / "run", begun=(0, 1, 10))]).members
    assert (found.member, found.finished, list(found.logs)) == ("timm:resnet18", (0,), [0, 1, 10])
    assert found.logs[10]["macro_auc"].tolist() == [11]
    assert found.oof == tmp_path / "run" / "oof" / "timm-resnet18.csv" and found.truth.is_file()
    assert found.recipe["learning_rate"] == 3e-4
    (begun,) = recognise([a_member(tmp_path / "begun", finished=())]).members
    assert (begun.finished, begun.oof, begun.truth) == ((), None, None)


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [a_sweep(tmp_path / a / "run") for a in ("x", "y")] + [a_sweep(tmp_path / "z")]
    assert [one.name for one in recognise(paths).sweeps] == ["x/run", "y/run", "z"]
    paths = [heads_run(tmp_path / a / "here" / "heads") for a in ("x", "y")]
    assert [one.name for one in recognise(paths).heads] == ["here/heads (1)", "here/heads (2)"]


@pytest.mark.parametrize(
    ("kind", "lost", "fault"),
    [
        ("sweeps", "config.json", "no config.json"),
        ("heads", "config.json", "config.json: no such file"),
        ("heads", "tap_weights.csv", r"tap_weights.csv: not a CSV table \(No such file"),
        ("heads", "scores.csv", "expected a run"),
        ("experiments", "config.json", "config.json: no such file"),
        ("members", "config.json", "config.json: no such file"),
    ],
)
def test_a_run_that_is_not_whole_is_told(tmp_path, kind, lost, fault):
    path = MAKERS[kind](tmp_path / "run")
    (path / lost).unlink()
    with pytest.raises(InputError, match=fault) as caught:
        recognise([path])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "cannot be read as JSON"), ("{}", "no heads"), ("[]", "expected a JSON object, got list")],
)
def test_another_configuration_is_told(tmp_path, text, fault):
    (heads_run(tmp_path / "run") / "config.json").write_text(text)
    with pytest.raises(InputError, match=fault):
        recognise([tmp_path / "run"])


def test_another_table_is_told(tmp_path):
    (heads_run(tmp_path / "run") / "scores.csv").write_text("head,accuracy\nattention,0.5\n")
    with pytest.raises(InputError, match=r"scores\.csv: lacks column source"):
        recognise([tmp_path / "run"])
    (tmp_path / "run" / "scores.csv").write_text("")
    with pytest.raises(InputError, match=r"scores\.csv: not a CSV table \(No columns to parse"):
        recognise([tmp_path / "run"])


def test_no_run_is_told_in_one_line(tmp_path):
    a_sweep(tmp_path / "runs" / "esc10")
    with pytest.raises(InputError, match=r"expected a run \(.*\), got none\. .* in a folder further down\?"):
        recognise([tmp_path / "runs"])
    with pytest.raises(InputError, match="no such file or folder, expected a run"):
        recognise([tmp_path / "nothing"])
    with pytest.raises(InputError, match="expected the CSV of a comparison"):
        recognise([tmp_path / "runs" / "esc10" / "ranking.csv"])
