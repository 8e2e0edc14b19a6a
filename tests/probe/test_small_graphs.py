"""Blocks of many families of networks, each as small as it can be."""

import numpy as np
import onnx
import pytest

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from tests.graphs import Nodes


def transformer(layers: int, post: bool = False, mask: bool = False, time_first: bool = False) -> onnx.ModelProto:
    """Frames [N, 20, 16] -> 8-wide tokens -> attention and MLP, one head -> 5 classes.

    `post`: LayerNorm behind the sums, spelled out. `time_first` carries [T, N, D]; `mask` adds a term made from the
    audio to the scores of every layer.
    """
    n, width = Nodes(), 8
    side = n.add("ReduceMax", n.add("Abs", "audio"), axes=[2], keepdims=0)
    x = n.add("MatMul", "audio", n.random(16, width))
    if time_first:
        x = n.add("Transpose", x, perm=[1, 0, 2])

    def norm(x):
        gain, bias = n.const(np.ones(width)), n.const(np.zeros(width))
        if not post:
            return n.add("LayerNormalization", x, gain, bias)
        last = {"axes": [-1]}
        centred = n.add("Sub", x, n.add("ReduceMean", x, **last))
        spread = n.add("ReduceMean", n.add("Pow", centred, n.const(2.0)), **last)
        x = n.add("Div", centred, n.add("Sqrt", n.add("Add", spread, n.const(1e-5))))
        return n.add("Add", n.add("Mul", x, gain), bias)

    def attention(x):
        if time_first:
            x = n.add("Transpose", x, perm=[1, 0, 2])
        q, k, v = (n.add("MatMul", x, n.random(width, width)) for _ in range(3))
        scores = n.add("MatMul", q, n.add("Transpose", k, perm=[0, 2, 1]))
        if mask:
            scores = n.add("Add", scores, n.add("Unsqueeze", side, n.const([1], np.int64)))
        x = n.add("MatMul", n.add("Softmax", scores, axis=-1), v)
        x = n.add("MatMul", x, n.random(width, width))
        return n.add("Transpose", x, perm=[1, 0, 2]) if time_first else x

    def mlp(x):
        x = n.add("MatMul", x, n.random(width, 4 * width))
        erf = n.add("Add", n.add("Erf", n.add("Div", x, n.const(1.414))), n.const(1.0))
        return n.add("MatMul", n.add("Mul", n.add("Mul", x, erf), n.const(0.5)), n.random(4 * width, width))

    for i in range(layers):
        for j, part in enumerate((attention, mlp)):
            name = f"end_{i}_{j}"
            if post:
                x = n.add("Identity", norm(n.add("Add", x, part(x), name=name)), name=f"normed_{i}_{j}")
            else:
                x = n.add("Add", x, part(norm(x)), name=name)
    x = n.add("ReduceMean", x, axes=[0 if time_first else 1], keepdims=0)
    n.add("MatMul", x, n.random(width, 5), name="scores")
    return n.model({"audio": ["n", 20, 16]}, {"scores": ["n", 5]}, opset=17)


@pytest.mark.parametrize("mask", [False, True])
def test_attention_and_mlp_are_one_transformer_block(mask):
    architecture = find_blocks(transformer(4, mask=mask))
    assert [block.tensor for block in architecture.blocks] == [f"end_{i}_1" for i in range(4)]
    assert {(block.kind, block.channels, block.channel_axis, block.map) for block in architecture.blocks} == {
        ("transformer", 8, 2, (20,))
    }
    assert architecture.embedding.channels == 8 and architecture.logits.tensor == "scores"


def test_in_post_norm_the_normalisation_belongs_to_the_block():
    architecture = find_blocks(transformer(4, post=True))
    assert [block.tensor for block in architecture.blocks][:3] == [f"normed_{i}_1" for i in range(3)]
    assert len(architecture.blocks) == 4
    assert architecture.blocks[3].tensor == "normed_3_1"  # the last has no next one: it takes what the others have


def test_tokens_may_come_before_windows():
    architecture = find_blocks(transformer(3, time_first=True))
    assert {(block.shape, block.batch_axis, block.channel_axis, block.map) for block in architecture.blocks} == {
        ((20, 1, 8), 1, 2, (20,))
    }
    assert architecture.embedding.shape == (1, 8)


def convolutions(n: Nodes, x: str, *widths: int, before: int) -> str:
    for width in widths:
        x = n.add("Relu", n.add("Conv", x, n.random(width, before, 3, 3), pads=[1] * 4))
        before = width
    return x


