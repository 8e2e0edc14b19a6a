"""Values for a model's other inputs, so that the audio is the only one left: `--input sr=16000 --input state=zeros`.

An input of fixed size becomes a constant. One with a free dimension becomes as large as the audio's batch (or as the
dimension of the audio that has the same name): zeros [2, batch, 128] are made anew for every call.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import NodeProto, helper

from ...features import InputError
from .load import input_dims
from .node_list import NodeList

WORDS = {"zeros": 0.0, "ones": 1.0, "true": 1.0, "false": 0.0}


def bind(model: onnx.ModelProto, given: Sequence[str], place: str) -> None:
    """Replace inputs by values, in the model itself.

    InputError: not `name=value`, no such input, values that do not fit, or no input left over.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    required = {value.name: value for value in model.graph.input if value.name not in stored}
    values = dict(_pair(text) for text in given)
    if unknown := sorted(set(values) - set(required)):
        raise InputError(f"`--input {unknown[0]}`: {place} has no such input; it has {', '.join(required)}.")
    left = [value for name, value in required.items() if name not in values]
    if len(left) != 1:
        names = ", ".join(value.name for value in left) or "none"
        raise InputError(f"{place}: all inputs but one, the audio, want a value by `--input`; left over: {names}.")
    nodes = [node for name, text in values.items() for node in _nodes(required[name], text, left[0])]
    rest = list(model.graph.node)
    kept = [value for value in model.graph.input if value.name not in values]
    del model.graph.node[:], model.graph.input[:]
    model.graph.node.extend([*nodes, *rest])
    model.graph.input.extend(kept)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InputError(f"`--input` must be NAME=VALUE, such as sr=16000 or state=zeros, got {text!r}.")
    return name, value


def _nodes(value: onnx.ValueInfoProto, text: str, audio: onnx.ValueInfoProto) -> list[NodeProto]:
    dims = input_dims(value)
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    try:
        numbers = [WORDS[part] if part in WORDS else float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"`--input {value.name}` must be numbers, zeros or ones, got {text!r}.") from None
    n, array = NodeList(f"input/{value.name}/"), np.array(numbers).astype(dtype)
    fixed = [dim for dim in dims if isinstance(dim, int)]
    if len(fixed) == len(dims):
        size = int(np.prod(fixed, dtype=np.int64))
        if array.size not in (1, size):
            raise InputError(f"`--input {value.name}` wants 1 or {size} numbers, got {array.size}.")
        n.constant(np.broadcast_to(array.reshape(-1), size).reshape(fixed), None, value.name)
        return n.nodes
    if array.size != 1:
        raise InputError(f"`--input {value.name}` has free dimensions {dims}: one number wanted, got {array.size}.")
    heard, parts = input_dims(audio), []
    shape = n.add("Shape", audio.name)
    for dim in dims:
        if isinstance(dim, int):
            parts.append(n.integers([dim]))
        else:
            at = heard.index(dim) if dim is not None and dim in heard else 0
            parts.append(n.add("Gather", shape, n.integers([at]), axis=0))
    wanted = n.add("Concat", *parts, axis=0)
    n.add("Expand", n.constant(array.reshape([1] * len(dims)), None), wanted, output=value.name)
    return n.nodes
