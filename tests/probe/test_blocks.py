"""Blocks are found from structure alone: Perch in every spelling, both torch exporters, optimised graphs."""

import functools
import itertools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from birdprobe.probe.blocks.detection import find_blocks
from birdprobe.probe.graph.load import load
from tests.graphs import FIRST_OF_STAGE, MAPS, STAGES, WIDTHS, Spelling, perch, timm_export

BIRDNET = Path(__file__).parents[3] / "shared/data/birdnet/BirdNET_GLOBAL_6K_V2.4.onnx"
LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
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
