"""All folds of a member as one predictor: what is averaged, what no-call does, what is refused."""

import numpy as np
import pytest
import soundfile
import torch

from birdprobe.features import InputError
from birdprobe.finetune import checkpoint
from birdprobe.finetune.checkpoint import Description
from birdprobe.finetune.models import members
from birdprobe.finetune.predictor import is_run, open_member, variants_of
from birdprobe.probe.soundscapes import predict

LABELS = ("ash", "birch", "nocall", "cedar")
S = 160_000


def network(seed: int, labels=LABELS) -> members.Model:
    torch.manual_seed(seed)
    model = members.assemble(members.get("birdmae-tiny"), len(labels)).eval()
    torch.nn.init.normal_(model.network.classifier.weight, std=0.3)  # fresh heads say 0.5 to everything
    return model


def write(run, fold: int, seed: int, labels=LABELS, activation="sigmoid", which="best", **said):
    model = network(seed, labels)
    checkpoint.save(
        run / f"fold{fold}" / which,
        model.network,
        Description("birdmae-tiny", tuple(labels), activation, fold=fold, **said),
    )
    return model


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(a run of two folds, their models)."""
    run = tmp_path_factory.mktemp("member")
    return run, [write(run, fold, seed=fold) for fold in (0, 1)]


def waves(n=2, seed=0):
    """With a start unlike the end, so that time reversal shows."""
    x = np.random.default_rng(seed).standard_normal((n, S)) * np.linspace(0.01, 0.2, S)
    return x.astype(np.float32)


def logits_of(model, x):
    with torch.no_grad():
        return model(torch.from_numpy(np.ascontiguousarray(x))).numpy().astype(np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# --- what is averaged ---


def test_logits_are_averaged_over_folds_and_variants(made):
    run, models = made
    x = waves()
    heard = [x, x[:, ::-1], x * 10 ** (-6 / 20)]
    parts = [[logits_of(model, variant) for variant in heard] for model in models]
    predictor = open_member(run, no_call="keep")
    np.testing.assert_allclose(predictor(x), sigmoid(np.mean(parts, axis=(0, 1))), atol=1e-5)
    assert np.abs(np.array(parts)[0, 0] - np.array(parts)[0, 1]).max() > 1e-3  # reversed is another sound
    assert np.abs(np.array(parts)[0, 0] - np.array(parts)[0, 2]).max() > 1e-3
    assert np.abs(predictor(x) - sigmoid(np.array(parts)).mean((0, 1))).max() > 1e-4  # not the mean of probabilities


def test_one_fold_without_variants_is_the_model(made):
    run, models = made
    predictor = open_member(run, 1, (), no_call="keep")
    assert predictor.folds == (1,) and predictor.variants == (1.0,)
    np.testing.assert_allclose(predictor(waves()), sigmoid(logits_of(models[1], waves())), atol=1e-6)


def test_reversal_is_heard_as_often_as_the_plain_window(made):
    predictor = open_member(made[0], tta=("reverse",), no_call="keep")
    np.testing.assert_allclose(predictor(waves()), predictor(waves()[:, ::-1].copy()), atol=1e-5)


def test_variants():
    assert variants_of(()) == (1.0,)
    assert variants_of(("reverse", "gain")) == (1.0, -1.0, pytest.approx(0.5012, abs=1e-4))
    assert variants_of(("gain:6", "gain:-20")) == (1.0, pytest.approx(1.9953, abs=1e-4), pytest.approx(0.1))
    for bad in ("flip", "gain:loud", "gain:nan", "gain:90", "reverse:2"):
        with pytest.raises(InputError, match=rf"`--tta` must be reverse, gain or gain:DB .*got '{bad}'"):
            variants_of((bad,))


# --- no-call ---


def test_a_no_call_class_damps_the_others_and_goes(made):
    keep, damp, drop = (open_member(made[0], no_call=rule) for rule in ("keep", "damp", "drop"))
    p = keep(waves())
    assert keep.labels == LABELS and damp.labels == drop.labels == ("ash", "birch", "cedar")
    others = p[:, [0, 1, 3]]
    np.testing.assert_array_equal(drop(waves()), others)
    np.testing.assert_allclose(damp(waves()), others * (1 - p[:, 2:3]), atol=1e-6)


def test_a_softmax_has_shared_out_what_is_left_already(tmp_path):
    write(tmp_path, 0, 0, activation="softmax")
    keep, damp = (open_member(tmp_path, no_call=rule) for rule in ("keep", "damp"))
    np.testing.assert_allclose(keep(waves()).sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(damp(waves()).sum(1), 1 - keep(waves())[:, 2], atol=1e-6)


def test_without_such_a_class_nothing_happens(tmp_path):
    write(tmp_path, 0, 0, labels=LABELS[:2])
    found = open_member(tmp_path)
    assert found.labels == LABELS[:2] and found.no_call == "keep"
    assert found.identity == open_member(tmp_path, no_call="drop").identity


# --- what it promises to probe.soundscapes ---


def test_the_identity_changes_with_the_numbers(made, tmp_path):
    run = made[0]
    opened = [
        open_member(run),
        open_member(run, 0),
        open_member(run, tta=()),
        open_member(run, no_call="drop"),
        open_member(run, precision="bfloat16"),
    ]
    write(tmp_path, 0, seed=0)
    write(tmp_path, 1, seed=2)
    opened.append(open_member(tmp_path))
    assert len({one.identity for one in opened}) == len(opened)
    assert open_member(run, threads=2).identity == opened[0].identity


def test_half_precision_is_close(made):
    one, other = (open_member(made[0], precision=name)(waves()) for name in ("float32", "bfloat16"))
    assert one.dtype == other.dtype == np.float32
    assert 0 < np.abs(one - other).max() < 0.05


def test_windows_of_another_length_are_a_bug(made):
    with pytest.raises(ValueError, match="160000"):
        open_member(made[0])(np.zeros((2, 1000), np.float32))


def test_threads_are_set_at_work_and_put_back(made):
    before = torch.get_num_threads()
    with open_member(made[0], threads=before + 1).at_work():
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_soundscapes_become_a_submission(made, tmp_path):
    run, _ = made
    sound = waves(3, seed=7)
    soundfile.write(tmp_path / "S01_20260101_060000.wav", sound.reshape(-1), 32_000, subtype="FLOAT")
    predictor = open_member(run)
    predict(predictor, tmp_path, tmp_path / "out.csv", progress=False)
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert rows[0] == ["row_id", "ash", "birch", "cedar"]
    assert [row[0] for row in rows[1:]] == [f"S01_20260101_060000_{end}" for end in (5, 10, 15)]
    np.testing.assert_allclose(np.array([row[1:] for row in rows[1:]], float), predictor(sound), atol=1e-5)


# --- faults ---


def test_folds_have_to_belong_together(tmp_path):
    write(tmp_path, 0, 0)
    write(tmp_path, 1, 1, labels=("ash", "birch", "nocall", "oak"))
    with pytest.raises(
        InputError, match=r"fold1.best.json: labels: expected .*'cedar'\), as fold 0 has, got .*'oak'\)"
    ):
        open_member(tmp_path)
    assert open_member(tmp_path, 0).labels == ("ash", "birch", "cedar")


def test_what_is_not_there_is_named(made, tmp_path):
    run = made[0]
    with pytest.raises(InputError, match=r"`--fold` must be one of 0, 1, got 4"):
        open_member(run, 4)
    with pytest.raises(InputError, match="`--no-call` must be one of damp, drop, keep, got 'mute'"):
        open_member(run, no_call="mute")
    with pytest.raises(InputError, match=r"`precision` must be .*got 'int8'"):
        open_member(run, precision="int8")
    with pytest.raises(InputError, match="got no fold"):
        open_member(tmp_path)
    assert is_run(run) and not is_run(tmp_path)
