"""Bird-MAE (Rauch et al. 2025, arXiv 2504.12880): a ViT over log-mel patches, with the official weight names.

Its blocks are timm's, whose names the published weights have; `token_heads` has the two heads that read tokens.
Published checkpoints (12 * depth + 8 tensors: 152 Base, 296 Large, 392 Huge) load strictly through
`finetune.models.published_weights`; everything that they do not hold lies under `head.`. Three quirks of the published
network are kept, because its weights were trained with them: the position embedding's grid, the mean over raw tokens,
and the prototypes' map.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...features.schema import check_choice
from ..losses import orthogonality
from .network import Network
from .published_weights import check_config, load_strict
from .timm_import import import_timm
from .token_heads import LEARNING_RATE, AttentiveHead, PrototypeHead

TIME, MELS, PATCH = 512, 128, 16  # frames, mel bands; the patch is 16x16 in every size, Huge too
GRID = (TIME // PATCH, MELS // PATCH)  # (32, 8): token i shows time i // 8, mel i % 8
PATCHES = GRID[0] * GRID[1]  # 256; with the cls token in front 257
MLP_RATIO = 4
EPS = 1e-6  # of every LayerNorm
HEAD_STD = 0.02  # of a fresh classifier; ours: at the published 2e-5 a network without a checkpoint idles for 45 steps
PRETRAINED_HEAD_STD = 2e-5  # published, on pretrained blocks
HEADS = ("plain", "attentive", "prototype")


@dataclass(frozen=True)
class Size:
    """Blocks, channels, attention heads."""

    depth: int
    dim: int
    heads: int


SIZES = {
    "base": Size(12, 768, 12),  # 85.3 M parameters
    "large": Size(24, 1024, 16),  # 302.6 M
    "huge": Size(32, 1280, 16),  # 630 M
    "tiny": Size(4, 128, 4),  # ours, not published: for tests and CPUs
}


def position_embedding(dim: int) -> Tensor:
    """The fixed sin-cos table [1, 257, dim], the cls row zero: what a network without a checkpoint starts from.

    Published quirk: built for a grid of 8 x 32 while the tokens run over 32 x 8, so row r encodes h = r // 32 and
    w = r % 32, not the patch's time and mel. Pretraining had it so. The first half of the channels encodes w, the
    second h; a half is dim/4 sines, then dim/4 cosines, of frequency 10000^(-k / (dim/4)).
    """
    row = torch.arange(PATCHES, dtype=torch.float64)
    h, w = row // GRID[0], row % GRID[0]
    omega = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    halves = [f(at[:, None] * omega) for at in (w, h) for f in (torch.sin, torch.cos)]
    table = torch.cat(halves, dim=1)  # [256, dim]
    return torch.cat([torch.zeros(1, dim), table.float()])[None]


class PatchEmbed(nn.Module):
    """[N, 1, 512, 128] -> [N, 256, D], time-major. `proj.weight` [D, 1, 16 (time), 16 (mel)]."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(1, dim, PATCH, PATCH)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class IdleNorm(nn.Module):
    """A LayerNorm's weights that the file holds and the chosen head does not read: loaded, saved, never trained.

    Buffers, not parameters: no optimiser, no thawing and no data-parallel wrapper looks for their gradients.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("weight", torch.ones(dim))
        self.register_buffer("bias", torch.zeros(dim))


class BirdMAE(Network):
    """Bird-MAE with a head: normalised log-mel float32 [N, 1, 512, 128] -> logits float32 [N, n_classes].

    size: one of `SIZES`. head: "plain" (mean of the raw patch tokens, `fc_norm`, linear), "attentive" (an attentive
    probe in the mean's place), "prototype" (`norm`, then prototypes). drop_path: rate of the last block, rising
    linearly from 0; only in training.

    The residual stream stays in float32 under autocast, and `Mixed` leaves pooling and heads out of it: Large has a
    channel of 2,000 to 4,600.
    """

    head: PrototypeHead | AttentiveHead | nn.Linear
    pos_embed: Tensor

    def __init__(self, n_classes: int, size: str = "base", head: str = "plain", drop_path: float = 0.1):
        super().__init__()
        import_timm()
        from timm.models.vision_transformer import Block

        depth, dim, heads = SIZES[size].depth, SIZES[size].dim, SIZES[size].heads
        self.size, self.depth, self.dim, self.kind = size, depth, dim, head
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.register_buffer("pos_embed", position_embedding(dim))  # fixed, so no parameter; saved and loaded
        self.patch_embed = PatchEmbed(dim)
        norm: Any = partial(nn.LayerNorm, eps=EPS)
        self.blocks = nn.ModuleList(
            Block(dim, heads, MLP_RATIO, qkv_bias=True, drop_path=drop_path * i / (depth - 1), norm_layer=norm)
            for i in range(depth)
        )
        prototype = head == "prototype"
        self.norm = nn.LayerNorm(dim, EPS) if prototype else IdleNorm(dim)
        self.fc_norm = IdleNorm(dim) if prototype else nn.LayerNorm(dim, EPS)
        if prototype:
            self.head = PrototypeHead(dim, n_classes)
        elif head == "attentive":
            self.head = AttentiveHead(dim, heads, n_classes)
        else:
            self.head = nn.Linear(dim, n_classes)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """The starting weights: MAE's (He et al. 2022), and a head that the blocks can hear."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.view(self.dim, -1))
        if self.patch_embed.proj.bias is not None:
            nn.init.zeros_(self.patch_embed.proj.bias)
        nn.init.normal_(self.cls_token, std=0.02)
        if (classifier := self.classifier) is not None:
            nn.init.trunc_normal_(classifier.weight, std=HEAD_STD)

    @property
    def classifier(self) -> nn.Linear | None:
        """The last matrix product; None for prototypes."""
        if isinstance(self.head, PrototypeHead):
            return None
        return self.head.linear if isinstance(self.head, AttentiveHead) else self.head

    # --- forward, in steps that can be called one by one ---

    def embed(self, x: Tensor) -> Tensor:
        """[N, 1, 512, 128] -> tokens before the first block [N, 257, D], the cls token first."""
        if not torch.jit.is_tracing() and x.shape[1:] != (1, TIME, MELS):  # a trace would warn of the comparison
            raise ValueError(f"input: expected [N, 1, {TIME}, {MELS}], got {list(x.shape)}")
        cls = self.cls_token.expand(x.shape[0], -1, -1)
        return torch.cat([cls, self.patch_embed(x).float()], dim=1) + self.pos_embed

    def tokens(self, x: Tensor) -> Tensor:
        """[N, 1, 512, 128] -> the last block's raw output [N, 257, D] (no norm)."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return x

    def embedding(self, tokens: Tensor) -> Tensor:
        """Raw tokens [N, 257, D] -> one vector a window [N, D]: what enters the linear layer (plain and attentive
        heads); the prototype head has no such vector, there it is the mean of the normalised patch tokens."""
        if isinstance(self.head, PrototypeHead):
            return self.norm(tokens)[:, 1:].mean(1)
        patches = tokens[:, 1:]
        pooled = self.head.pool(patches) if isinstance(self.head, AttentiveHead) else patches.mean(1)
        return self.fc_norm(pooled)  # published: no norm before the mean, `norm` itself stays unused

    def logits(self, tokens: Tensor) -> Tensor:
        """Raw tokens [N, 257, D] -> logits [N, n_classes]."""
        if self.classifier is None:
            return self.head(self.norm(tokens))
        return self.classifier(self.embedding(tokens))

    # --- what the training loop asks ---

    def layer_id(self, name: str) -> int:
        """Depth of a parameter for layer-wise learning rates: 0 cls, positions and patches; block i -> i + 1; norms
        and head depth + 1. KeyError for a name that is none of this network's."""
        first, _, rest = name.partition(".")
        if first in ("cls_token", "pos_embed", "patch_embed"):
            return 0
        if first == "blocks":
            return int(rest.partition(".")[0]) + 1
        if first in ("norm", "fc_norm", "head"):
            return self.depth + 1
        raise KeyError(name)

    def is_head(self, name: str) -> bool:
        """Whether a parameter trains while the backbone is frozen: the head, and `fc_norm`, which pretraining never
        touched."""
        return name.startswith(("head.", "fc_norm."))

    def rates(self, prototypes: float = LEARNING_RATE) -> dict[str, float]:
        """Parameters with a learning rate of their own, for `schedule.parameter_groups`: the prototypes, if any."""
        return {"head.prototypes": prototypes} if isinstance(self.head, PrototypeHead) else {}

    def extra_loss(self) -> Tensor | None:
        """Added to the loss: the prototypes' orthogonality; None for the other heads."""
        return orthogonality(self.head.prototypes) if isinstance(self.head, PrototypeHead) else None

    def load_weights(self, state: dict[str, Tensor], place: str, config: dict | None = None) -> str:
        """Everything but the head from a file with the published names; says what was left out. The head starts anew.

        config: the config.json beside it. InputError: another size's configuration; a tensor missing, extra or
        misshapen. `fc_norm` is loaded as well: untouched by pretraining it is the identity.
        """
        if config is not None:
            check_config(config, self.published_config(), place)
        dropped = load_strict(self, state, place)
        if self.classifier is not None:
            nn.init.trunc_normal_(self.classifier.weight, std=PRETRAINED_HEAD_STD)
        return f"{len(state) - len(dropped)} tensors loaded, {len(dropped)} left out, a fresh {self.kind} head"

    def published_config(self) -> dict:
        """What a published checkpoint's config.json says of this size."""
        size = SIZES[self.size]
        return {
            "img_size_x": TIME,
            "img_size_y": MELS,
            "patch_size": PATCH,
            "in_chans": 1,
            "embed_dim": size.dim,
            "depth": size.depth,
            "num_heads": size.heads,
            "mlp_ratio": MLP_RATIO,
            "qkv_bias": True,
            "qk_norm": False,
            "init_values": None,
            "norm_layer_eps": EPS,
        }


def build(size: str, n_classes: int, *, head: str = "plain", drop_path: float = 0.1) -> BirdMAE:
    """`BirdMAE` of this size. InputError: a head that it does not have."""
    check_choice("head", head, HEADS)
    return BirdMAE(n_classes, size, head, drop_path)
