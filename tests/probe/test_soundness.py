"""Files that say more than can be meant: one line, before any of it is believed."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from birdprobe.features import InputError
from birdprobe.probe.api import find_blocks
from tests.waveform_models import convolutional

ROOT = Path(__file__).parents[2]


def saved(tmp_path, change):
    model = convolutional()[0]
    change(model)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def function(name, *calls):
    """fuzz::name(x) = the calls, one behind the other."""
    nodes = [helper.make_node(call, ["x"], [f"y{i}"], domain="fuzz") for i, call in enumerate(calls)]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fuzz", 1)]
    return helper.make_function("fuzz", name, ["x"], [f"y{len(calls) - 1}"], nodes, opsets)


def calls_functions(*functions):
    def change(model):
        model.functions.extend(functions)
        model.opset_import.append(helper.make_opsetid("fuzz", 1))
        model.graph.node[0].CopyFrom(helper.make_node("f0", ["audio"], [model.graph.node[0].output[0]], domain="fuzz"))

    return change


def doubling(levels=64):
    last = helper.make_function(
        "fuzz", f"f{levels}", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    return calls_functions(*(function(f"f{i}", f"f{i + 1}", f"f{i + 1}") for i in range(levels)), last)


def endless_loop(model):
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])],
        [value("on", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(helper.make_tensor("trips", TensorProto.INT64, [], [1 << 62]))
    model.graph.node.append(helper.make_node("Loop", ["trips", ""], [], body=body))


def huge_window(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 40


def unknown_type(model):
    model.graph.input[0].type.tensor_type.elem_type = 99


def weight_of_unknown_type(model):
    model.graph.initializer[0].data_type = 77


def negative_weight(model):
    model.graph.initializer[0].dims[0] = -1


def weight_without_data(model):
    model.graph.initializer[0].ClearField("raw_data")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (calls_functions(function("f0", "f0")), "function 'f0' calls itself"),
        (calls_functions(function("f0", "f1"), function("f1", "f0")), "calls itself"),
        (calls_functions(function("f0", "Identity"), function("f0", "Identity")), "defined twice"),
        (doubling(), "functions written out; expected at most 1,000,000"),
        (endless_loop, r"a loop of 4,611,686,018,427,387,904 trips"),
        (huge_window, "at most 67,108,864 can be a window"),
        (unknown_type, r"holds type 99; wanted floating-point audio"),
        (weight_of_unknown_type, "element type 77"),
        (negative_weight, r"has the shape \(-1,"),
        (weight_without_data, r"has 0 numbers, its shape .* wants"),
    ],
)
def test_unsound_models_are_one_line(tmp_path, change, told):
    with pytest.raises(InputError, match=rf"m\.onnx: .*{told}"):
        find_blocks(saved(tmp_path, change))


def test_names_that_are_no_text(tmp_path):
    path = saved(tmp_path, lambda model: None)
    path.write_bytes(path.read_bytes().replace(b"embedding", b"embeddi\xff\xfe"))
    with pytest.raises(InputError, match="not UTF-8 text"):
        find_blocks(path)


def test_a_sound_model_with_functions_opens(tmp_path):
    def change(model):
        node = onnx.NodeProto()
        node.CopyFrom(model.graph.node[1])
        made = helper.make_function("fuzz", "f0", list(node.input), list(node.output), [node], model.opset_import)
        model.functions.append(made)
        model.opset_import.append(helper.make_opsetid("fuzz", 1))
        model.graph.node[1].CopyFrom(helper.make_node("f0", list(node.input), list(node.output), domain="fuzz"))

    assert [block.name for block in find_blocks(saved(tmp_path, change)).blocks] == ["block_00", "block_01"]


WITHOUT_MEMORY = """
import sys

from birdprobe.probe.api import find_blocks
from tests.fuzz.worker import limit_memory

find_blocks(sys.argv[1])  # so that all libraries and their threads have their memory
limit_memory(200 << 20)
try:
    find_blocks(sys.argv[2])
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address spaces are limited so on Linux alone")
def test_a_window_that_does_not_fit_into_memory_is_one_line(tmp_path):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 65_000_000]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "long", ends[:1], ends[1:])
    path = tmp_path / "long.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    command = [sys.executable, "-c", WITHOUT_MEMORY, saved(tmp_path, lambda model: None), path]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout.startswith("InputError") and "one window of shape (1, 65000000): Unable to alloc" in told.stdout
