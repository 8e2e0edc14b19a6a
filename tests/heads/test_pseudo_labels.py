"""Gates on pseudo-labels: what becomes a target, which windows stay, and what a training says of it."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from birdprobe.features import InputError
from birdprobe.heads.dataset import load
from birdprobe.heads.ensemble import load_members
from birdprobe.heads.training.loop import Settings
from birdprobe.heads.training.pseudo_labels import Gate, label
from birdprobe.heads.training.train import train
from tests.head_stores import make_rows, make_store

QUICK = Settings(epochs=6, folds=3, learning_rate=0.01)
SEEN = torch.tensor([True, True, False])
P = torch.tensor([[0.9, 0.2, 0.1], [0.4, 0.3, 0.2], [0.1, 0.5, 0.8], [0.1, 0.1, 0.8]])


def test_keeps_the_sure_and_drops_windows_without_any():
    targets, stays = Gate(0.5)(P, SEEN)
    assert targets.tolist() == torch.tensor([[0.9, 0, 0], [0, 0, 0], [0, 0.5, 0.8], [0, 0, 0.8]]).tolist()
    assert stays.tolist() == [True, False, True, True]


def test_masks_classes_that_no_labelled_soundscape_holds():
    targets, stays = Gate(0.5, 2.0, "unseen")(P, SEEN)
    assert torch.allclose(targets, torch.tensor([[0.81, 0, 0], [0, 0, 0], [0, 0.25, 0], [0, 0, 0]]))
    assert stays.tolist() == [True, False, True, False]  # the last was sure of an unseen class alone


@given(st.floats(0, 0.99), st.floats(0.25, 4), st.sampled_from(["none", "unseen"]))
def test_a_target_is_zero_or_the_power_of_a_probability_that_passed(keep, power, mask):
    targets, stays = Gate(keep, power, mask)(P, SEEN)
    passed = targets > 0
    assert torch.allclose(targets[passed], (P**power)[passed]) and (P[passed] >= torch.tensor(keep)).all()
    assert (stays == passed.any(dim=1)).all() or keep == 0
    assert mask == "none" or not passed[:, 2].any()


def test_an_open_gate_lets_everything_through():
    targets, stays = Gate(0.0)(P, SEEN)
    assert torch.equal(targets, P) and stays.all()
    assert Gate(0.0)(torch.zeros(2, 3), SEEN)[1].all()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"keep": 1.0}, "`--pseudo-keep` must be a probability.*got 1.0"),
        ({"keep": -0.1}, "--pseudo-keep"),
        ({"keep": float("nan")}, "--pseudo-keep"),
        ({"power": 0.0}, "`--pseudo-power` must be .*got 0.0"),
        ({"power": float("inf")}, "--pseudo-power"),
        ({"mask": "seen"}, "`--pseudo-mask` must be one of none, unseen, got 'seen'"),
    ],
)
def test_refuses_what_is_no_gate(values, said):
    with pytest.raises(InputError, match=said):
        Gate(**values)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pseudo")
    tables = [make_rows(), make_rows(clips=4, prefix="scape"), make_rows(clips=3, prefix="more")]
    stores = [make_store(folder / f"{i}.h5", rows, seed=i) for i, rows in enumerate(tables)]
    train(stores[:2], folder / "teacher", QUICK, taps="1", heads="concat")
    return folder, stores


def test_labels_through_a_gate(place):
    folder, stores = place
    data, teacher = load(stores, ["block_01"]), load_members(folder / "teacher")
    naive, gated = label(data, teacher), label(data, teacher, Gate(0.5))
    own = torch.tensor((naive.rows["source"] == "pseudo").to_numpy())
    sure = (naive.targets[own] >= 0.5).any(dim=1)
    assert 0 < int(sure.sum()) < len(sure)
    assert gated.rows.index.equals(gated.rows.reset_index(drop=True).index)
    assert len(gated.rows) == len(gated.targets) == len(gated.xs["block_01"]) == len(data.rows) - int((~sure).sum())
    wanted = naive.targets[own][sure]
    stayed = torch.tensor((gated.rows["source"] == "pseudo").to_numpy())
    assert torch.equal(gated.targets[stayed], torch.where(wanted >= 0.5, wanted, 0.0))
    assert torch.equal(gated.targets[~stayed], data.targets[~own])  # labels of people stay as they are
    assert torch.equal(label(data, teacher, Gate(0.0)).targets, naive.targets)
    assert f"{int(sure.sum())} of {len(sure)} windows stay" in gated.warnings[-1]


def test_a_gate_that_lets_nothing_through_says_so(place):
    folder, stores = place
    data = load(stores, ["block_01"])
    shut = label(data, load_members(folder / "teacher"), Gate(0.999999))
    assert shut.sources == ("focal", "soundscape") and "nothing is pseudo-labelled" in shut.warnings[-1]


def test_a_training_writes_its_gate(place):
    folder, stores = place
    gate = Gate(0.5, 1.5)
    done = train(
        stores, folder / "student", QUICK, taps="1", heads="concat", pseudo_from=folder / "teacher", pseudo_gate=gate
    )
    config = json.loads((done.run / "config.json").read_text())
    assert config["pseudo_gate"] == {"keep": 0.5, "power": 1.5, "mask": "none"}
    assert 0 < config["windows"]["pseudo"] < 18 and any("keep p >= 0.5, power 1.5" in w for w in done.warnings)
    assert json.loads((folder / "teacher" / "config.json").read_text())["pseudo_gate"] is None
