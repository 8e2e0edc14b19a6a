"""Learning rates: per layer (decay towards the input), and over the steps (warm-up, then cosine).

Source: Bird-MAE's fine-tuning (Rauch et al. 2025), which takes both from MAE (He et al. 2022; layer decay: Clark et al.
2020, BEiT). The rate of a parameter at a step is lr_at(step) times its group's `lr_scale`. timm's
`param_groups_layer_decay` knows the layers of timm's models alone: a Bird-MAE gets one rate for all (tried).
"""

import math
from collections.abc import Mapping

from torch import optim

from ...features import InputError
from ..models.network import Network

NO_DECAY = frozenset({"cls_token", "pos_embed"})  # last part of the name; and every parameter of one dimension


def parameter_groups(
    network: Network,
    lr: float,
    weight_decay: float,
    layer_decay: float = 1.0,
    rates: Mapping[str, float] | None = None,
) -> list[dict]:
    """Groups for an optimiser: dicts of params, names, lr_scale, lr, weight_decay, no two alike in the last two.

    lr_scale = layer_decay^(L - id), L = network.depth + 1, id = network.layer_id(name): 0 for cls_token, pos_embed and
    patch_embed, i + 1 for block i, L for norm and head. One-dimensional parameters (biases, norms), cls_token and
    pos_embed have no weight decay. rates: learning rates of their own for single parameters, without layer decay (the
    prototypes' 0.04).

    Every parameter is in exactly one group, frozen or not: an optimiser passes over those without a gradient, so
    freezing and thawing need no new optimiser. Order is the same for the same network, as resuming needs.
    """
    deepest, rates = network.depth + 1, dict(rates or {})
    groups: dict[tuple, dict] = {}
    for name, parameter in network.named_parameters():
        own = rates.pop(name, None)
        layer = network.layer_id(name)
        if not 0 <= layer <= deepest:
            raise ValueError(f"{name}: layer {layer}, outside 0..{deepest}")
        scale = layer_decay ** (deepest - layer) if own is None else own / lr
        decays = parameter.ndim > 1 and name.rpartition(".")[2] not in NO_DECAY
        group = groups.setdefault(
            (scale, not decays),
            {
                "params": [],
                "names": [],
                "lr_scale": scale,
                "lr": lr * scale,
                "weight_decay": weight_decay if decays else 0.0,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    if rates:
        raise ValueError(f"no such parameters: {sorted(rates)}")
    return [groups[key] for key in sorted(groups)]


def lr_at(step: int, total: int, warmup_steps: int, base: float, min_lr: float = 0.0) -> float:
    """The learning rate of step 0 .. total - 1, before any layer's scale.

    Linear over the warm-up: step s has base (s + 1) / warmup_steps, so that the first step is not lost and the last of
    them has base. Then half a cosine, which is min_lr at the last step. Later steps stay there.
    """
    if step < 0 or total < 1:
        raise ValueError(f"step {step} of {total}")
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    progress = min(1.0, (step + 1 - warmup_steps) / max(1, total - warmup_steps))
    return min_lr + (base - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_length(total: int, share: float) -> int:
    """Steps of warm-up: that share of all, rounded. InputError: a share outside 0..1."""
    if not 0 <= share <= 1:
        raise InputError(f"warm-up: expected a share of all steps from 0 to 1, got {share}.")
    return round(share * total)


def set_lr(optimiser: optim.Optimizer, lr: float) -> None:
    """Give every group lr times its lr_scale."""
    for group in optimiser.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
