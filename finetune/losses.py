"""Losses of heads and fine-tuned models: asymmetric, binary and softmax cross-entropy, prototype orthogonality.

Conventions. logits [..., N, K] real; targets of the same shape in 0..1, 1 where class k is heard (soft values
interpolate between the two terms). A loss is the mean over rows and classes, float32 [...]: one number for one model
([N, K]), M numbers for a stack of M models ([M, N, K]). It is float32 whatever the logits' type and whatever autocast
says: at half precision 1 - p is 0 from a logit of 8 on. Logarithms come from logsigmoid, so gradients stay finite at
any finite logit.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..features.schema import check_choice


def asymmetric(
    logits: Tensor,
    targets: Tensor,
    gamma_neg: float = 4.0,
    gamma_pos: float = 1.0,
    clip: float = 0.05,
    eps: float = 1e-8,
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119, equations 4 and 7), the mean over rows and classes.

    p = sigmoid(logit), p_neg = min(1 - p + clip, 1):
    -mean( y (1 - p)^gamma_pos log max(p, eps) + (1 - y) (1 - p_neg)^gamma_neg log max(p_neg, eps) ).
    Paper to here: gamma_+, gamma_-, m are gamma_pos, gamma_neg, clip. Its authors sum; the mean keeps the learning rate
    independent of the number of classes. At gamma_neg = gamma_pos = clip = 0 this is binary cross-entropy, up to eps.
    The two powers are constants to the gradient, as in the authors' code (`disable_torch_grad_focal_loss=True`).
    """
    with torch.autocast(logits.device.type, enabled=False):
        x, y = logits.float(), targets.float()
        floor = math.log(eps) if eps > 0 else -math.inf
        log_p, log_q = F.logsigmoid(x), F.logsigmoid(-x)  # q = 1 - p
        with torch.no_grad():
            missed = (x.sigmoid() - clip).clamp_min(0.0)  # 1 - p_neg
            weight_pos = (gamma_pos * log_q).exp()
            weight_neg = missed**gamma_neg if clip > 0 else (gamma_neg * log_p).exp()
        log_p_neg = torch.log1p(-(x.sigmoid() - clip).clamp_min(0.0)) if clip > 0 else log_q
        positive = y * weight_pos * log_p.clamp_min(floor)
        negative = (1 - y) * weight_neg * log_p_neg.clamp_min(floor)
        return -(positive + negative).mean(dim=(-2, -1))


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, the mean over rows and classes."""
    with torch.autocast(logits.device.type, enabled=False):
        costs = F.binary_cross_entropy_with_logits(logits.float(), targets.float(), reduction="none")
        return costs.mean(dim=(-2, -1))


def ce(logits: Tensor, targets: Tensor) -> Tensor:
    """Softmax cross-entropy against each row's targets scaled to sum 1, the mean over rows.

    A row without any label (a no-call clip) says nothing about which class it is and costs nothing.
    """
    with torch.autocast(logits.device.type, enabled=False):
        y = targets.float()
        shares = y / y.sum(dim=-1, keepdim=True).clamp_min(1e-8)
        return -(shares * logits.float().log_softmax(dim=-1)).sum(dim=-1).mean(dim=-1)


def distillation(logits: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """T^2 KL(shares || softmax(logits / T)), the mean over rows (Hinton et al. 2015, arXiv 1503.02531).

    shares [..., N, C]: the teacher's softmax at the same temperature, or sums of several; a row of zeros, which the
    teacher did not hear, costs nothing.
    """
    with torch.autocast(logits.device.type, enabled=False):
        total = shares.float().sum(dim=-1, keepdim=True)
        q = shares.float() / total.clamp_min(1e-8)
        log_p = (logits.float() / temperature).log_softmax(dim=-1)
        return temperature**2 * (torch.xlogy(q, q) - q * log_p).sum(dim=-1).mean(dim=-1)


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
    check_choice("--loss", kind, LOSSES)
    if kind == "asl":
        return asymmetric(logits, targets, gamma_neg, gamma_pos, clip)
    return {"bce": bce, "ce": ce}[kind](logits, targets)


def activation_of(loss: str) -> str:
    """What turns the logits of a network trained with this loss into probabilities: "sigmoid" or "softmax"."""
    return "softmax" if loss == "ce" else "sigmoid"


def probabilities(logits: Tensor, activation: str) -> Tensor:
    """[N, K]: "sigmoid" (any number of classes at once) or "softmax" (exactly one)."""
    return logits.sigmoid() if activation == "sigmoid" else logits.softmax(dim=-1)
