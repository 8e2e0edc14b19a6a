"""Reading ONNX files: errors that name the cause, and the data-flow view on which the block finder stands."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.blocks.regions import closed_region
from birdprobe.probe.graph.dataflow import Graph
from birdprobe.probe.graph.load import load
from birdprobe.probe.graph.shapes import measure, window_shape
from tests.graphs import Nodes


def small(**inputs) -> onnx.ModelProto:
    nodes = Nodes()
    for name in inputs or {"audio": None}:
        x = nodes.add("MatMul", name, nodes.random(8, 4))
    nodes.add("Relu", x, name="y")
    return nodes.model(inputs or {"audio": ["n", 8]}, {"y": ["n", 4]})


def saved(tmp_path, model) -> str:
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def test_load_returns_the_model_without_recorded_shapes(tmp_path):
    model = small()
    model.graph.value_info.append(helper.make_tensor_value_info("t0", TensorProto.FLOAT, [99, 99]))
    loaded = load(saved(tmp_path, model))
    assert not loaded.graph.value_info  # stale ones are common
    assert [node.op_type for node in loaded.graph.node] == ["MatMul", "Relu"]


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "0 bytes"),
        (b"just some text, no model\n" * 20, "ONNX"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(100), "TensorFlow Lite"),
        (bytes(range(256)) * 4, "ONNX"),
    ],
)
def test_a_file_that_is_no_onnx_model_is_told_in_one_line(tmp_path, content, match):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InputError, match=match) as error:
        load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.onnx: no such file or folder, expected an ONNX model"):
        load(tmp_path / "nowhere.onnx")
    with pytest.raises(InputError, match="expected an ONNX model, got a folder"):
        load(tmp_path)


def test_every_truncation_of_a_file_is_refused(tmp_path):
    content = small().SerializeToString()
    path = tmp_path / "model.onnx"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError):
            load(path)


def test_a_weight_shorter_than_its_shape_is_refused(tmp_path):
    model = small()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    with pytest.raises(InputError, match=r"124 bytes.*\(8, 4\) wants 128"):
        load(saved(tmp_path, model))


def test_external_data_is_read_and_its_loss_is_named(tmp_path):
    model = small()
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    loaded = load(path)
    assert loaded.graph.initializer[0].raw_data == small().graph.initializer[0].raw_data
    (tmp_path / "weights.data").write_bytes(b"\0" * 16)
    with pytest.raises(InputError, match=r"second file|cut short"):
        load(path)
    (tmp_path / "weights.data").unlink()
    with pytest.raises(InputError, match=r"second file.*left behind"):
        load(path)


def test_inputs_other_than_one_window_of_floats_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"2 required inputs \(audio .*mask .*one, the audio window"):
        load(saved(tmp_path, small(audio=["n", 8], mask=["n", 8])))
    model = small()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(InputError, match="holds INT64; wanted floating-point audio"):
        load(saved(tmp_path, model))
    del model.graph.input[:]
    with pytest.raises(InputError, match=r"0 required inputs \(none\)"):
        load(saved(tmp_path, model))


def test_an_initializer_listed_as_input_is_no_required_input(tmp_path):
    model = small()  # as every file before IR version 4 has it
    weight = model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info(weight.name, TensorProto.FLOAT, weight.dims))
    assert Graph.of(load(saved(tmp_path, model))).source == "audio"


def test_local_functions_are_inlined(tmp_path):
    body = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"])]
    function = helper.make_function("local", "Twist", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    node = helper.make_node("Twist", ["audio"], ["y"], domain="local")
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("audio", "y")]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=9)
    assert [op.kind for op in Graph.of(load(saved(tmp_path, model))).ops] == ["Relu", "Neg"]


# --- the view ---------------------------------------------------------------------------------------------------------


def test_shape_arithmetic_and_constants_are_no_edges():
    nodes = Nodes()
    x = nodes.add("Relu", "audio")
    size = nodes.add("Gather", nodes.add("Shape", x), nodes.const([0], np.int64))
    target = nodes.add("Concat", size, nodes.const([2, 4], np.int64), axis=0)
    scale = nodes.add("Mul", nodes.const(2.0), nodes.const(3.0))
    y = nodes.add("Mul", nodes.add("Reshape", nodes.add("Neg", x), target), scale, name="y")
    graph = Graph.of(nodes.model({"audio": ["n", 8]}, {"y": [None, 2, 4]}))
    assert [op.kind for op in graph.ops] == ["Relu", "Neg", "Reshape", "Mul"]
    assert graph.dominators == (-1, 0, 1, 2)
    assert graph.ops[3].constants == (scale,) and graph.ops[3].tensor == y


def test_fused_operators_are_split_into_what_they_stand_for():
    nodes = Nodes()
    ms = "com.microsoft"
    x = nodes.add("Conv", "audio", nodes.random(4, 4, 1))
    x = nodes.add("FusedConv", x, nodes.random(4, 4, 1), nodes.random(4), x, domain=ms, activation="Relu")
    x = nodes.add("Transpose", x, perm=[0, 2, 1])
    z = nodes.add("MatMul", x, nodes.random(4, 4))
    gain = nodes.const(np.ones(4))
    nodes.nodes.append(
        helper.make_node("SkipLayerNormalization", [z, x, gain, gain], ["normed", "", "", "summed"], domain=ms)
    )
    nodes.add("Add", "normed", "summed", name="y")
    graph = Graph.of(nodes.model({"audio": ["n", 4, 5]}, {"y": ["n", 5, 4]}, domains=[ms]))
    kinds = "Conv Conv Add Relu Transpose MatMul Add LayerNormalization Add"
    assert " ".join(op.kind for op in graph.ops) == kinds
    assert [op.real for op in graph.ops] == [True, False, False, True, True, True, True, True, True]
    assert graph.ops[6].tensor == "summed"
    assert [graph.dominators[i] for i in (2, 6, 8)] == [0, 4, 6]  # the joins of two residual units and their forks


def test_concats_of_all_features_become_a_chain():
    nodes = Nodes()
    features = [nodes.add("Relu", "audio")]
    for _ in range(3):  # as torch's DenseNet concatenates
        joined = nodes.add("Concat", *features, axis=1) if len(features) > 1 else features[0]
        features.append(nodes.add("Conv", joined, nodes.random(2, 2 * len(features), 1)))
    nodes.add("Concat", *features, name="y", axis=1)
    graph = Graph.of(nodes.model({"audio": ["n", 2, 5]}, {"y": ["n", 8, 5]}))
    concats = [i for i, op in enumerate(graph.ops) if op.kind == "Concat"]
    assert [len(graph.ops[i].data) for i in concats] == [2, 2, 2]
    assert [graph.dominators[i] for i in concats] == [0, concats[0], concats[1]]


def test_nodes_in_any_order_and_captured_tensors_are_followed():
    model = small()
    flipped = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(flipped)
    assert [op.kind for op in Graph.of(model).ops] == ["MatMul", "Relu"]
    branch = [
        helper.make_graph(
            [helper.make_node(kind, ["y"], [kind])], kind, [], [helper.make_empty_tensor_value_info(kind)]
        )
        for kind in ("Neg", "Abs")
    ]
    model.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=branch[0], else_branch=branch[1]))
    model.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    assert Graph.of(model).ops[-1].data == ("y",)


@st.composite
def dags(draw):
    """Parents of each operator; -1 is the audio."""
    size = draw(st.integers(2, 12))
    return [draw(st.lists(st.integers(-1, i - 1), min_size=1, max_size=3, unique=True)) for i in range(size)]


@given(dags())
@settings(max_examples=200, deadline=None)
def test_dominators_and_closed_regions_match_their_definition(parents):
    nodes = Nodes()
    for i, inputs in enumerate(parents):
        nodes.add("Sum", *("audio" if k < 0 else f"o{k}" for k in inputs), name=f"o{i}")
    outputs = {f"o{i}": [2] for i in range(len(parents))}
    graph = Graph.of(nodes.model({"audio": [2]}, outputs))

    def reaches(target: int, without: int) -> bool:
        return any(k < 0 or (k != without and reaches(k, without)) for k in parents[target])

    def upstream(i: int) -> set[int]:
        return {k for k in parents[i] if k >= 0}.union(*(upstream(k) for k in parents[i] if k >= 0))

    for i in range(len(parents)):
        every_path = [k for k in range(i) if k in upstream(i) and not reaches(i, without=k)]
        assert graph.dominators[i] == max(every_path, default=-1)
        region = closed_region(graph, i)
        fork = graph.dominators[i]
        inside = upstream(i) - (upstream(fork) | {fork} if fork >= 0 else set())
        leaks = any(k in inside and c not in inside | {i} for c, ks in enumerate(parents) for k in ks)
        expected = len(parents[i]) > 1 and bool(inside) and not leaks
        assert (region is not None) == expected
        if region:
            assert set(region.inside) == inside and region.fork == fork


# --- measured shapes --------------------------------------------------------------------------------------------------


def test_shapes_are_measured_not_believed():
    nodes = Nodes()
    nodes.add("Conv", "audio", nodes.random(6, 1, 5), name="t", strides=[2])
    nodes.add("Relu", "t", name="y")
    stale = [("t", [3, 3, 3])]
    model = nodes.model({"audio": ["n", 1, "samples"]}, {"y": ["n", 6, None]}, value_info=stale)
    assert measure(model, ["t", "y"], (1, 1, 105)) == {"audio": (1, 1, 105), "t": (1, 6, 51), "y": (1, 6, 51)}
    assert measure(model, ["t"], (4, 1, 9))["t"] == (4, 6, 3)
    with pytest.raises(InputError, match=r"cannot be run on one window of shape \(1, 1, 3\)"):
        measure(model, ["t"], (1, 1, 3))


def test_the_window_of_an_open_model_is_a_usual_one():
    def shape(*dims):
        nodes = Nodes()
        nodes.add("Relu", "audio", name="y")
        return window_shape(nodes.model({"audio": list(dims)}, {"y": None}))

    assert shape("n", 144_000) == (1, 144_000)
    assert shape("n", "samples") == (1, 160_000)
    assert shape("n", None, "samples") == (1, 1, 160_000)
    assert shape(8, 1, 32_000) == (8, 1, 32_000)  # a fixed batch stays
    assert shape("n", "frames", 128) == (1, 1024, 128)
    with pytest.raises(InputError, match="declared"):
        nodes = Nodes()
        nodes.add("Relu", "audio", name="y")
        window_shape(nodes.model({"audio": ["n", 8]}, {"y": None}), (1, 1, 8))
