"""Losses of the members: asymmetric, binary and softmax cross-entropy, prototype orthogonality.

Conventions. logits [N, K] real; targets [N, K] in 0..1, 1 where class k is heard (soft values interpolate between the
two terms). Every loss is a float32 scalar whatever the logits' type and whatever autocast says: at half precision
1 - p is 0 from a logit of 8 on. Logarithms come from logsigmoid, so gradients stay finite at any finite logit.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features import InputError


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
    *,
    focal_gradient: bool = False,
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119, equations 4 and 7), the mean over rows and classes.

    p = sigmoid(logit), p_neg = min(1 - p + clip, 1):
    -mean( y (1 - p)^gamma_pos log max(p, eps) + (1 - y) (1 - p_neg)^gamma_neg log max(p_neg, eps) ).
    Paper to here: gamma_+, gamma_-, m are gamma_pos, gamma_neg, clip. Its authors sum; the mean keeps the learning rate
    independent of the number of classes. At gamma_neg = gamma_pos = clip = 0 this is binary cross-entropy, up to eps.

    focal_gradient: also differentiate the two powers. The authors' code does not by default, and neither does this.
    """
    with torch.autocast(logits.device.type, enabled=False):
        x, y = logits.float(), targets.float()
        floor = math.log(eps) if eps > 0 else -math.inf
        log_p, log_q = F.logsigmoid(x), F.logsigmoid(-x)  # q = 1 - p
        if clip > 0:
            missed = (x.sigmoid() - clip).clamp_min(0.0)  # 1 - p_neg
            log_p_neg = torch.log1p(-missed)
            inside = missed > 0  # at 0 a power below 1 has no gradient
            weight_neg = torch.where(inside, torch.where(inside, missed, 1.0) ** gamma_neg, float(gamma_neg == 0))
        else:
            log_p_neg, weight_neg = log_q, (gamma_neg * log_p).exp()
        weight_pos = (gamma_pos * log_q).exp()
        if not focal_gradient:
            weight_pos, weight_neg = weight_pos.detach(), weight_neg.detach()
        positive = y * weight_pos * log_p.clamp_min(floor)
        negative = (1 - y) * weight_neg * log_p_neg.clamp_min(floor)
        return -(positive + negative).mean()


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over rows and classes."""
    with torch.autocast(logits.device.type, enabled=False):
        return F.binary_cross_entropy_with_logits(logits.float(), targets.float())


def ce(logits: Tensor, targets: Tensor) -> Tensor:
    """Softmax cross-entropy against each row's targets scaled to sum 1, the mean over rows.

    A row without any label (a no-call clip) says nothing about which class it is and costs nothing.
    """
    with torch.autocast(logits.device.type, enabled=False):
        y = targets.float()
        shares = y / y.sum(dim=1, keepdim=True).clamp_min(1e-8)
        return -(shares * logits.float().log_softmax(dim=1)).sum(dim=1).mean()


def orthogonality(prototypes: Tensor) -> Tensor:
    """||P P^T - I||_F / (C J J) over the J prototypes of each of C classes: prototypes [C, J, D] -> scalar.

    Heinrich et al. 2025 (AudioProtoPNet), as used with Bird-MAE's prototype head. P are the prototypes at unit length:
    only their cosines enter the logits, and I asks for length 1.
    """
    classes, per_class, _ = prototypes.shape
    with torch.autocast(prototypes.device.type, enabled=False):
        unit = F.normalize(prototypes.float(), dim=2)
        excess = unit @ unit.transpose(1, 2) - torch.eye(per_class, device=unit.device)
        return torch.linalg.vector_norm(excess) / (classes * per_class**2)


LOSSES = ("asl", "bce", "ce")


def loss(
    kind: str, logits: Tensor, targets: Tensor, *, gamma_neg: float = 4.0, gamma_pos: float = 1.0, clip: float = 0.05
) -> Tensor:
    """The loss of that name; the numbers are the asymmetric one's. InputError: no such name."""
    if kind == "asl":
        return asymmetric(logits, targets, gamma_neg, gamma_pos, clip)
    if kind not in LOSSES:
        raise InputError(f"--loss: {kind!r} found, one of {', '.join(LOSSES)} wanted.")
    return {"bce": bce, "ce": ce}[kind](logits, targets)
