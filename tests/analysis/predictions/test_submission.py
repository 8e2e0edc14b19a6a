"""Members' CSVs to one checked submission, and the chain of steps that numbers ask for."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from birdprobe.analysis import predictions
from birdprobe.analysis.postprocess.chain import Wanted, chain
from birdprobe.analysis.predictions.blend import blend
from birdprobe.analysis.predictions.refusals import rows_of
from birdprobe.features import InputError

CLASSES = ["b", "a", "7"]
ROWS = [f"BC2026_Test_000{k}_S0{k}_20260512_050000_{end}" for k in (1, 2) for end in range(5, 65, 5)]


def write(path, seed, rows=ROWS, classes=CLASSES, binary=False):
    values = np.random.default_rng(seed).random((len(rows), len(classes)))
    table = pd.DataFrame(values > 0.7 if binary else values, index=rows, columns=classes)
    table.astype(int if binary else float).to_csv(path, index_label="row_id")
    return path


def make(members, out, **options):
    return blend(list(members.values()), out, names=list(members), **{"progress": False} | options)


@pytest.fixture
def members(tmp_path):
    return {name: write(tmp_path / f"{name}.csv", seed) for seed, name in enumerate(("one", "two"))}


def test_weighted_mean_in_the_samples_rows_and_columns(members, tmp_path):
    sample = write(tmp_path / "sample.csv", 9, ROWS[::-1], CLASSES[::-1])
    made = make(members, tmp_path / "out.csv", weights=(3, 1), sample_submission=sample)
    one, two = (predictions.read(path) for path in members.values())
    found = predictions.read(tmp_path / "out.csv")
    assert list(found.index) == ROWS[::-1] and list(found.columns) == CLASSES[::-1]
    np.testing.assert_allclose(found.loc[ROWS, CLASSES], 0.75 * one + 0.25 * two, atol=1e-8)
    assert made.weights == {"one": 0.75, "two": 0.25}
    about = json.loads((tmp_path / "out.json").read_text())
    assert [member["weight"] for member in about["members"]] == [0.75, 0.25] and about["diversity"]


def test_nothing_is_replaced_and_nothing_faulty_is_written(members, tmp_path):
    out = tmp_path / "out.csv"
    with pytest.raises(InputError, match=r"two: columns: 1 .* missing"):
        make(members | {"two": write(tmp_path / "odd.csv", 1, classes=CLASSES[:2])}, out)
    with pytest.raises(InputError, match="without 12 rows"):
        make({"short": write(tmp_path / "short.csv", 1, ROWS[:-1])}, out)
    with pytest.raises(InputError, match="no member predicts"):
        make(members, out, sample_submission=write(tmp_path / "more.csv", 1, classes=[*CLASSES, "new"]))
    with pytest.raises(InputError, match="--oof: expected 2 tables, one a member in their order, got 1"):
        make(members, out, weights="search", oof=[members["one"]], oof_truth=members["two"])
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        make(members, out)
    assert out.read_text() == "mine"


def test_twelve_rows_are_asked_of_test_soundscapes_alone():
    assert rows_of(ROWS) == 12
    assert rows_of([name.replace("Test", "Train") for name in ROWS]) is None
    assert rows_of([*ROWS, "garden_5"]) is None


def test_chain_is_in_order_whatever_is_wanted():
    wanted = Wanted(no_call=0.1, power=0.4, gaussian=1.0)
    assert [step.stage for step in chain(wanted, ROWS, CLASSES)] == ["temporal", "power", "no-call"]
    assert chain(Wanted(), ROWS, CLASSES) == ()
    with pytest.raises(InputError, match=r"got both \(Gaussian 1\)"):
        chain(Wanted(gaussian=1.0, kernel=(0.1, 0.8, 0.1)), ROWS, CLASSES)


def test_a_prior_of_the_rows_own_recordings_is_cross_fitted(tmp_path):
    labels, said = write(tmp_path / "truth.csv", 3, binary=True), []
    (own,) = chain(Wanted(prior=labels), ROWS, CLASSES, said.append)
    assert "cross-fitted" in str(own) and "24 of the rows" in said[0]
    others = [name.replace("_0001_", "_0008_").replace("_0002_", "_0009_") for name in ROWS]
    (plain,) = chain(Wanted(prior=labels), others, CLASSES)
    assert "cross-fitted" not in str(plain)
    plain.prior.write(tmp_path / "prior.json")
    (read,) = chain(Wanted(prior=tmp_path / "prior.json", prior_weight=0.3), others, CLASSES)
    assert read.strength == 0.3 and read.prior.to_json() == plain.prior.to_json()
    with pytest.raises(InputError, match="expected a CSV of labels"):
        chain(Wanted(prior=tmp_path / "no.csv"), ROWS, CLASSES)


def test_a_no_call_column_goes_and_is_not_missed(tmp_path):
    member = write(tmp_path / "m.csv", 5, classes=[*CLASSES, "nocall"])
    made = make({"m": member}, tmp_path / "out.csv", no_call_class="nocall")
    table = predictions.read(member)
    assert list(made.table.columns) == CLASSES
    np.testing.assert_allclose(made.table, table[CLASSES].mul(1 - table["nocall"], axis=0))


def test_the_last_word_compares_what_was_written_with_the_best_single_member(tmp_path):
    truth = write(tmp_path / "truth.csv", 5, binary=True)
    known = predictions.read_truth(truth).astype(float)
    noise = pd.DataFrame(np.random.default_rng(1).random(known.shape), known.index, known.columns)
    for name, table in {"good": 0.8 * known + 0.1 * noise, "bad": noise}.items():
        table.to_csv(tmp_path / f"{name}.csv", index_label="row_id")
    members = {name: tmp_path / f"{name}.csv" for name in ("good", "bad")}
    worse = make(members, tmp_path / "worse.csv", weights=(0.02, 0.98), truth=truth).verdict
    assert "against the best single member, good (1.000): -0." in worse and worse.endswith("worse. Write good alone?")
    same = make(members, tmp_path / "same.csv", weights=(1, 0), truth=truth).verdict
    assert same.endswith("against the best single member, good (1.000): no difference.")
    smoothed = make({"good": members["good"]}, tmp_path / "smooth.csv", gaussian=9, truth=truth)
    assert "against good as it came (1.000): -0." in smoothed.verdict
    assert "Made worse by Gaussian" in smoothed.verdict and smoothed.verdict.endswith("leave it out?")
    assert json.loads((tmp_path / "smooth.json").read_text())["verdict"] == smoothed.verdict
    assert make(members, tmp_path / "untold.csv").verdict is None


def recipe_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        "name = 'mine'\n[[step]]\ndo = 'mix'\nweight = 0.7\n[[step]]\ndo = 'silent-spikes'\nhigh = 0.6\n"
        "[[step]]\ndo = 'power'\nexponent = 9\ntop = 1\n[[step]]\ndo = 'taxonomic'\n"
    )
    return path


def test_a_recipe_mixes_says_what_each_part_was_worth_and_what_did_harm(tmp_path):
    said = []
    ids = [f"BC2026_Test_000{k}_S01_20260512_050000_{end}" for k in range(8) for end in range(5, 65, 5)]
    members = {name: write(tmp_path / f"{name}.csv", seed, ids) for seed, name in enumerate(("one", "two"))}
    truth = write(tmp_path / "truth.csv", 0, ids, binary=True)  # as the first member says, so that mixing does harm
    made = make(members, tmp_path / "out.csv", recipe=recipe_file(tmp_path), truth=truth, log=said.append)
    assert [effect.step for effect in made.effects] == [
        "two 0.3 (rank)", "silent spikes 0.92/0.08", "power 9, top 1"
    ]  # fmt: skip
    assert made.weights == pytest.approx({"one": 0.7, "two": 0.3})
    first, gate, power = made.effects
    assert first.auc_before == 1 and first.gain < 0 and first.gain_hi <= 0
    assert gate.applied_rows > 0 and 0 < gate.values_changed < gate.values
    assert power.auc_before == pytest.approx(gate.auc_after)
    assert any(line.startswith("warning: recipe mine, left out: taxonomic") for line in said)
    cells = list(zip(made.compared["member"], made.compared["step"]))
    assert cells == [
        ("one", "raw"), ("two", "raw"), *(("blend", f"+ {effect.step}") for effect in made.effects)
    ]  # fmt: skip
    assert made.compared["macro_auc"].iloc[-1] == pytest.approx(power.auc_after)
    assert "against the best single member, one (1.000)" in made.verdict and "worse. Write one alone?" in made.verdict
    assert "Made worse by two 0.3 (rank) (-0." in made.verdict
    about = json.loads((tmp_path / "out.json").read_text())
    assert about["recipe"] == "mine" and about["space"] == "recipe"
    assert about["left_out"] == ["taxonomic: it needs a taxonomy"] and about["verdict"] == made.verdict


@pytest.mark.parametrize("other", [{"weights": (1, 2)}, {"space": "rank"}, {"gaussian": 1.0}, {"missing": "skip"}])
def test_a_recipe_stands_alone(members, tmp_path, other):
    with pytest.raises(InputError, match=r"--recipe mine: .*no others beside it\. Copy .*mine.toml and change it"):
        make(members, tmp_path / "out.csv", recipe=recipe_file(tmp_path), **other)
    with pytest.raises(InputError, match=r"--sonotypes: .*together with --recipe"):
        make(members, tmp_path / "out.csv", sonotypes=tmp_path / "groups.csv")
    assert not (tmp_path / "out.csv").exists()


def test_blend_takes_steps_by_name_and_lists_or_text(members, tmp_path):
    paths = [str(path) for path in members.values()]
    text = blend(paths, tmp_path / "text.csv", weights="3,1", kernel=".1,.8,.1", power=0.4, names="a,b", progress=False)
    made = make(members, tmp_path / "own.csv", weights=(3, 1), kernel=(0.1, 0.8, 0.1), power=0.4)
    pd.testing.assert_frame_equal(text.table, made.table)
    assert text.weights == {"a": 0.75, "b": 0.25} and [effect.step for effect in text.effects] == [
        effect.step for effect in made.effects
    ]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"gaussian": "wide"}, "`gaussian` must be a number or None, got 'wide'"),
        ({"weights": "search"}, "--oof and --oof-truth belong to it"),
        ({"weights": "a,b"}, "--weights: 'a,b' found, numbers with commas wanted"),
        ({"names": "a"}, "--names: a found, 2 different ones wanted"),
    ],
)
def test_blend_refuses_in_one_line(members, tmp_path, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        blend(list(members.values()), tmp_path / "out.csv", **options)
    with pytest.raises(TypeError, match="unexpected keyword argument 'smooth'"):
        blend(list(members.values()), tmp_path / "out.csv", smooth=1)
    assert not (tmp_path / "out.csv").exists()
