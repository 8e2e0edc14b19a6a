"""The graph's parts and their joints: a backbone cut after its deepest tap, a head from torch, a normaliser."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper, version_converter

from ...features import InputError
from ...features.store import StoreKey
from ...features.windows import PEAK
from ...finetune.exporter import program_of
from ...probe.blocks.detection import find_blocks
from ...probe.graph.load import audio_input, default_opset
from ...probe.models.frontends.opening import open_model
from ...probe.runtime.input_spec import read_input_spec, row_of, waveform_shape
from ...probe.runtime.opening import prepare, select_readings
from ...probe.surgery.expose import Exposed, rebuild
from ..ensemble import Ensemble
from ..inputs import taps_of

OUTPUT = "probabilities"
OPSET = 18  # the least that torch's exporter writes; ONNX Runtime 1.14 (2023) reads it


def cut(model: Path, tokens: Sequence[str], key: StoreKey) -> tuple[Exposed, tuple[int, ...]]:
    """(The backbone with the tokens' taps as outputs and nothing behind them, the shape of one window)."""
    whole = open_model(model, key.frontend or None, key.inputs, key.sample_rate, key.window_s)
    contract = read_input_spec(whole, model.name, key.sample_rate, key.window_s, key.normalise)
    shape = waveform_shape(whole, model.name, contract.window_samples)
    architecture = find_blocks(whole, shape)
    wanted = taps_of(tokens)
    try:
        blocks, names = select_readings(architecture, ",".join(wanted), key.pooling)
    except InputError as error:
        raise InputError(f"{model}: {error} Were the blocks found by another birdprobe?") from None
    opened = prepare(whole, blocks, key.pooling, True, row_of(shape), names)
    return raised(opened.exposed, model), row_of(shape)


def raised(exposed: Exposed, place: Path) -> Exposed:
    """The same at opset 18 or above. InputError: onnx cannot convert it."""
    found = default_opset(exposed.model)
    if found >= OPSET:
        return exposed
    try:
        return exposed.holding(version_converter.convert_version(exposed.model, OPSET))
    except Exception as error:  # the converter raises what its C++ throws: RuntimeError, ConvertError, ...
        cause = (str(error).strip().splitlines() or ["no reason given"])[0][:200]
        raise InputError(f"{place}: expected opset {OPSET}, got {found}, which onnx cannot convert: {cause}") from error


def export(ensemble: Ensemble, exposed: Exposed) -> onnx.ModelProto:
    """The ensemble as a graph of its own, whose inputs are named as the exposed model's outputs."""
    example = [torch.randn(3, *exposed.dims[tap]) for tap in exposed.outputs]
    opset = default_opset(exposed.model)
    return program_of(ensemble, example, list(exposed.outputs.values()), [OUTPUT], opset, variadic=True).model_proto


def splice(exposed: Exposed, head: onnx.ModelProto, n_classes: int) -> onnx.ModelProto:
    """The head's nodes behind the backbone's."""
    nodes, weights = prefixed(head, {OUTPUT, *exposed.outputs.values()})
    batch = exposed.model.graph.output[0].type.tensor_type.shape.dim[0].dim_value or "batch"
    info = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, n_classes])
    return rebuild(exposed.model, [*exposed.model.graph.node, *nodes], [info], weights)


def prefixed(head: onnx.ModelProto, kept: set[str]) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """The head's nodes and weights, every name of theirs but `kept` under `head/`, so that it meets none of another
    graph."""
    kept = {"", *kept}
    nodes = []
    for node in head.graph.node:
        node = copy.deepcopy(node)
        node.name = f"head/{node.name}"
        for names in (node.input, node.output):
            names[:] = [name if name in kept else f"head/{name}" for name in names]
        nodes.append(node)
    weights = []
    for tensor in head.graph.initializer:
        tensor = copy.deepcopy(tensor)
        tensor.name = f"head/{tensor.name}"
        weights.append(tensor)
    return nodes, weights


def normalised(model: onnx.ModelProto, rule: str) -> onnx.ModelProto:
    """The model behind features.windows.normalise_windows(windows, rule) as nodes; its input is then `waveform`."""
    source = audio_input(model)
    if rule == "none":
        return model
    if rule != "peak" or source.type.tensor_type.elem_type != TensorProto.FLOAT:
        raise InputError(
            f"`--normalise-inside`: expected peak on float32 input, got {rule}. Does the rule need the whole file?"
        )
    name, new = source.name, "waveform" if source.name != "waveform" else "waveform/raw"
    numbers = {"peak": PEAK, "rounding": 1e-6, "least": 1e-30, "flat": 0.0}
    weights = [
        numpy_helper.from_array(np.array(value, np.float32), f"normalise/{key}") for key, value in numbers.items()
    ]
    weights.append(numpy_helper.from_array(np.array([-1], np.int64), "normalise/axis"))
    steps = [  # operator, inputs, output: y = x - mean; peak of |y| to 0.25; a constant window stays flat
        ("ReduceMean", [new, "axis"], "mean"),
        ("Sub", [new, "mean"], "centred"),
        ("Abs", ["centred"], "size"),
        ("ReduceMax", ["size", "axis"], "largest"),
        ("Abs", [new], "raw_size"),
        ("ReduceMax", ["raw_size", "axis"], "raw_largest"),
        ("Mul", ["raw_largest", "rounding"], "limit"),
        ("Greater", ["largest", "limit"], "sounds"),
        ("Max", ["largest", "least"], "divisor"),
        ("Div", ["peak", "divisor"], "gain"),
        ("Mul", ["centred", "gain"], "scaled"),
        ("Where", ["sounds", "scaled", "flat"], name),
    ]

    def full(tensor: str) -> str:
        return tensor if tensor in (new, name) else f"normalise/{tensor}"

    nodes = [
        helper.make_node(kind, [full(i) for i in inputs], [full(output)], name=f"normalise/{kind}_{at}")
        for at, (kind, inputs, output) in enumerate(steps)
    ]
    result = rebuild(model, [*nodes, *model.graph.node], model.graph.output, weights)
    audio_input(result).name = new
    return result


def describe(model: onnx.ModelProto, about: dict) -> None:
    """Metadata: text as it is, anything else as JSON; what the backbone's file said under these names is replaced."""
    kept = [(prop.key, prop.value) for prop in model.metadata_props if prop.key not in about]
    ours = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in about.items()]
    del model.metadata_props[:]
    for key, value in (*kept, *ours):
        model.metadata_props.add(key=key, value=value)
