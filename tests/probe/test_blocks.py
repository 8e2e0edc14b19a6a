"""Blocks are found from structure alone: Perch in every spelling, both torch exporters, optimised and odd graphs."""

import functools
import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from birdprobe.features import InputError
from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from tests.graphs import FIRST_OF_STAGE, MAPS, STAGES, WIDTHS, Nodes, Spelling, perch, timm_export

BIRDNET = Path(__file__).parents[3] / "shared/data/birdnet/BirdNET_GLOBAL_6K_V2.4.onnx"
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"


def stages(architecture) -> list[int]:
    """Blocks per stage."""
    return [len(list(group)) for _, group in itertools.groupby(block.stage for block in architecture.blocks)]


def run(model: onnx.ModelProto, *tensors: str) -> list[np.ndarray]:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    copy.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in tensors)
    session = onnxruntime.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    spec = session.get_inputs()[0]
    shape = [n if isinstance(n, int) else 1 for n in spec.shape]
    x = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    return session.run(list(tensors), {spec.name: x})


# --- Perch ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        Spelling(),
        Spelling(scoped=False, se="conv", bn="batchnorm", nhwc=False, exp=False, stale=False, samples="samples"),
        Spelling(scoped=False, bn="none", outputs=("output_0", "output_3", "output_2", "output_1"), batch=1),
    ],
    ids=["as-published", "nchw-batchnorm", "renamed-outputs-fixed-batch"],
)
def test_perch_has_26_blocks_of_the_right_widths_and_maps(spelling):
    model = perch(spelling)
    architecture = find_blocks(model)
    blocks = architecture.blocks
    assert [block.channels for block in blocks] == WIDTHS
    assert [block.map for block in blocks] == MAPS
    assert {block.kind for block in blocks} == {"mbconv"}
    assert stages(architecture) == [blocks for blocks, *_ in STAGES]
    assert [block.name for block in blocks] == [f"block_{i:02d}" for i in range(26)]
    assert all(a.macs < b.macs for a, b in itertools.pairwise(architecture.taps.values()))
    assert (architecture.stem.channels, architecture.stem.map) == (40, (249, 63))
    assert (architecture.embedding.channels, architecture.embedding.map) == (1536, ())
    assert (architecture.logits.channels, architecture.logits.map) == (50, ())
    assert architecture.notes == ()
    kinds = {name: node.op_type for node in model.graph.node for name in node.output}
    affine = {"muladd": "Add", "batchnorm": "BatchNormalization", "none": "Conv"}[spelling.bn]
    for block in blocks:  # the sum that takes the projection; in the first of a stage the projection itself
        assert kinds[block.tensor] == (affine if block.index in FIRST_OF_STAGE else "Add")
        if spelling.scoped:
            assert block.scope.endswith(f"MBConv_{block.index}")


SPELLINGS = [
    Spelling(*choice, outputs=("a", "b", "c", "d"))
    for choice in itertools.product(
        (True, False),
        ("matmul", "conv", "none"),
        ("muladd", "batchnorm", "none"),
        (True, False),
        (True,),
        (True, False),
    )
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=lambda s: f"{s.scoped}-{s.se}-{s.bn}-{s.nhwc}-{s.exp}")
def test_every_spelling_of_the_same_network_gives_the_same_blocks(spelling):
    architecture = find_blocks(perch(spelling, scale=0.1))
    assert [block.map for block in architecture.blocks] == MAPS
    assert [block.channels for block in architecture.blocks] == [max(2, round(w * 0.1)) for w in WIDTHS]
    assert architecture.embedding.channels == 154 and architecture.logits.channels == 50


def test_the_taps_hold_the_numbers_of_the_network():
    model = perch(Spelling(), scale=0.25)
    architecture = find_blocks(model)
    named = [f"jit(infer_fn)/EfficientNet/MBConv_{i}/" for i in range(26)]
    named = [s + ("ProjectBatchNorm/add_1" if i in FIRST_OF_STAGE else "add") for i, s in enumerate(named)]
    assert [block.tensor for block in architecture.blocks] == named
    assert list(architecture.table["tap"]) == list(architecture.taps) and str(architecture).endswith("\n26 blocks")
    embedding, spatial = run(model, architecture.embedding.tensor, "spatial_embedding")
    np.testing.assert_allclose(embedding, spatial.mean((1, 2)), rtol=1e-4)


