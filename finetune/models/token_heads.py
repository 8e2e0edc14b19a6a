"""The two heads that read a ViT's tokens instead of their mean: an attentive probe and a prototypical one.

On frozen Bird-MAE the pooled vector is a very poor feature (HSN cmAP 12 %, Rauch et al. 2025, arXiv 2504.12880), these
two are not (48 and 50 %).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PROTOTYPES = 20  # a class
SHAPE = (8, 32)  # of the map before it is enlarged
MARGIN = 1.01  # keeps the activation below 1
EPSILON = 1e-4  # the two constant channels of patches and prototypes, and under every square root
BIAS = -2.0  # of the prototypes' last layer at the start; its weights start at 1
LEARNING_RATE = 0.04  # published, for the prototypes alone; their last layer has the recipe's


class AttentiveHead(nn.Module):
    """Attentive probe: one learned query looks at the patches [N, 256, D]; then `fc_norm` and a linear layer."""

    def __init__(self, dim: int, heads: int, n_classes: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.empty(1, 1, dim))
        self.k = nn.Linear(dim, dim, bias=False)
        self.v = nn.Linear(dim, dim, bias=False)
        self.linear = nn.Linear(dim, n_classes)
        nn.init.trunc_normal_(self.query, std=0.02)

    def pool(self, patches: Tensor) -> Tensor:
        """[N, 256, D] -> [N, D]"""
        N, _, D = patches.shape

        def split(x: Tensor) -> Tensor:  # [N, t, D] -> [N, heads, t, D / heads]
            return x.view(x.shape[0], -1, self.heads, D // self.heads).transpose(1, 2)

        query = split(self.query).expand(N, -1, -1, -1)
        pooled = F.scaled_dot_product_attention(query, split(self.k(patches)), split(self.v(patches)))
        return pooled.transpose(1, 2).reshape(N, D)


class PrototypeHead(nn.Module):
    """Prototypical probe (AudioProtoPNet, Heinrich et al. 2024, as Bird-MAE uses it): [N, 257, D] -> [N, C].

    A window's evidence for a class is how near its nearest patch comes to each of the class's 20 prototypes:
    logit_c = sum_j relu(w_cj) a_cj + b_c with a_cj the largest cosine over the map, cut at 0. The map is
    z = patch - cls, shown as [D, 8, 32] and enlarged to [D, 16, 64]. Published quirk: the tokens, which run over
    32 x 8, are reshaped to 8 x 32 as they stand, so neighbours in this map are not neighbours in the picture. The loss
    that keeps a class's prototypes apart is `losses.orthogonality`.
    """

    def __init__(self, dim: int, n_classes: int):
        super().__init__()
        self.prototypes = nn.Parameter(torch.empty(n_classes, PROTOTYPES, dim))
        self.weight = nn.Parameter(torch.empty(n_classes, PROTOTYPES))
        self.bias = nn.Parameter(torch.empty(n_classes))
        self.reset()

    def activations(self, tokens: Tensor) -> Tensor:
        """Normalised tokens [N, 257, D] -> [N, C, 20] in [0, 1): relu(cosine) / 1.01, the largest over the map.

        Published are patches of length 64 and a division by 64 * 1.01: the 64 cancels.
        """
        N, _, D = tokens.shape
        z = (tokens[:, 1:] - tokens[:, :1]).transpose(1, 2).reshape(N, D, *SHAPE)
        z = F.interpolate(z, scale_factor=2.0, mode="bilinear", align_corners=False).flatten(2)  # [N, D, 1024]
        z = torch.cat([z, torch.full_like(z[:, :2], EPSILON)], dim=1)  # keeps a zero patch defined
        z = z / (z.square().sum(1, keepdim=True) + EPSILON).sqrt()
        p = self.prototypes.flatten(0, 1)  # [C * 20, D]
        p = torch.cat([p, torch.full_like(p[:, :2], EPSILON)], dim=1)
        p = p / ((p.square().sum(1, keepdim=True) + EPSILON).sqrt() + EPSILON)
        activation = F.relu((p @ z).amax(2) / MARGIN)  # relu after the maximum, which it does not change
        return activation.view(N, -1, PROTOTYPES)

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalised tokens [N, 257, D] -> logits [N, C]"""
        return (F.relu(self.weight) * self.activations(tokens)).sum(2) + self.bias

    def reset(self) -> None:
        nn.init.uniform_(self.prototypes)
        nn.init.ones_(self.weight)
        nn.init.constant_(self.bias, BIAS)
