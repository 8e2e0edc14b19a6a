"""Losses against their formulas in numpy, their limits, and gradients where sigmoid saturates."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from birdprobe.features import InputError
from birdprobe.finetune.losses import LOSSES, asymmetric, bce, ce, loss, orthogonality

EXTREME = torch.tensor([[-100.0, -30.0, -17.0, -1.0, 0.0, 1.0, 17.0, 30.0, 100.0]])


def drawn(n=7, k=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(n, k, generator=generator)
    return logits, (torch.rand(n, k, generator=generator) < 0.3).float()


def asl_numpy(logits, targets, gamma_neg, gamma_pos, clip, eps):
    """The published form, with one power for both terms."""
    x, y = logits.double().numpy(), targets.double().numpy()
    p = 1 / (1 + np.exp(-x))
    p_neg = np.minimum(1 - p + clip, 1)
    terms = y * np.log(np.maximum(p, eps)) + (1 - y) * np.log(np.maximum(p_neg, eps))
    pt = p * y + p_neg * (1 - y)
    return -(terms * (1 - pt) ** (gamma_pos * y + gamma_neg * (1 - y))).mean()


@pytest.mark.parametrize(("gamma_neg", "gamma_pos"), [(4, 1), (4, 0), (2, 0.5), (0.5, 2), (0, 0)])
@pytest.mark.parametrize("clip", [0.05, 0.0, 0.2])
def test_asymmetric_is_its_formula(gamma_neg, gamma_pos, clip):
    logits, targets = drawn()
    wanted = asl_numpy(logits, targets, gamma_neg, gamma_pos, clip, 1e-8)
    assert asymmetric(logits, targets, gamma_neg, gamma_pos, clip).item() == pytest.approx(wanted, rel=1e-5)


def test_asymmetric_defaults_and_one_value_by_hand():
    # p = 0.8 for a negative: p_neg = 0.25, -0.75^4 ln 0.25; for a positive: -0.2 ln 0.8
    logits = torch.logit(torch.tensor([[0.8, 0.8]]))
    by_hand = (0.75**4 * -np.log(0.25) + 0.2 * -np.log(0.8)) / 2
    assert asymmetric(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("heard", [0.0, 1.0])
def test_asymmetric_is_binary_cross_entropy_without_gammas_and_clip(heard):
    targets = torch.full_like(EXTREME, heard)
    got = [asymmetric(x[None, None], y[None, None], 0, 0, 0, eps=0) for x, y in zip(EXTREME[0], targets[0])]
    torch.testing.assert_close(
        torch.stack(got), F.binary_cross_entropy_with_logits(EXTREME, targets, reduction="none")[0]
    )
    x, y = drawn()
    assert asymmetric(x, y, 0, 0, 0).item() == pytest.approx(bce(x, y).item(), rel=1e-6)
    soft = torch.rand_like(y)  # and its two terms interpolate
    assert asymmetric(x, soft, 0, 0, 0).item() == pytest.approx(bce(x, soft).item(), rel=1e-6)


@pytest.mark.parametrize(
    ("gamma_neg", "gamma_pos", "clip"), [(4, 1, 0.05), (4, 0, 0.05), (0.5, 0.5, 0.05), (0, 0, 0), (2, 2, 0)]
)
@pytest.mark.parametrize("heard", [0.0, 1.0])
def test_gradients_are_finite_where_sigmoid_saturates(heard, gamma_neg, gamma_pos, clip):
    x = EXTREME.clone().requires_grad_()
    value = asymmetric(x, torch.full_like(x, heard), gamma_neg, gamma_pos, clip)
    value.backward()
    assert value.isfinite()
    assert x.grad.isfinite().all()
    if (gamma_neg, gamma_pos, clip) == (0, 0, 0) and heard == 0:
        assert x.grad[0, 6] > 0.99 / x.numel()  # a confident mistake is still corrected


def test_negatives_below_the_clip_cost_nothing():
    x = torch.logit(torch.tensor([[0.04, 0.01, 0.049]])).requires_grad_()
    value = asymmetric(x, torch.zeros(1, 3))
    value.backward()
    assert value.item() == 0
    assert not x.grad.any()


def published(logits, targets, gamma_neg=4.0, gamma_pos=1.0, clip=0.05, eps=1e-8):
    """AsymmetricLoss of the authors' repository, line by line, with disable_torch_grad_focal_loss=True; its sum."""
    xs_pos = torch.sigmoid(logits)
    xs_neg = 1 - xs_pos
    if clip > 0:
        xs_neg = (xs_neg + clip).clamp(max=1)
    loss = targets * torch.log(xs_pos.clamp(min=eps)) + (1 - targets) * torch.log(xs_neg.clamp(min=eps))
    with torch.no_grad():
        pt = xs_pos * targets + xs_neg * (1 - targets)
        loss_weight = torch.pow(1 - pt, gamma_pos * targets + gamma_neg * (1 - targets))
    return -(loss * loss_weight).sum()