def test_a_fixed_batch_of_several_windows_is_told_for_one():
    one, several = (find_blocks(perch(Spelling(batch=batch, se="conv"), scale=0.1)) for batch in (1, 3))
    assert several.taps == one.taps and several.inputs == one.inputs


def test_a_headless_perch_has_an_embedding_and_says_that_it_has_no_logits():
    model = perch(Spelling(), scale=0.1)
    keep = [output for output in model.graph.output if output.name == "embedding"]
    del model.graph.output[:]
    model.graph.output.extend(keep)
    architecture = find_blocks(model)
    assert len(architecture.blocks) == 26
    assert architecture.embedding.tensor == "embedding" and architecture.logits is None
    assert "no logits" in architecture.notes[0]


# --- real and published models ----------------------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.skipif(not BIRDNET.exists(), reason="the real BirdNET is not here")
def test_birdnet():
    architecture = find_blocks(load(BIRDNET))
    assert stages(architecture) == [3, 4, 5, 4]
    assert [block.channels for block in architecture.blocks] == [36] * 3 + [72] * 4 + [108] * 5 + [192] * 4
    assert architecture.blocks[11].map == (6, 16)
    assert (architecture.embedding.channels, architecture.logits.channels) == (1024, 6522)
    assert all(f"BLOCK_{s}-{b}" in block.tensor for block, (s, b) in zip(
        architecture.blocks, [(s + 1, b + 1) for s, n in enumerate((3, 4, 5, 4)) for b in range(n)]
    ))  # fmt: skip


@pytest.mark.parametrize(
    "name, kind, expected, embedding, giga_macs",
    [
        ("resnet50", "residual", [3, 4, 6, 3], 2048, 4.09),
        ("densenet121", "dense", [6, 12, 24, 16], 1024, 2.83),
        ("inception_v1", "inception", [1, 1, 3, 1, 1, 1, 1], 1024, 1.43),
        ("inception_v2", "inception", [1, 1, 5, 3], 1024, 2.02),
        ("squeezenet", "fire", [2, 2, 2, 2], 512, 0.35),
        ("shufflenet", "shuffle", [4, 8, 4], 544, 0.125),
        ("vgg19", "conv", [2, 2, 4, 4, 4], 4096, 19.63),
    ],
)
def test_light_models_of_the_onnx_package(name, kind, expected, embedding, giga_macs):
    architecture = find_blocks(load(LIGHT / f"light_{name}.onnx"))
    assert kind in {block.kind for block in architecture.blocks}
    assert stages(architecture) == expected
    assert architecture.embedding.channels == embedding
    assert architecture.logits.channels == 1000
    assert architecture.logits.macs / 1e9 == pytest.approx(giga_macs, rel=0.01)
    assert bool(architecture.notes) == (kind == "conv")
    if name == "squeezenet":
        assert architecture.stem.channels in (64, 96)  # the squeeze convolution belongs to its module