def test_mobilenet_v1_blocks_end_behind_the_pointwise_activation():
    n = Nodes()
    x = convolutions(n, "audio", 8, before=1)
    for _ in range(3):
        x = n.add("Relu", n.add("Conv", x, n.random(8, 1, 3, 3), pads=[1] * 4, group=8))
        x = n.add("Relu", n.add("Conv", x, n.random(8, 8, 1, 1)), name=f"end{len(n.nodes)}")
    x = n.add("Flatten", n.add("GlobalAveragePool", x))
    n.add("Gemm", x, n.random(8, 3), name="scores")
    architecture = find_blocks(n.model({"audio": [1, 1, 16, 16]}, {"scores": [1, 3]}))
    assert [block.kind for block in architecture.blocks] == ["separable"] * 3
    assert all(block.tensor.startswith("end") for block in architecture.blocks)
    assert architecture.stem.tensor == "t1"


def test_a_front_end_of_parallel_spectrograms_is_no_block():
    n = Nodes()
    spectrograms = []
    for _ in range(2):  # re * re + im * im of a Fourier transform spelled as convolutions, twice, stacked
        re, im = (n.add("Conv", "audio", n.random(9, 1, 16), strides=[8]) for _ in range(2))
        power = n.add("Add", n.add("Mul", re, re), n.add("Mul", im, im))
        spectrograms.append(n.add("Unsqueeze", n.add("Log", power), n.const([1], np.int64)))
    x = convolutions(n, n.add("Concat", *spectrograms, axis=1), 8, before=2)
    for i in range(3):
        x = n.add("Add", x, convolutions(n, x, 8, 8, before=8), name=f"end{i}")
    n.add("MatMul", n.add("ReduceMean", x, axes=[2, 3], keepdims=0), n.random(8, 3), name="scores")
    architecture = find_blocks(n.model({"audio": ["n", 1, 800]}, {"scores": ["n", 3]}, opset=17))
    assert [block.tensor for block in architecture.blocks] == ["end0", "end1", "end2"]
    assert architecture.stem.channels == 8


def test_parallel_branches_are_told():
    n = Nodes()
    stem = convolutions(n, "audio", 4, before=1)
    branches = []
    for _ in range(2):
        x = convolutions(n, stem, 4, before=4)
        for _ in range(2):
            x = n.add("Add", x, convolutions(n, x, 4, before=4))
        branches.append(x)
    x = n.add("ReduceMean", n.add("Concat", *branches, axis=1), axes=[2, 3], keepdims=0)
    n.add("MatMul", x, n.random(8, 3), name="scores")
    architecture = find_blocks(n.model({"audio": [1, 1, 8, 8]}, {"scores": [1, 3]}, opset=17))
    assert len(architecture.blocks) == 4
    assert "parallel branches: 1 block does not follow from the one before" in architecture.notes[0]


def test_a_skip_connection_does_not_hide_the_blocks_under_it():
    n = Nodes()
    x = first = convolutions(n, "audio", 4, before=1)
    for i in range(4):
        x = n.add("Add", x, convolutions(n, x, 4, before=4), name=f"end{i}")
    both = n.add("Concat", first, x, axis=1)  # a head that also reads the stem
    n.add("MatMul", n.add("ReduceMean", both, axes=[2, 3], keepdims=0), n.random(8, 3), name="scores")
    architecture = find_blocks(n.model({"audio": [1, 1, 8, 8]}, {"scores": [1, 3]}, opset=17))
    assert [block.tensor for block in architecture.blocks] == [f"end{i}" for i in range(4)]


def test_without_repeated_structure_the_cut_points_are_offered():
    n = Nodes()
    x = "audio"
    for before, after in ((40, 12), (12, 10), (10, 8)):
        x = n.add("Tanh", n.add("MatMul", x, n.random(before, after)), name=f"cut_{after}")
    n.add("MatMul", x, n.random(8, 3), name="scores")
    architecture = find_blocks(n.model({"audio": ["n", 40]}, {"scores": ["n", 3]}))
    assert [(block.kind, block.tensor) for block in architecture.blocks] == [
        ("cut", f"cut_{width}") for width in (12, 10, 8)
    ]
    assert "no repeated structure" in architecture.notes[0]
    assert (architecture.embedding.tensor, architecture.logits.tensor) == ("cut_8", "scores")


def test_softmax_is_not_part_of_the_logits():
    n = Nodes()
    x = convolutions(n, "audio", 4, 4, 4, before=1)
    x = n.add("Gemm", n.add("Flatten", n.add("GlobalAveragePool", x)), n.random(4, 3), name="raw")
    n.add("Softmax", x, name="probabilities", axis=-1)
    architecture = find_blocks(n.model({"audio": [1, 1, 8, 8]}, {"probabilities": [1, 3]}))
    assert architecture.logits.tensor == "raw"
    assert [block.kind for block in architecture.blocks] == ["conv"] * 3


def test_a_model_that_cannot_run_is_bad_input():
    n = Nodes()
    n.add("Frobnicate", "audio", name="y", domain="some.plugin")
    with pytest.raises(InputError, match="cannot be run on one window"):
        find_blocks(n.model({"audio": ["n", 8]}, {"y": ["n", 8]}, domains=["some.plugin"]))