@pytest.mark.parametrize("clip", [0.05, 0.0])
@pytest.mark.parametrize(("gamma_neg", "gamma_pos"), [(4, 1), (4, 0), (2, 0.5), (0.5, 2), (0, 0)])
def test_values_and_gradients_are_the_published_implementations(gamma_neg, gamma_pos, clip):
    logits, targets = drawn()
    mine, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    value = asymmetric(mine, targets, gamma_neg, gamma_pos, clip)
    wanted = published(theirs, targets.double(), gamma_neg, gamma_pos, clip) / targets.numel()
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    value.backward()
    wanted.backward()
    torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-4, atol=1e-7)


def test_focusing_weights_are_constants_to_the_gradient():
    # by hand for a positive at p = 0.3, gamma 1: with the power held, d/dx of -(1-p) log p is -(1-p)(1-p)
    x = torch.logit(torch.tensor([[0.3]])).requires_grad_()
    (held,) = torch.autograd.grad(asymmetric(x, torch.ones(1, 1)), x)
    assert held.item() == pytest.approx(-0.49, rel=1e-5)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_stack_of_models_gets_each_model_its_own_loss(kind):
    pairs = [drawn(seed=seed) for seed in range(3)]
    together = loss(kind, *map(torch.stack, zip(*pairs)))
    torch.testing.assert_close(together, torch.stack([loss(kind, x, y) for x, y in pairs]))


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_are_float32_under_autocast(kind):
    x, y = drawn()
    with torch.autocast("cpu", torch.bfloat16):
        half = loss(kind, x.bfloat16(), y)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(loss(kind, x.bfloat16().float(), y).item(), rel=1e-6)


def test_cross_entropy_is_torchs_for_one_label_and_shares_several():
    x, _ = drawn()
    picked = torch.arange(7) % 11
    assert ce(x, F.one_hot(picked, 11)).item() == pytest.approx(F.cross_entropy(x, picked).item(), rel=1e-6)
    two = F.one_hot(picked, 11) + F.one_hot((picked + 1) % 11, 11)
    both = (F.cross_entropy(x, picked) + F.cross_entropy(x, (picked + 1) % 11)) / 2
    assert ce(x, two).item() == pytest.approx(both.item(), rel=1e-6)
    assert ce(x, torch.zeros(7, 11)).item() == 0  # no call: nothing to say


def test_orthogonality_is_zero_for_orthogonal_prototypes_and_its_formula_elsewhere():
    assert orthogonality(3 * torch.eye(4).expand(5, 4, 4)).item() == pytest.approx(0, abs=1e-7)
    # all alike: J (J - 1) ones off the diagonal of each class
    assert orthogonality(torch.ones(5, 4, 8)).item() == pytest.approx(np.sqrt(5 * 12) / (5 * 16), rel=1e-5)
    p = np.random.default_rng(0).random((3, 6, 10))
    unit = p / np.linalg.norm(p, axis=2, keepdims=True)
    wanted = np.sqrt(sum(np.linalg.norm(u @ u.T - np.eye(6)) ** 2 for u in unit)) / (3 * 36)
    assert orthogonality(torch.from_numpy(p)).item() == pytest.approx(wanted, rel=1e-5)


def test_loss_by_name():
    x, y = drawn()
    assert loss("asl", x, y, gamma_pos=0).item() == asymmetric(x, y, gamma_pos=0).item()
    assert loss("bce", x, y).item() == bce(x, y).item()
    with pytest.raises(InputError, match="`--loss` must be one of asl, bce, ce, got 'focal'"):
        loss("focal", x, y)
