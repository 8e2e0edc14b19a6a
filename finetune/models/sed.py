"""A detector of sound events on any convolutional backbone of timm: what calls in a window, and when.

    picture [N, 1, F, T] -> timm map [N, C, F', T'] -> GeM over F' -> features a frame [N, T', C]
        -> frame logits [N, T', K], and weights over time -> clip logits [N, K]

Sources: the attention over time is PANNs' decision-level attention (Kong et al. 2020, arXiv 1912.10211) as the SED
models of BirdCLEF have it: bounded scores (tanh) before the softmax over time, the weighted mean taken over logits, the
loss on clip logits and on each class's highest frame. GeM is Radenović et al. 2018 (arXiv 1711.02512), in place of
PANNs' mean over frequency.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...features import InputError
from .network import FrameNetwork
from .timm_backbone import TimmBackbone, about
from .timm_import import import_timm

PICTURE = (128, 501)  # what the front end with 128 mels makes of 5 s
POWER, EPSILON = 3.0, 1e-6  # GeM's power at the start, and the floor under what it is applied to


class FrequencyPool(nn.Module):
    """Generalised mean over frequency: [N, C, F, T] -> [N, C, T], (mean x^p)^(1/p) of x of at least 1e-6; p learns."""

    def __init__(self):
        super().__init__()
        self.power = nn.Parameter(torch.tensor([POWER]))

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=EPSILON).pow(self.power).mean(2).pow(1 / self.power)


class TimeAttention(nn.Module):
    """A map [N, C, F, T] -> frame logits [N, T, K] and clip logits [N, K], their mean weighted over time."""

    def __init__(self, dim: int, n_classes: int, dropout: float):
        super().__init__()
        self.pool = FrequencyPool()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(dim, dim)
        self.attention = nn.Linear(dim, n_classes)
        self.classes = nn.Linear(dim, n_classes)
        for layer in (self.hidden, self.attention, self.classes):  # PANNs' start
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def features(self, tokens: Tensor) -> Tensor:
        """[N, C, F, T] -> [N, T, C], each frame smoothed over its neighbours."""
        x = self.pool(tokens)
        x = F.max_pool1d(x, 3, 1, 1) + F.avg_pool1d(x, 3, 1, 1)
        return self.dropout(F.relu(self.hidden(self.dropout(x).transpose(1, 2))))

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.features(tokens)
        frames = self.classes(x)
        weights = torch.tanh(self.attention(x)).softmax(dim=1)
        return frames, (weights * frames).sum(1)


class SoundEventDetector(TimmBackbone, FrameNetwork):
    """float32 [N, 1, 128, T] -> in evaluation logits [N, K], whose sigmoid is 0.5 sigmoid(clip) + 0.5 sigmoid(highest
    frame); in training [2, N, K], clip logits and those of each class's highest frame, both of which learn.

    dropout: before and after the hidden layer. InputError: a backbone whose last output is no map (transformers).
    """

    def __init__(self, name: str, n_classes: int, *, drop_path: float = 0.0, dropout: float = 0.5):
        check(name)
        super().__init__(name, 0, drop_path=drop_path, picture=PICTURE)
        self.depth += 1  # there is no classifier of timm's
        dim = int(self.net.num_features)
        self.channels_last = last_map(name)[1] != dim
        self.detector = TimeAttention(dim, n_classes, dropout)

    def tokens(self, x: Tensor) -> Tensor:
        """[N, 1, F, T] -> the last map [N, C, F', T']."""
        found = super().tokens(x)
        return found.permute(0, 3, 1, 2) if self.channels_last else found

    def embedding(self, tokens: Tensor) -> Tensor:
        """[N, C], the mean over frames of what both outputs read."""
        return self.detector.features(tokens).mean(1)

    def detect(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Frame logits [N, T', K], clip logits [N, K]."""
        return self.detector(tokens)

    def logits(self, tokens: Tensor) -> Tensor:
        return mean_of_sigmoids(*self.detect(tokens))

    def outputs(self, tokens: Tensor) -> Tensor:
        frames, clip = self.detect(tokens)
        learns = self.detector.training  # it does while the backbone is frozen, too
        return torch.stack([clip, frames.amax(1)]) if learns else mean_of_sigmoids(frames, clip)

    @property
    def classifier(self) -> None:
        """The logits are no matrix product of the embedding."""

    def layer_id(self, name: str) -> int:
        return self.depth + 1 if self.is_head(name) else super().layer_id(name)

    def is_head(self, name: str) -> bool:
        return name.startswith("detector.")

    def load_weights(self, state: dict[str, Tensor], place: str, config: dict | None = None) -> str:
        """The backbone's, from a file with timm's names or from a checkpoint of this member."""
        return super().load_weights({n: v for n, v in state.items() if not n.startswith("detector.")}, place, config)


def mean_of_sigmoids(frames: Tensor, clip: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = 0.5 sigmoid(clip) + 0.5 sigmoid(highest frame): [N, T, K], [N, K] -> [N, K].

    By logarithms, so that it is exact where p itself would be rounded to 0 or 1.
    """
    highest = frames.amax(1)
    return _log_sum(clip, highest) - _log_sum(-clip, -highest)


def _log_sum(a: Tensor, b: Tensor) -> Tensor:
    """log(sigmoid(a) + sigmoid(b)), from operators that ONNX has."""
    a, b = -F.softplus(-a), -F.softplus(-b)
    return torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))


def check(name: str) -> None:
    """InputError unless timm's backbone of this name ends in a map of frequency and time."""
    if about(name).fixed or len(last_map(name)) != 4:
        raise InputError(
            f"sed:{name}: expected a backbone whose last output is a map of frequency and time (a convolutional one, "
            f"such as sed:tf_efficientnet_b0), got one of tokens. Is timm:{name} what you want?"
        )


def last_map(name: str) -> tuple[int, ...]:
    """The shape of a backbone's last output for one PICTURE; nothing is computed."""
    with torch.device("meta"):
        net = import_timm().create_model(name, pretrained=False, num_classes=0, in_chans=1)
        return tuple(net.eval().forward_features(torch.empty(1, 1, *PICTURE)).shape)
