"""BirdSet's EfficientNet-B1 (Rauch et al., arXiv 2403.10380), under the published tensor names.

The blocks are transformers' `EfficientNetModel`; the published class, `EfficientNetForImageClassification`, is its mean
over the map, dropout and a linear layer, and so is this one. The configuration is google/efficientnet-b1's with one
input channel. The front end is `finetune.frontends.melspec`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...features import InputError
from .batch_norm import BatchNormed
from .published_weights import check_config, load_strict
from .timm_import import import_timm

BLOCKS, WIDTH = 23, 1280
STEM, HEAD = "efficientnet.embeddings.convolution.weight", "classifier.weight"
STEM_SHAPE = (32, 1, 3, 3)
PUBLISHED_HEADS = {9736: "XCL", 411: "XCM"}  # number of labels -> BirdSet's training set
CONFIGURATION: dict[str, Any] = {  # of google/efficientnet-b1; what decides the function that the weights belong to
    "width_coefficient": 1.0,
    "depth_coefficient": 1.1,
    "depth_divisor": 8,
    "hidden_dim": WIDTH,
    "depthwise_padding": [16],  # stride-2 block 16 pads symmetrically: at 240 pixels its map has an odd side
    "squeeze_expansion_ratio": 0.25,
    "hidden_act": "swish",
    "pooling_type": "mean",
    "batch_norm_eps": 1e-3,
    "num_channels": 1,
}


class BirdSetEfficientNet(BatchNormed):
    """dB mel spectrogram float32 [N, 1, 256, 626] (any size) -> logits [N, n_classes].

    drop_path: dropout rate on the last block's residual, growing linearly to it from the first (the published class
    drops single elements here, not whole paths). dropout: before the classifier.
    """

    depth = BLOCKS

    def __init__(self, n_classes: int, *, drop_path: float = 0.2, dropout: float = 0.2):
        super().__init__()
        import_timm()  # transformers, too, needs torchvision's operators declared
        from transformers import EfficientNetConfig, EfficientNetModel

        config = EfficientNetConfig(**CONFIGURATION, image_size=240, drop_connect_rate=drop_path)
        self.efficientnet = EfficientNetModel(config)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(WIDTH, n_classes)
        self.apply(_begin)

    def tokens(self, x: Tensor) -> Tensor:
        """[N, 1, F, T] -> the last map [N, 1280, F / 32, T / 32]."""
        return self.efficientnet.encoder(self.efficientnet.embeddings(x)).last_hidden_state

    def embedding(self, tokens: Tensor) -> Tensor:
        """[N, 1280], the mean over the map, which transformers' AvgPool2d(1280, ceil_mode=True) is, too."""
        return tokens.mean((2, 3))

    def logits(self, tokens: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.embedding(tokens)))

    def layer_id(self, name: str) -> int:
        """BirdSet trains all layers at one rate."""
        return self.depth + 1

    def is_head(self, name: str) -> bool:
        return name.startswith("classifier.")

    def load_weights(self, state: dict[str, Tensor], place: str, config: dict | None = None) -> str:
        """Everything but the head from a file with the published names; says what became of the head.

        config: the config.json beside the file. InputError: timm's names, another stem or width of the head
        (transformers would quietly start those afresh), another architecture, any tensor missing, extra or misshapen.
        """
        if "conv_stem.weight" in state:
            raise InputError(f"{place}: expected BirdSet's tensor names, got timm's. Is it for tf_efficientnet_b1?")
        check_config(config or {}, CONFIGURATION, f"{place}: config.json")
        state = {name.removeprefix("model."): tensor for name, tensor in state.items()}
        check_shape(state, STEM, STEM_SHAPE, place)
        labels = check_shape(state, HEAD, (None, WIDTH), place)[0]
        load_strict(self, self.settled(state), place, drop=("classifier.",), prefixes=())
        known = f" ({PUBLISHED_HEADS[labels]})" if labels in PUBLISHED_HEADS else ""
        return f"head of {labels:,} labels{known} replaced by one of {self.classifier.out_features:,}"


def check_shape(state: dict[str, Tensor], name: str, wanted: tuple[int | None, ...], place: str) -> tuple[int, ...]:
    """The shape of a tensor that has to be there; None in `wanted` is any size."""
    found = tuple(state[name].shape) if name in state else None
    if found is None or len(found) != len(wanted) or any(w not in (None, f) for f, w in zip(found, wanted)):
        text = "x".join("?" if size is None else str(size) for size in wanted)
        has = "nothing" if found is None else "x".join(map(str, found))
        raise InputError(f"{place}: {name}: expected {text}, got {has}. Another model, or one for RGB pictures?")
    return found


@torch.no_grad()
def _begin(module: nn.Module) -> None:
    """EfficientNet's own initial weights. transformers draws BatchNorm's scales from N(0, 0.02), which 23 blocks of
    gates turn into zeros: from there nothing learns."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        module.weight.normal_(0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            module.bias.zero_()
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
    elif isinstance(module, nn.Linear):
        bound = 1.0 / math.sqrt(module.out_features)
        module.weight.uniform_(-bound, bound)
        module.bias.zero_()
