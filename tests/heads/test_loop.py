"""The loop learns what can be learned, keeps the best epoch, and gives the same numbers alone, stacked and again."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from birdprobe.features import InputError
from birdprobe.finetune.losses import loss
from birdprobe.heads.modules import build
from birdprobe.heads.training.folds import Split
from birdprobe.heads.training.loop import ASL_GAMMA_POSITIVE, Settings, Stack, batch_size, fit

WIDTHS = {"a": 5, "b": 7}


def problem(n=120, classes=3, seed=0):
    """Features [n, 5] of noise and [n, 7] with the class in them; one label a row."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = rng.normal(size=(n, 7)) + 3 * np.eye(classes, 7)[y]
    xs = [torch.from_numpy(part).float() for part in (rng.normal(size=(n, 5)), x)]
    return xs, F.one_hot(torch.from_numpy(y), classes).float(), y


def splits(n=120, folds=3):
    fold = np.arange(n) // 5 % folds
    return [Split((np.flatnonzero(fold != k),), np.flatnonzero(fold == k)) for k in range(folds)]


def make(kind="attention", classes=3):
    options = {} if kind == "concat" else {"dim": 16, "dropout": 0.0}
    return lambda: build(kind, WIDTHS, classes, **options)


def accuracy(y):
    return lambda rows, logits: float((logits.argmax(1).numpy() == y[rows]).mean())


@pytest.mark.parametrize("kind", ["attention", "scalarmix", "concat"])
@pytest.mark.parametrize("goal", ["bce", "asl", "ce"])
def test_learns(kind, goal):
    xs, targets, y = problem()
    for one, split in zip(
        fit(make(kind), xs, targets, splits(), Settings(loss=goal, epochs=20, learning_rate=0.01)), splits()
    ):
        assert accuracy(y)(split.held, one.logits) > 0.85
        assert not one.module.training and one.epoch == 20 and math.isnan(one.score)
        assert np.mean(one.losses[-5:]) < 0.8 * one.losses[0]


def test_shuffled_labels_are_not_learned():
    xs, targets, _ = problem(n=300, seed=1)
    targets = targets[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    found = fit(make(), xs, targets, splits(300), Settings(epochs=10))
    hits = [accuracy(targets.argmax(1).numpy())(split.held, one.logits) for split, one in zip(splits(300), found)]
    assert np.mean(hits) == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("kind", ["attention", "scalarmix", "concat"])
def test_a_stack_gives_what_its_models_give_alone(kind):
    xs, targets, y = problem()
    alone, stacked = (
        fit(make(kind), xs, targets, splits(), Settings(epochs=6, batch_size=16, together=t), accuracy(y))
        for t in (False, True)
    )
    for a, b in zip(alone, stacked):
        torch.testing.assert_close(a.logits, b.logits, atol=1e-3, rtol=1e-3)
        assert a.epoch == b.epoch
        assert a.losses == pytest.approx(b.losses, rel=1e-3)


def test_same_seed_same_numbers_whatever_was_drawn_before():
    xs, targets, y = problem()
    settings = Settings(epochs=3, dropout=0.3)

    def run(**changes):
        torch.rand(torch.randint(9, (1,)).item())
        found = fit(
            lambda: build("attention", WIDTHS, 3, dim=16), xs, targets, splits(), Settings(**vars(settings) | changes)
        )
        return torch.cat([one.logits for one in found])

    assert torch.equal(run(), run()) and not torch.equal(run(), run(seed=1))
    for together in (False, True):
        assert torch.equal(run(together=together), run(together=together))
    before = torch.random.get_rng_state()
    fit(make(), xs, targets, splits(), settings, accuracy(y))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("together", [False, True])
def test_early_stopping_keeps_the_best_epoch(together):
    xs, targets, _ = problem()
    script = {0: [0.1, 0.5, 0.4, 0.5, 0.3, 0.9], 1: [0.9, 0.1, 0.1, 0.1, 0.1, 0.9], 2: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    seen = {0: [], 1: [], 2: []}

    def judge(rows, logits):
        fold = int(rows[0]) // 5 % 3
        seen[fold].append(logits.clone())
        return script[fold][len(seen[fold]) - 1]

    found = fit(make(), xs, targets, splits(), Settings(epochs=6, patience=3, together=together), judge)
    assert [one.epoch for one in found] == [2, 1, 6] and [one.score for one in found] == [0.5, 0.9, 0.6]
    assert [len(s) for s in seen.values()] == [5, 4, 6]  # out of patience before the 0.9 that would have come
    for fold, (one, split) in enumerate(zip(found, splits())):
        assert torch.equal(one.logits, seen[fold][one.epoch - 1])
        with torch.no_grad():  # the weights that were kept are those of that epoch
            torch.testing.assert_close(one.module([x[split.held] for x in xs]), one.logits, atol=1e-5, rtol=1e-5)


def test_statistics_come_from_training_rows_alone():
    xs, targets, _ = problem()
    (split,) = splits()[:1]
    moved = [x.clone() for x in xs]
    for x in moved:
        x[split.held] += 100
    one, other = (fit(make(), x, targets, [split], Settings(epochs=2))[0].module for x in (xs, moved))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_batch_size_follows_the_data():
    small = [Split((np.arange(50),), np.arange(0))]
    large = [Split((np.arange(6000), np.arange(6000)), np.arange(0))]
    assert [batch_size(Settings(), s) for s in (small, large)] == [8, 256]
    assert batch_size(Settings(batch_size=999), small) == 999


def test_asymmetric_loss_weighs_positives_by_one():
    # a negative at p = 0.05 or less costs nothing, at p = 0.5 it costs 0.45^4 x -log(0.55); a positive costs -log p
    certain = torch.tensor([[[math.log(0.05 / 0.95) - 1e-6, 0.0, 0.0]]])
    wanted = (0.45**4 * -math.log(0.55) + math.log(2)) / 3
    found = loss("asl", certain, torch.tensor([[[0.0, 0.0, 1.0]]]), gamma_pos=ASL_GAMMA_POSITIVE)
    assert found.item() == pytest.approx(wanted, abs=1e-6)


def test_stack_equals_its_models():
    modules = [make(kind)() for kind in ["attention"] * 3]
    xs = [torch.randn(3, 11, width) for width in WIDTHS.values()]
    for m, module in enumerate(modules):
        module.fit_statistics([x[m] + m for x in xs])
    stack = Stack(modules)
    logits = stack(xs)
    for m, module in enumerate(modules):
        own = module.eval()([x[m] for x in xs])
        torch.testing.assert_close(logits[m], own)
        torch.testing.assert_close(stack.predict(m, [x[m] for x in xs], rows=4), own)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"loss": "hinge"}, "`--loss` must be one of asl, bce, ce, got 'hinge'"),
        ({"unit": "file"}, "`--unit` must be one of clip, window, got 'file'"),
        ({"epochs": 0}, "`--epochs` must be at least 1, got 0"),
        ({"folds": 1}, "`--folds` must be at least 2, got 1"),
        ({"fractions": (0.0, 0.0)}, "--fractions"),
        ({"mixup": -1}, "`--mixup` must be 0 or more, got -1"),
    ],
)
def test_bad_settings(changes, match):
    with pytest.raises(InputError, match=match):
        Settings(**changes)
