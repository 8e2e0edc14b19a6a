"""A checkpoint comes back as it was, and does not pass for another."""

import json
from dataclasses import replace

import pytest
import torch

from birdprobe.features import InputError
from birdprobe.finetune.checkpoint import save
from birdprobe.heads.inputs import key_difference
from birdprobe.heads.modules import build
from birdprobe.heads.training.checkpoint import Description, load
from tests.head_stores import KEY

WIDTHS = {"block_01": 6, "block_02-block_01": 6, "embedding": 8}
LABELS = ("a", "1595929", "ü")


def test_a_head_that_learned_of_a_column_that_never_varies_is_read_again(tmp_path):
    head = build("concat", {"a": 2}, 2)
    head.fit_statistics([torch.tensor([[1.0, 5.0], [3.0, 5.0]])])
    save(tmp_path / "head", head, Description("concat", {"a": 2}, ("x", "y"), "sigmoid", KEY))
    found = load(tmp_path / "head")[0].standardised([torch.tensor([[2.0, 6.0]])])[0]
    torch.testing.assert_close(found, torch.zeros(1, 2))


@pytest.fixture
def saved(tmp_path):
    head = build("attention", WIDTHS, 3, dim=16, dropout=0.0)
    head.fit_statistics([torch.randn(9, width) for width in WIDTHS.values()])
    description = Description(
        "attention", WIDTHS, LABELS, "sigmoid", KEY, fold=2, options={"dim": 16}, metrics={"macro_auc": 0.5}
    )
    return head.eval(), description, save(tmp_path / "attention-fold2", head, description)


def test_round_trip(saved):
    head, description, path = saved
    xs = [torch.randn(4, width) for width in WIDTHS.values()]
    for place in (path, path.with_suffix(".safetensors"), path.with_suffix("")):
        again, described = load(place, store_key=KEY, labels=LABELS)
        assert not again.training and torch.equal(again(xs), head(xs))
        assert replace(described, weights_sha256="") == description and described.tokens == tuple(WIDTHS)


def test_is_never_replaced_silently(saved, tmp_path):
    head, description, path = saved
    before = path.read_bytes()
    with pytest.raises(InputError, match="expected no checkpoint, got one"):
        save(tmp_path / "attention-fold2", head, description)
    path.unlink()
    with pytest.raises(InputError, match=r"fold2.safetensors: expected no checkpoint"):  # half of one counts too
        save(tmp_path / "attention-fold2", head, description)
    assert save(tmp_path / "attention-fold2", head, description, overwrite=True).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"model_sha256": "b" * 64},
            "model_sha256 bbb.* on disk, expected aaa.*. Was the store made from another model",
        ),
        ({"pooling": "max"}, "pooling max on disk, expected mean"),
        ({"normalise": "peak"}, "normalise peak on disk, expected none"),
        ({"window_s": 3.0}, "window_s 3.0 on disk, expected 5.0"),
        ({"taps": ("block_01", "embedding")}, "taps block_01, embedding on disk, expected block_02 too"),
    ],
)
def test_refuses_another_store(saved, change, match):
    with pytest.raises(InputError, match=match):
        load(saved[2], store_key=replace(KEY, **change))


def test_a_store_of_other_windows_or_more_taps_fits():
    other = replace(KEY, selection="random:3", seed=7, dtype="float16", taps=("stem", *KEY.taps))
    assert key_difference(other, KEY, tuple(WIDTHS)) is None


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[:2], "labels: expected 2 classes, got 3"),
        (("a", "ü", "1595929"), "expected 'ü' at position 1, got '1595929'"),
    ],
)
def test_refuses_other_labels(saved, labels, match):
    with pytest.raises(InputError, match=match):
        load(saved[2], labels=labels)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"format": "birdprobe head 9"}, "expected 'birdprobe head 1', got birdprobe head 9"),
        ({"colour": "red"}, "fields missing or unknown: colour"),
        (
            {"weights_sha256": "0" * 64},
            "expected sha256 0000.*, as attention-fold2.json says, got .*. Were files of two runs mixed",
        ),
        ({"widths": {"block_01": 7, "block_02-block_01": 6, "embedding": 8}}, "size mismatch"),
        ({"head": "perceptron"}, "`--head` must be one of attention, .*got 'perceptron'"),
        ({"store_key": {}}, "key fields missing"),
        ({"activation": []}, "activation: expected text, got a list"),
        ({"activation": "relu"}, "`activation` must be one of sigmoid, softmax, got 'relu'"),
        ({"labels": "ab"}, "labels: expected a list, got text"),
        ({"labels": [1, 2]}, r"labels.0.: expected text"),
        ({"widths": {"block_01": "7"}}, "widths.block_01: expected a whole number"),
        ({"fold": "2"}, "fold: expected a whole number, got text"),
        ({"options": {"colour": 1}}, "expected the options .*got colour"),
    ],
)
def test_refuses_an_edited_description(saved, changes, match):
    edit(saved[2], **changes)
    with pytest.raises(InputError, match=match) as error:
        load(saved[2])
    assert "\n" not in str(error.value)


def test_refuses_files_of_two_folds(saved, tmp_path):
    _, description, path = saved
    other = build("attention", WIDTHS, 3, dim=16)
    save(tmp_path / "attention-fold3", other, replace(description, fold=3))
    path.with_suffix(".safetensors").write_bytes((tmp_path / "attention-fold3.safetensors").read_bytes())
    with pytest.raises(InputError, match="files of two runs mixed"):
        load(path)


def test_refuses_what_is_not_there_or_not_json(saved):
    path = saved[2]
    path.write_text("{")
    with pytest.raises(InputError, match=r"attention-fold2.json: "):
        load(path)
    path.unlink()
    with pytest.raises(InputError, match="expected a checkpoint, got nothing"):
        load(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_weights_that_are_not_finite(saved, tmp_path, value):
    head, description, _ = saved
    with torch.no_grad():
        next(head.parameters()).view(-1)[0] = value
    path = save(tmp_path / "broken", head, description)
    with pytest.raises(InputError, match=r"broken.safetensors: weight \S+ holds NaN or infinity"):
        load(path)
