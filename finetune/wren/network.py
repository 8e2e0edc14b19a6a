"""A miniature of Perch v2: its contract, its front end, its 26 MBConv blocks at a quarter of the width.

EfficientNet-B3 (Tan & Le 2019; V1 MBConv with squeeze-excite), on the log-mel map as a picture of one channel.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...features.files import replacing
from ..frontends.logmel import WINDOW_SAMPLES, PerchLogMel

# expand, channels, blocks, kernel, stride; Perch v2 has 24, 32, 48, 96, 136, 232, 384 channels
STAGES = (
    (1, 8, 2, 3, 1),
    (6, 8, 3, 3, 2),
    (6, 12, 3, 5, 2),
    (6, 24, 5, 3, 2),
    (6, 36, 5, 5, 1),
    (6, 60, 6, 5, 2),
    (6, 96, 2, 3, 1),
)
STEM, HEAD = 12, 384  # channels; Perch v2: 40 and 1,536
SQUEEZE = 4  # squeeze-excite: a quarter of the block's input, at least 4
OUTPUTS = ("embedding", "spatial_embedding", "spectrogram", "label")
OPSET = 18


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, padding: int | None = None):
    padding = kernel // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class SqueezeExcite(nn.Module):
    """Each channel times a gate from all channels' means: [N, C, T, F] -> the same."""

    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(self.act(self.reduce(self.pool(x)))))


class MBConv(nn.Module):
    """Expand 1x1, depthwise, squeeze-excite, project 1x1; the input is added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int):
        super().__init__()
        wide = inputs * expand
        self.expand = _conv(inputs, wide, 1) if expand > 1 else None
        self.depthwise = _conv(wide, wide, kernel, stride, groups=wide)
        self.excite = SqueezeExcite(wide, max(4, inputs // SQUEEZE))
        self.project = _conv(wide, outputs, 1)
        self.act = nn.SiLU()
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.act(self.expand(x))
        y = self.project(self.excite(self.act(self.depthwise(y))))
        return x + y if self.residual else y


class Miniature(nn.Module):
    """`inputs` float32 [N, 160000] -> embedding [N, 384], spatial_embedding [N, 16, 4, 384], spectrogram
    [N, 500, 128], label [N, classes] (raw logits). The embedding is the mean of the spatial one.

    Training feeds `from_log_mel`, which takes a log-mel [N, T, 128] of any length."""

    def __init__(self, classes: int, dropout: float = 0.2):
        super().__init__()
        self.frontend = PerchLogMel()
        self.stem = _conv(1, STEM, 3, 2, padding=0)  # VALID: 500x128 -> 249x63
        blocks, channels = [], STEM
        for expand, outputs, repeats, kernel, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(MBConv(channels, outputs, expand, kernel, stride if repeat == 0 else 1))
                if repeat == 0 and stride == 1:  # the first block of a stage never adds its input
                    blocks[-1].residual = False
                channels = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = _conv(channels, HEAD, 1)
        self.act = nn.SiLU()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(HEAD, classes)

    def spatial(self, log_mel: Tensor, pooled: list[Tensor] | None = None) -> Tensor:
        """[N, T, 128] -> [N, 384, T', 4]; `pooled`, when given, receives every block's mean over the map."""
        x = self.act(self.stem(log_mel.unsqueeze(1)))
        for block in self.blocks:
            x = block(x)
            if pooled is not None:
                pooled.append(x.mean((2, 3)))
        return self.act(self.head(x))

    def from_log_mel(self, log_mel: Tensor) -> Tensor:
        """Logits [N, classes] of a log-mel [N, T, 128]."""
        return self.classifier(self.dropout(self.spatial(log_mel).mean((2, 3))))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        spectrogram = self.frontend(inputs)
        spatial = self.spatial(spectrogram).permute(0, 2, 3, 1)
        embedding = spatial.mean((1, 2))
        return embedding, spatial, spectrogram, self.classifier(embedding)


def folded(net: Miniature) -> Miniature:
    """A copy in inference mode with every BatchNorm inside its convolution: same outputs, fewer nodes."""
    copy = Miniature(net.classifier.out_features)
    copy.load_state_dict(net.state_dict())
    copy.eval()

    def fold(parent: nn.Module) -> None:
        for name, child in parent.named_children():
            if isinstance(child, nn.Sequential):
                convolution, norm = child[0], child[1]
                assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            else:
                fold(child)

    fold(copy)
    return copy


def write_onnx(net: Miniature, path: Path) -> Path:
    """One ONNX file with a dynamic batch, opset 18, weights inside; replaced whole, never half-written."""
    path = Path(path)
    with replacing(path) as fresh:
        torch.onnx.export(
            folded(net),
            (torch.zeros(2, WINDOW_SAMPLES),),
            str(fresh),
            input_names=["inputs"],
            output_names=list(OUTPUTS),
            dynamic_axes={name: {0: "batch"} for name in ("inputs", *OUTPUTS)},
            opset_version=OPSET,
            dynamo=False,
        )
    return path
