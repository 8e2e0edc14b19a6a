"""Layer-wise learning rates for every parameter by name, and the warm-up and cosine."""

import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from birdprobe.features import InputError
from birdprobe.finetune.models.birdmae import BirdMAE
from birdprobe.finetune.training.schedule import lr_at, parameter_groups, set_lr, warmup_length

LR, DECAY, WEIGHTS = 3e-4, 0.75, 3e-4


def published_scale(name: str, depth: int) -> float:
    """Bird-MAE, appendix: 0.75^(L - id), L = depth + 1, id 0 = cls/pos/patch_embed, block i -> i + 1, the rest L."""
    if name in ("cls_token", "pos_embed") or name.startswith("patch_embed."):
        layer = 0
    elif match := re.match(r"blocks\.(\d+)\.", name):
        layer = int(match[1]) + 1
    else:
        assert re.match(r"(norm|fc_norm|head)\.", name), name
        layer = depth + 1
    return DECAY ** (depth + 1 - layer)


@pytest.mark.parametrize("size", ["tiny", "base"])
@pytest.mark.parametrize("head", ["plain", "prototype"])
def test_every_parameter_has_the_published_rate_and_weight_decay(size, head):
    with torch.device("meta") if size == "base" else torch.device("cpu"):
        net = BirdMAE(7, size, head)
    groups = parameter_groups(net, LR, WEIGHTS, DECAY)
    found = {}
    for group in groups:
        assert len(group["names"]) == len(group["params"])
        for name, parameter in zip(group["names"], group["params"]):
            assert name not in found
            found[name] = group
            assert parameter is net.get_parameter(name)
    assert set(found) == {name for name, _ in net.named_parameters()}
    for name, parameter in net.named_parameters():
        scale = published_scale(name, net.depth)
        assert found[name]["lr_scale"] == pytest.approx(scale), name
        assert found[name]["lr"] == pytest.approx(LR * scale), name
        undecayed = parameter.ndim <= 1 or name in ("cls_token", "pos_embed")
        assert found[name]["weight_decay"] == (0 if undecayed else WEIGHTS), name
    assert min(group["lr_scale"] for group in groups) == pytest.approx(DECAY ** (net.depth + 1))
    assert max(group["lr_scale"] for group in groups) == 1


def test_first_and_last_layers_of_base_by_hand():
    with torch.device("meta"):
        net = BirdMAE(7, "base")
    scale = {name: g["lr_scale"] for g in parameter_groups(net, LR, WEIGHTS, DECAY) for name in g["names"]}
    assert scale["patch_embed.proj.weight"] == pytest.approx(0.75**13)
    assert scale["blocks.0.attn.qkv.weight"] == pytest.approx(0.75**12)
    assert scale["blocks.11.mlp.fc2.bias"] == pytest.approx(0.75)
    assert scale["head.weight"] == 1


class Positions(nn.Module):
    """A ViT whose position embedding is learned, as timm's are."""

    depth = 1

    def __init__(self):
        super().__init__()
        self.net = nn.Module()
        self.net.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.net.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.net.query = nn.Parameter(torch.zeros(1, 1, 4))

    def layer_id(self, name):
        return 2 if name.endswith("query") else 0


def test_cls_token_and_learned_positions_have_no_weight_decay_wherever_they_stand():
    first, last = parameter_groups(Positions(), LR, WEIGHTS, DECAY)
    assert first["names"] == ["net.cls_token", "net.pos_embed"]
    assert (first["weight_decay"], first["lr_scale"]) == (0, pytest.approx(0.75**2))
    assert last["names"] == ["net.query"]
    assert last["weight_decay"] == WEIGHTS


def test_prototypes_have_a_rate_of_their_own():
    net = BirdMAE(3, "tiny", "prototype")
    groups = parameter_groups(net, LR, WEIGHTS, DECAY, rates=net.rates(0.04))
    (own,) = [group for group in groups if "head.prototypes" in group["names"]]
    assert own["names"] == ["head.prototypes"]
    assert own["lr"] == pytest.approx(0.04)
    with pytest.raises(ValueError, match=r"no such parameters: \['head.prototype'\]"):
        parameter_groups(net, LR, WEIGHTS, rates={"head.prototype": 0.04})


class Flat(nn.Module):
    """A network without layer decay: every parameter in the last layer."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
        self.depth = 3

    def layer_id(self, name):
        return self.depth + 1


def test_a_network_without_layers_has_two_groups_and_frozen_parameters_stay_in_them():
    net = Flat()
    net.net[0].requires_grad_(False)
    decayed, plain = parameter_groups(net, LR, WEIGHTS, DECAY)
    assert decayed["names"] == ["net.0.weight", "net.2.weight"]
    assert plain["names"] == ["net.0.bias", "net.1.weight", "net.1.bias", "net.2.bias"]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (WEIGHTS, 0)
    assert decayed["lr_scale"] == plain["lr_scale"] == 1


def test_layers_of_one_rate_share_their_groups():
    assert len(parameter_groups(BirdMAE(3, "tiny"), LR, WEIGHTS, 1.0)) == 2
    groups = parameter_groups(BirdMAE(3, "tiny"), LR, WEIGHTS, DECAY)
    assert len(groups) == len({(group["lr_scale"], group["weight_decay"]) for group in groups}) == 2 * 6


def test_set_lr_moves_each_parameter_by_its_scale():
    net = BirdMAE(3, "tiny")
    optimiser = torch.optim.SGD(parameter_groups(net, 1.0, 0.0, 0.5))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    set_lr(optimiser, 0.25)
    optimiser.step()
    for name, p in net.named_parameters():
        step = 0.25 * 0.5 ** (net.depth + 1 - net.layer_id(name)) if p.requires_grad else 0.0
        torch.testing.assert_close(before[name] - p.detach(), torch.full_like(p, step), atol=1e-6, rtol=1e-5)


def test_warm_up_is_linear_and_the_cosine_ends_at_the_minimum():
    rates = [lr_at(step, 100, 10, 3e-4, 1e-6) for step in range(100)]
    assert rates[:10] == pytest.approx([3e-5 * (i + 1) for i in range(10)])
    assert rates[9] == pytest.approx(3e-4)
    assert rates[54] == pytest.approx((3e-4 + 1e-6) / 2)  # half of the 90 steps after the warm-up
    assert rates[99] == pytest.approx(1e-6)
    assert all(a > b for a, b in pairwise(rates[9:]))
    quarter = 1e-6 + (3e-4 - 1e-6) * 0.5 * (1 + math.cos(math.pi * 9 / 90))
    assert rates[18] == pytest.approx(quarter)
    assert lr_at(500, 100, 10, 3e-4, 1e-6) == pytest.approx(1e-6)


@pytest.mark.parametrize(("total", "warm"), [(1, 0), (1, 1), (5, 5), (5, 0)])
def test_short_schedules_stay_between_minimum_and_base(total, warm):
    rates = [lr_at(step, total, warm, 1.0, 0.1) for step in range(total)]
    assert all(0.1 - 1e-12 <= rate <= 1.0 for rate in rates)


def test_warmup_length_is_a_share():
    assert warmup_length(30 * 100, 0.067) == 201
    with pytest.raises(InputError, match=r"warm-up: expected a share of all steps from 0 to 1, got 500"):
        warmup_length(1000, 500)
