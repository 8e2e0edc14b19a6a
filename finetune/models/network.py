"""What the parts of a member have to offer, whatever library they come from; where half precision must not be."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class Frontend(nn.Module, ABC):
    """Waveform float32 [N, S] -> the network's input float32 [N, 1, F, T], in two steps between which one augments."""

    @abstractmethod
    def raw(self, waveform: Tensor) -> Tensor:
        """The spectrogram in its own unit."""

    @abstractmethod
    def finish(self, raw: Tensor) -> Tensor:
        """Padded and normalised as the network wants it."""

    def forward(self, waveform: Tensor) -> Tensor:
        return self.finish(self.raw(waveform))


class Network(nn.Module, ABC):
    """The front end's pictures -> logits [N, K] by way of tokens. depth: how many layers learn at rates of their own.

    A network whose logits are one matrix product of the embedding has it as `classifier`. In training it may give M
    sets of logits, [M, N, K]: the loss is the sum of their losses.
    """

    depth: int

    @abstractmethod
    def tokens(self, x: Tensor) -> Tensor:
        """The last map, or the tokens after the last block."""

    @abstractmethod
    def embedding(self, tokens: Tensor) -> Tensor:
        """[N, D], what the classifier reads."""

    @abstractmethod
    def logits(self, tokens: Tensor) -> Tensor:
        """[N, K]."""

    def outputs(self, tokens: Tensor) -> Tensor:
        """[N, K], or in training [M, N, K]."""
        return self.logits(tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(self.tokens(x))

    def tracked(self) -> AbstractContextManager[None]:
        """Around a forward and its backward in training: running statistics, if there are any, follow the batch."""
        return nullcontext()

    @abstractmethod
    def layer_id(self, name: str) -> int:
        """Of a parameter: 0 (stem) .. depth + 1 (head)."""

    @abstractmethod
    def is_head(self, name: str) -> bool:
        """Whether a parameter learns while the rest is frozen."""

    @abstractmethod
    def load_weights(self, state: dict[str, Tensor], place: str, config: dict | None = None) -> str:
        """Load published weights; what was done to fit them, in words."""

    def extra_loss(self) -> Tensor | None:
        """What the network adds to the loss of its logits; only Bird-MAE's prototypes do."""
        return None

    def rates(self, prototypes: float) -> dict[str, float]:
        """Parameters with a published learning rate of their own; only Bird-MAE's prototypes have one."""
        return {}


class FrameNetwork(Network):
    """A network that says when, too: the sigmoid of its logits is 0.5 sigmoid(clip) + 0.5 sigmoid(highest frame)."""

    @abstractmethod
    def detect(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Frame logits float32 [N, T, K], frames evenly over the window, and clip logits float32 [N, K]."""


class Mixed(nn.Module):
    """A network as it is trained: its tokens under autocast to `dtype`, pooling and heads in float32.

    The networks know nothing of it, so each is one graph to a compiler, the same in training and evaluation. dtype:
    None computes everything in float32.
    """

    def __init__(self, network: Network, dtype: torch.dtype | None):
        super().__init__()
        self.network, self.dtype = network, dtype

    def tokens(self, x: Tensor) -> Tensor:
        """`network.tokens`, float32."""
        if self.dtype is None:
            return self.network.tokens(x)
        with torch.autocast(x.device.type, self.dtype):
            return self.network.tokens(x).float()

    def forward(self, x: Tensor) -> Tensor:
        return self.network.outputs(self.tokens(x))


def float32(device: torch.device) -> AbstractContextManager:
    """A context without autocast; no context at all where none is on, so that an exported graph carries no trace of it.

    It does not convert: what comes in as bfloat16 wants `.float()` inside.
    """
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