FAST = [("resnet18", 8, [2, 2, 2, 2]), ("mobilenetv2_100", 17, [1, 2, 3, 4, 3, 3, 1])]
SLOW = [
    ("tf_efficientnet_b0", 16, [1, 2, 2, 3, 3, 4, 1]),
    ("tf_efficientnet_b1", 23, [2, 3, 3, 4, 4, 5, 2]),
    ("tf_efficientnet_b3", 26, [2, 3, 3, 5, 5, 6, 2]),
    ("tf_efficientnetv2_s", 40, [2, 4, 4, 6, 9, 15]),
    ("resnet50", 16, [3, 4, 6, 3]),
    ("convnext_tiny", 18, [3, 3, 9, 3]),
    ("vit_base_patch16_224", 12, [12]),
    ("swin_tiny_patch4_window7_224", 12, [2, 2, 6, 2]),
    ("densenet121", 58, [6, 12, 24, 16]),
    ("mobilevit_xs", 16, None),
]


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """timm_export, each model once."""
    folder = tmp_path_factory.mktemp("timm")
    return functools.cache(lambda name, dynamo, size: timm_export(name, folder, dynamo, size))


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize(
    "name, count, expected", [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_timm_models_through_both_exporters(name, count, expected, dynamo, export):
    fixed = any(part in name for part in ("vit", "swin"))
    architecture = find_blocks(export(name, dynamo, None if fixed else 96))
    assert len(architecture.blocks) == count
    assert expected is None or stages(architecture) == expected
    assert architecture.logits.channels == 1000
    assert architecture.embedding.map in ((), (1, 1))


def test_scopes_come_from_either_exporter(export):
    for dynamo in (False, True):
        blocks = find_blocks(export("resnet18", dynamo, 96)).blocks
        assert [block.scope.replace("/", ".").split("layer")[-1] for block in blocks] == [
            f"{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)
        ]


@pytest.mark.parametrize("level", ["EXTENDED", "ALL"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2_100", pytest.param("convnext_atto", marks=pytest.mark.slow),
                                  pytest.param("vit_tiny_patch16_224", marks=pytest.mark.slow),
                                  pytest.param("tf_efficientnet_b0", marks=pytest.mark.slow)])  # fmt: skip
def test_graphs_that_onnx_runtime_has_optimised(name, level, export, tmp_path):
    model = export(name, False, None if "vit" in name else 96)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    plain, optimised = find_blocks(model), find_blocks(load(tmp_path / "optimised.onnx"))
    assert stages(optimised) == stages(plain)
    assert [block.channels for block in optimised.blocks] == [block.channels for block in plain.blocks]
    for a, b in zip(plain.blocks, optimised.blocks):
        assert sorted(a.shape) == sorted(b.shape)  # blocked layouts are declared with padded widths
        assert sorted(a.map) == sorted(b.map)


def test_half_precision_and_external_data(tmp_path):
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = perch(Spelling(nhwc=False), scale=0.1)
    half = convert_float_to_float16(model, keep_io_types=False)
    onnx.save_model(half, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    architecture = find_blocks(load(tmp_path / "m.onnx"))
    assert [block.map for block in architecture.blocks] == MAPS
    assert [block.channels for block in architecture.blocks] == [max(2, round(w * 0.1)) for w in WIDTHS]


# --- other families, as small as they can be --------------------------------------------------------------------------


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
    assert "1 blocks stand in parallel branches" in architecture.notes[0]


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


# --- choosing taps ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def architecture():
    return find_blocks(perch(Spelling(), scale=0.1))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", "block_00"),
        ("-1", "block_25"),
        ("-26", "block_00"),
        ("block_07,logits,3", "block_03 block_07 logits"),
        ("4-6", "block_04 block_05 block_06"),
        ("4:6", "block_04 block_05 block_06"),
        ("-3:-1", "block_23 block_24 block_25"),
        ("24--1", "block_24 block_25"),
        ("block_24-block_25", "block_24 block_25"),
        (" embedding , 1,1, 1:1,", "block_01 embedding"),
        ("logits,stem", "stem logits"),
    ],
)
def test_taps_are_chosen_in_graph_order(architecture, text, expected):
    assert architecture.select(text) == tuple(expected.split())


def test_all_means_blocks_embedding_and_logits(architecture):
    assert architecture.select("all") == (*(f"block_{i:02d}" for i in range(26)), "embedding", "logits")
    assert architecture.select("stem,all")[0] == "stem"
    assert list(architecture.taps) == ["stem", *architecture.select("all")]


@pytest.mark.parametrize("text", ["26", "-27", "6-4", "block_99", "nonsense", "", "1,2,x", "0-26", "3.5"])
def test_unknown_taps_are_told_what_exists(architecture, text):
    with pytest.raises(InputError, match=r"block_00..block_25 \(or 0..25\), stem, embedding, logits"):
        architecture.select(text)


def test_json_has_the_fields_of_the_contract(architecture):
    data = json.loads(json.dumps(architecture.to_json()))
    wanted = {"index", "name", "kind", "stage", "channels", "map", "tensor", "macs"}
    assert all(wanted <= block.keys() for block in data["blocks"]) and len(data["blocks"]) == 26
    assert data["inputs"] == [{"name": "inputs", "shape": [1, 160_000]}]
    assert {"name": "spectrogram", "shape": [1, 500, 128]} in data["outputs"]
    assert data["embedding"]["tensor"] == "embedding" and data["logits"]["tensor"] == "label"
