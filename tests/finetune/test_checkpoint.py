"""A member's checkpoint comes back as it was, and does not pass for another."""

import json
from dataclasses import replace

import pytest
import torch

from birdprobe.features import InputError
from birdprobe.finetune.checkpoint import Description, describe, load, of_run, save
from birdprobe.finetune.models import members
from birdprobe.finetune.training import results
from tests import pebble

LABELS = ("a", "1595929", "ü")


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setitem(members.MEMBERS, "pebble", pebble.PEBBLE)
    model = members.assemble(pebble.PEBBLE, 3)
    model(torch.randn(9, 6400))  # moves the running statistics
    description = Description("pebble", LABELS, "sigmoid", fold=2, epoch=3, step=40, metrics={"cmap": 0.5})
    return model.eval(), description, save(tmp_path / "fold2" / "best", model.network, description)


def test_round_trip(saved):
    model, description, path = saved
    x = torch.randn(4, 6400)
    for place in (path, path.with_suffix(".safetensors"), path.with_suffix("")):
        again, described = load(place, labels=LABELS)
        assert not again.training and torch.equal(again(x), model(x))
        assert replace(described, weights_sha256="") == description
    assert described.window_samples == 160000
    assert sorted(p.name for p in path.parent.iterdir()) == ["best.json", "best.safetensors"]


def test_is_never_replaced_silently(saved):
    model, description, path = saved
    before = path.read_bytes()
    with pytest.raises(InputError, match="expected no checkpoint, got one"):
        save(path, model.network, description)
    path.unlink()
    with pytest.raises(InputError, match=r"best.safetensors: expected no checkpoint"):  # half of one counts too
        save(path, model.network, description)
    assert save(path, model.network, description, overwrite=True).read_bytes() == before


@pytest.mark.parametrize(
    ("labels", "match"),
    [(("a", "b", "ü"), "expected 'b' at position 1, got '1595929'"), (("a",), "expected 1 classes, got 3")],
)
def test_refuses_other_labels(saved, labels, match):
    with pytest.raises(InputError, match=match):
        load(saved[2], labels=labels)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "birdprobe head 1"}, "best.json: expected 'birdprobe member 1', got birdprobe head 1"),
        ({"extra": 1}, "fields missing or unknown: extra"),
        ({"activation": "tanh"}, "`activation` must be one of sigmoid, softmax, got 'tanh'"),
        (
            {"weights_sha256": "0" * 64},
            "expected sha256 000000000000, as best.json says, got .*. Were files of two runs mixed",
        ),
        ({"labels": ["a", "b"]}, "size mismatch for head.weight"),
        ({"activation": []}, "activation: expected text, got a list"),
        ({"sample_rate": "32000"}, "sample_rate: expected a whole number, got text"),
        ({"window_s": float("inf")}, "window_s: expected a finite number, got inf"),
    ],
)
def test_refuses_a_changed_description(saved, change, match):
    path = saved[2]
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=match):
        load(path)


def test_refuses_what_is_missing_or_broken(saved):
    path = saved[2]
    with pytest.raises(InputError, match=r"last.safetensors: expected a checkpoint, got nothing"):
        load(path.with_name("last"))
    path.write_text("{")
    with pytest.raises(InputError, match=r"best.json: "):
        describe(path, Description)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(InputError, match=r"best.safetensors: expected a checkpoint, got nothing"):
        describe(path, Description)


def test_folds_of_a_run(saved, tmp_path):
    model, description, path = saved
    save(tmp_path / "fold10" / "best", model.network, description)
    (tmp_path / "folder").mkdir()
    found = of_run(tmp_path)
    assert list(found) == [2, 10] and found[2] == path
    with pytest.raises(InputError, match=r"got no fold\*/best.json"):
        of_run(tmp_path / "folder")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_folder_of_another_program_is_refused(tmp_path, overwrite):
    (tmp_path / "config.json").write_text('{"theirs": 1}')
    with pytest.raises(InputError, match="no member in it, so not written by `birdprobe finetune`"):
        results.check(tmp_path, 0, {}, None, overwrite)
    assert (tmp_path / "config.json").read_text() == '{"theirs": 1}'


def test_refuses_weights_that_are_not_finite(saved):
    model, description, path = saved
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] = float("nan")
    save(path, model.network, description, overwrite=True)
    with pytest.raises(InputError, match=r"best.safetensors: weight \S+ holds NaN or infinity"):
        load(path)
