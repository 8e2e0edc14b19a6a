"""Which sums and joins are units of a block: attention in its spellings, layers trained as sums, class tokens."""

import numpy as np
import pytest

from birdprobe.probe.blocks.detection import find_blocks
from tests.graphs import Nodes

WIDTH, TOKENS = 8, 12


class Network(Nodes):
    """Layers over tokens [n, 12, 8] or, for the convolutions, over maps [n, 8, 12, 12]."""

    def dense(self, x):
        return self.add("MatMul", x, self.random(WIDTH, WIDTH))

    def attention(self, x, keys=None):
        q, k, v = self.dense(x), self.dense(keys or x), self.dense(keys or x)
        scores = self.add("MatMul", q, self.add("Transpose", k, perm=[0, 2, 1]))
        return self.dense(self.add("MatMul", self.add("Softmax", scores, axis=-1), v))

    def mlp(self, x):
        return self.dense(self.add("Relu", self.dense(x)))

    def transformer(self, x, name=None):
        x = self.add("Add", x, self.attention(x))
        return self.add("Add", x, self.mlp(x), name=name)

    def conv(self, x, size=3, group=1, **more):
        weight = self.random(WIDTH, WIDTH // group, size, size)
        return self.add("Conv", x, weight, pads=[size // 2] * 4, group=group, **more)

    def inverted(self, x, name=None):
        y = self.add("Relu", self.conv(x, 1))
        y = self.add("Relu", self.conv(y, 3, WIDTH))
        return self.add("Add", x, self.conv(y, 1), name=name)

    def map_attention(self, x, name=None):
        y = self.add("Transpose", self.add("Reshape", x, self.const([0, WIDTH, -1], np.int64)), perm=[0, 2, 1])
        y = self.add("Transpose", self.attention(y), perm=[0, 2, 1])
        return self.add("Add", x, self.add("Reshape", y, self.const([0, WIDTH, 12, 12], np.int64)), name=name)

    def found(self, x, maps=False, opset=17):
        shape = ["n", WIDTH, 12, 12] if maps else ["n", TOKENS, WIDTH]
        pooled = self.add("ReduceMean", x, axes=[2, 3] if maps else [1], keepdims=0)
        self.add("MatMul", pooled, self.random(WIDTH, 3), name="scores")
        return find_blocks(self.model({"audio": shape}, {"scores": ["n", 3]}, opset=opset)).blocks

    def slice(self, x, begin, end):
        return self.add("Slice", x, *(self.const([value], np.int64) for value in (begin, end, 1)))


def tensors(blocks):
    return [block.tensor for block in blocks]


def test_an_inverted_feed_forward_part_is_one_block_with_the_attention_before_it():
    n = Network()
    x = n.add("Relu", n.conv("audio"))
    for i in range(5):
        x = n.inverted(n.map_attention(x) if i > 2 else x, f"end{i}")
    assert tensors(n.found(x, maps=True)) == [f"end{i}" for i in range(5)]


def test_a_squeezeformer_block_is_attention_mlp_convolution_mlp():
    n = Network()
    x = n.dense("audio")
    for i in range(3):
        x = n.transformer(x)
        y = n.add("Transpose", n.dense(x), perm=[0, 2, 1])
        y = n.add("Relu", n.add("Conv", y, n.random(WIDTH, 1, 3), pads=[1, 1], group=WIDTH))
        x = n.add("Add", x, n.dense(n.add("Transpose", y, perm=[0, 2, 1])))
        x = n.add("Add", x, n.mlp(x), name=f"end{i}")
    blocks = n.found(x)
    assert tensors(blocks) == ["end0", "end1", "end2"] and {block.kind for block in blocks} == {"conformer"}


def test_attention_between_blocks_of_full_convolutions_is_a_block_of_its_own():
    n = Network()
    x = n.add("Relu", n.conv("audio"))
    for i in range(3):
        x = n.add("Relu", n.add("Add", x, n.conv(n.add("Relu", n.conv(x)))))
        x = n.map_attention(x, f"attention{i}")
    assert len(n.found(x, maps=True)) == 6


@pytest.mark.parametrize("units, blocks", [(3, 3), (0, 2)])
def test_a_layer_trained_as_a_sum_is_a_block_only_where_nothing_else_is(units, blocks):
    n = Network()
    x = n.add("Relu", n.conv("audio"))
    for _ in range(2):
        x = n.add("Relu", n.add("Add", n.conv(x), n.conv(x, 1)))
    for _ in range(2 * units):
        x = n.add("Add", x, n.conv(n.add("Relu", n.conv(x))))
    assert len(n.found(x, maps=True)) == (2 * blocks if units else blocks)


def test_a_class_token_that_goes_round_a_convolution_makes_no_module():
    n = Network()
    x = n.add("Concat", n.slice("audio", 0, 1), n.dense("audio"), axis=1)  # 13 tokens
    for i in range(3):
        y = n.slice(x, 1, 13)
        y = n.add("Conv", n.add("Transpose", y, perm=[0, 2, 1]), n.random(WIDTH, 1, 3), pads=[1, 1], group=WIDTH)
        x = n.add("Concat", n.slice(x, 0, 1), n.add("Transpose", y, perm=[0, 2, 1]), axis=1)
        x = n.transformer(x, f"end{i}")
    assert tensors(n.found(x)) == ["end0", "end1", "end2"]


def test_a_class_token_that_is_sliced_off_midway_is_no_head():
    n = Network()
    x = n.dense("audio")
    for i in range(3):
        x = n.transformer(x, f"end{i}")
        x = n.add("Concat", n.slice(x, 0, 1), n.add("Relu", n.dense(n.slice(x, 1, 12))), axis=1)
    assert tensors(n.found(x)) == ["end0", "end1", "end2"]


def test_class_attention_layers_are_counted_one_by_one():
    n = Network()
    x = n.dense("audio")
    for _ in range(4):
        x = n.transformer(x)
    token, ends = n.const(np.zeros((1, 1, WIDTH))), []
    for i in range(2):
        if i == 0:
            rows = n.add("Add", n.slice(n.dense(x), 0, 1), token)  # a token for each window
            every = n.add("Concat", rows, x, axis=1)
            token = n.add("Add", n.attention(rows, every), n.const(np.ones((1, 1, WIDTH))))
        else:
            token = n.add("Add", token, n.attention(token, n.add("Concat", token, x, axis=1)))
        token = n.add("Add", token, n.mlp(token), name=f"class{i}")
        ends.append(f"class{i}")
    blocks = n.found(n.add("Concat", token, x, axis=1))
    assert tensors(blocks)[-2:] == ends and len(blocks) == 6


def test_attention_by_a_weighted_sum_over_positions_belongs_to_its_mlp():
    n = Network()
    x = n.add("Relu", n.conv("audio"))
    for i in range(3):
        weights = n.add("Softmax", n.add("Conv", x, n.random(1, WIDTH, 1, 1)), axis=-1)
        context = n.add("ReduceSum", n.add("Mul", weights, n.conv(x, 1)), n.const([3], np.int64))
        x = n.add("Add", x, n.conv(n.add("Mul", n.add("Relu", n.conv(x, 1)), context), 1))
        x = n.add("Add", x, n.conv(n.add("Relu", n.conv(x, 1)), 1), name=f"end{i}")
    blocks = n.found(x, maps=True)
    assert tensors(blocks) == ["end0", "end1", "end2"] and {block.kind for block in blocks} == {"transformer"}


def test_separable_convolutions_in_front_of_modules_are_the_stem():
    n = Network()
    x = n.add("Relu", n.conv("audio"))
    for _ in range(2):
        x = n.add("Relu", n.conv(n.conv(x, 3, WIDTH), 1))
    for i in range(3):
        a = n.add("Relu", n.conv(x))
        both = n.add("Concat", a, n.add("Relu", n.conv(a)), axis=1, name=f"module{i}")
        x = n.add("Relu", n.add("Conv", both, n.random(WIDTH, 2 * WIDTH, 1, 1)))
    assert tensors(n.found(x, maps=True)) == ["module0", "module1", "module2"]


def collecting(n: Network, separable: bool, layers: int = 4):
    """The layers of a WaveNet, or of a Conv-TasNet: (the residual stream behind each, what each gives aside)."""
    x, streams, aside = n.add("Relu", n.conv("audio")), [], []
    for i in range(layers):
        if separable:
            gate = n.add("Relu", n.conv(n.add("Relu", n.conv(x, 1)), 3, WIDTH))
        else:
            gate = n.add("Mul", n.add("Tanh", n.conv(x)), n.add("Sigmoid", n.conv(x)))
        aside.append(n.conv(gate, 1))
        x = n.add("Add", x, n.conv(gate, 1), name=f"end{i}")
        streams.append(x)
    return streams, aside


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("end", ["sum", "stack", "Concat", "stream"])
def test_layers_whose_outputs_the_head_sums_are_units_the_last_one_too(end, separable):
    n = Network()
    streams, aside = collecting(n, separable)
    if end in ("sum", "stream"):
        last = aside[0]
        for i, given in enumerate(aside[1:], 1):
            last = n.add("Add", last, given, name=f"sum{i}")
    else:
        rows = [n.add("Unsqueeze", given, n.const([0], np.int64)) for given in aside] if end == "stack" else aside
        last = n.add("Concat", *rows, axis=0 if end == "stack" else 1, name="joined")
    if end == "stack":
        last = n.add("ReduceSum", last, n.const([0], np.int64), keepdims=0, name="summed")
    head = n.add("Conv", n.add("Relu", last), n.random(WIDTH, WIDTH * (4 if end == "Concat" else 1), 1, 1))
    if end == "stream":
        head = n.add("Add", head, streams[-1])
    blocks = n.found(n.add("Relu", head), maps=True)
    tap = {"sum": "sum3", "stack": "summed", "Concat": "joined", "stream": "end3"}[end]
    assert tensors(blocks) == ["end0", "end1", "end2", tap]
    assert {block.kind for block in blocks} == {"mbconv" if separable else "residual"}


def test_every_reader_of_a_quantised_tensor_has_an_operator_of_its_own():
    """As in QDQ files: what enters a unit forks at the QuantizeLinear, and all depths are read once more at the end."""
    n = Network()
    scale, zero = n.const(0.1), n.const(0, np.uint8)

    def readers(x, count):
        held = n.add("QuantizeLinear", x, scale, zero)
        return [n.add("DequantizeLinear", held, scale, zero) for _ in range(count)]

    depths, now = [], n.add("Relu", n.conv("audio"))
    for i in range(3):
        bare, inside = readers(now, 2) if i == 0 else now
        total = n.add("Add", bare, n.conv(n.add("Relu", n.conv(inside))), name=f"end{i}")
        *now, depth = readers(total, 3)
        depths.append(depth)
    joined = n.add("Relu", n.add("Conv", n.add("Concat", *depths, axis=1), n.random(WIDTH, 3 * WIDTH, 1, 1)))
    blocks = n.found(joined, maps=True)
    assert len(blocks) == 3 and {block.kind for block in blocks} == {"residual"}


def test_bottlenecks_whose_weights_come_of_their_input_with_and_without_a_shortcut():
    n = Network()

    def dynamic(x, context, size=1, group=1):
        shape = [WIDTH, WIDTH // group, size, size]
        made = n.add("MatMul", context, n.random(WIDTH, int(np.prod(shape))))  # for one window, as it is exported
        weights = n.add("Reshape", made, n.const(shape, np.int64))
        return n.add("Conv", x, weights, pads=[size // 2] * 4, group=group)

    now = n.add("Relu", n.conv("audio"))
    for i in range(4):
        context = n.dense(n.add("ReduceMean", now, axes=[2, 3], keepdims=0))
        x = n.add("Relu", dynamic(now, context))
        x = n.add("Relu", dynamic(x, context, 3, WIDTH))
        x = dynamic(x, context)
        now = n.add("Add", now, x, name=f"end{i}") if i % 2 else n.add("Identity", x, name=f"end{i}")
    blocks = n.found(now, maps=True)
    assert len(blocks) == 4 and {block.kind for block in blocks} == {"mbconv"}
