"""Encoder-decoders without residual units: one block for each stage between two changes of scale."""

import numpy as np
import pytest

from birdprobe.probe.blocks.detection import find_blocks
from tests.graphs import Nodes

SCALE = [1, 1, 2, 2]


class UNet(Nodes):
    """A U-Net over [n, 1, 32, 32] with `depth` steps down and up.

    convolutions: in each stage. join: Add or Concat. up: Resize or ConvTranspose. strided: the first convolution of a
    stage shrinks the map, not a pooling. coordinates: a constant channel joins every map on the way down. bottom: what
    the smallest map goes through besides.
    """

    def __init__(self, depth=3, convolutions=2, join="Concat", up="Resize", strided=False, coordinates=False,
                 bottom="", seed=0):  # fmt: skip
        super().__init__(seed)
        x, before, maps = "audio", 1, []
        for level in range(depth + 1):
            if level and not strided:
                x = self.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            if coordinates:
                side = 32 >> level
                x, before = self.add("Concat", x, self.const(np.zeros((1, 1, side, side))), axis=1), before + 1
            x, before = self.stage(x, before, 4 << level, convolutions, 2 if level and strided else 1), 4 << level
            maps.append(x)
        x = self.bottom(x, before, bottom)
        for level in reversed(range(depth)):
            width = 4 << level
            if up == "Resize":
                x = self.add("Resize", x, "", self.const(SCALE), mode="nearest")
                x = self.conv(x, before, width)
            else:
                x = self.add("ConvTranspose", x, self.random(before, width, 2, 2), strides=[2, 2])
            x = self.add("Concat", x, maps[level], axis=1) if join == "Concat" else self.add("Add", x, maps[level])
            x, before = self.stage(x, 2 * width if join == "Concat" else width, width, convolutions), width
        self.add("Sigmoid", self.add("Conv", x, self.random(3, before, 1, 1)), name="scores")

    def conv(self, x, before, after, stride=1):
        x = self.add("Conv", x, self.random(after, before, 3, 3), pads=[1] * 4, strides=[stride] * 2)
        return self.add("Relu", x)

    def stage(self, x, before, after, convolutions, stride=1):
        for _ in range(convolutions):
            x, before, stride = self.conv(x, before, after, stride), after, 1
        return x

    def bottom(self, x, width, kind):
        if kind == "residual":
            for _ in range(3):
                x = self.add("Add", x, self.stage(x, width, width, 2))
        if kind == "attention":  # over time, the other axis spanned by a convolution and repeated afterwards
            side = self.const([1, 1, 4, 1], np.int64)
            y = self.add("Relu", self.add("Conv", x, self.random(width, width, 4, 1)))
            y = self.add("Transpose", self.add("Squeeze", y, self.const([2], np.int64)), perm=[0, 2, 1])
            q, k, v = (self.add("MatMul", y, self.random(width, width)) for _ in range(3))
            scores = self.add("Softmax", self.add("MatMul", q, self.add("Transpose", k, perm=[0, 2, 1])), axis=-1)
            y = self.add("Transpose", self.add("MatMul", scores, v), perm=[0, 2, 1])
            y = self.add("Tile", self.add("Unsqueeze", y, self.const([2], np.int64)), side)
            x = self.add("Add", x, y)
        return x

    def found(self):
        return find_blocks(self.model({"audio": ["n", 1, 32, 32]}, {"scores": ["n", 3, 32, 32]}))


@pytest.mark.parametrize("options", [
    {}, {"convolutions": 1}, {"up": "ConvTranspose"}, {"strided": True}, {"join": "Add"}, {"coordinates": True},
    {"join": "Add", "convolutions": 1, "strided": True, "up": "ConvTranspose"},
])  # fmt: skip
def test_a_stage_is_a_block_however_it_is_made(options):
    architecture = UNet(**options).found()
    assert [block.kind for block in architecture.blocks] == ["down"] * 4 + ["up"] * 3
    assert [block.channels for block in architecture.blocks] == [4, 8, 16, 32, 16, 8, 4]
    assert [block.map for block in architecture.blocks] == [(s, s) for s in (32, 16, 8, 4, 8, 16, 32)]
    assert architecture.logits.channels == 3
    assert "encoder-decoder" in architecture.notes[0]


def test_the_bottom_with_its_attention_is_one_block():
    blocks = UNet(join="Add", convolutions=1, bottom="attention", coordinates=True).found().blocks
    assert [block.kind for block in blocks] == ["down"] * 3 + ["attention"] + ["up"] * 3


def test_residual_units_on_several_scales_are_the_blocks():
    n = UNet(depth=2, convolutions=1, bottom="residual")
    assert len(n.found().blocks) == 5  # on one scale they belong to its stage


def test_one_pooled_skip_is_no_encoder_decoder():
    n = Nodes()
    x = n.add("Relu", n.add("Conv", "audio", n.random(4, 1, 3, 3), pads=[1] * 4))
    for i in range(3):  # attention at half the scale inside a residual unit
        y = n.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        y = n.add("Relu", n.add("Conv", y, n.random(4, 4, 3, 3), pads=[1] * 4))
        x = n.add("Add", x, n.add("Resize", y, "", n.const(SCALE), mode="nearest"), name=f"end{i}")
    n.add("MatMul", n.add("ReduceMean", x, n.const([2, 3], np.int64), keepdims=0), n.random(4, 3), name="scores")
    architecture = find_blocks(n.model({"audio": ["n", 1, 16, 16]}, {"scores": ["n", 3]}))
    assert [block.tensor for block in architecture.blocks] == ["end0", "end1", "end2"]
