"""Random changes to ONNX models that a byte at a time would hardly make: nodes, attributes, dimensions, functions."""

from random import Random

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto, helper

from tests.fuzz.mutations import LONG_SIZES, SIZES, change_bytes

NUMBERS = (*SIZES, *(n for n in LONG_SIZES if n < 1 << 63), -1, -2, 3, 5)
OPERATORS = (
    *("Add", "Mul", "Reshape", "Transpose", "Conv", "MatMul", "Gemm", "Identity", "Loop", "If", "Scan", "Split"),
    *("ReduceMean", "Squeeze", "Unsqueeze", "Concat", "Slice", "Gather", "Shape", "Expand", "Tile", "Range", "Pad"),
    *("ConstantOfShape", "RandomNormal", "Dropout", "NonZero", "SequenceEmpty", "Optional", "NoSuchOperator", ""),
)


def change_model(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """A few random changes to the parsed model; to its bytes where it does not parse."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
        for _ in range(1 + int(rng.expovariate(0.7))):
            rng.choice(CHANGES)(model, rng)
        return model.SerializeToString()
    except (DecodeError, IndexError, ValueError, TypeError, UnicodeError):
        return change_bytes(data, rng, others)


def _node(model: onnx.ModelProto, rng: Random) -> onnx.NodeProto:
    return rng.choice(model.graph.node)


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in (*node.output, *node.input)]
    return [*made, *(tensor.name for tensor in graph.initializer), *(value.name for value in graph.output), ""]


def _operator(model: onnx.ModelProto, rng: Random) -> None:
    _node(model, rng).op_type = rng.choice(OPERATORS)


def _rewire(model: onnx.ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    ends = rng.choice((node.input, node.output))
    ends[rng.randrange(len(ends))] = rng.choice(_names(model))


def _lose(model: onnx.ModelProto, rng: Random) -> None:
    several = rng.choice((model.graph.node, model.graph.initializer, model.graph.input, model.graph.output))
    del several[rng.randrange(len(several))]


def _lose_end(model: onnx.ModelProto, rng: Random) -> None:
    node = _node(model, rng)
    ends = rng.choice((node.input, node.output, node.attribute))
    del ends[rng.randrange(len(ends))]


def _double(model: onnx.ModelProto, rng: Random) -> None:
    several = rng.choice((model.graph.node, model.graph.initializer, model.graph.input, model.graph.output))
    several.append(rng.choice(several))


def _dimension(model: onnx.ModelProto, rng: Random) -> None:
    value = rng.choice([*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    if rng.random() < 0.2:
        dims.add().dim_value = rng.choice(NUMBERS)
    elif rng.random() < 0.2:
        dims[rng.randrange(len(dims))].dim_param = rng.choice(("N", "", "a" * 300))
    else:
        dims[rng.randrange(len(dims))].dim_value = rng.choice(NUMBERS)


def _element(model: onnx.ModelProto, rng: Random) -> None:
    kind = rng.choice((*range(0, 25), 99, -1))
    if rng.random() < 0.5:
        rng.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = kind
    else:
        rng.choice(model.graph.initializer).data_type = kind


def _weight(model: onnx.ModelProto, rng: Random) -> None:
    tensor = rng.choice(model.graph.initializer)
    kind = rng.randrange(5)
    if kind == 0:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif kind == 1:
        tensor.dims.append(rng.choice((0, 1, 1, 2, -1)))
    elif kind == 2:
        tensor.raw_data = change_bytes(tensor.raw_data, rng, [])
    elif kind == 3:
        tensor.ClearField("raw_data")
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", rng.choice(("w.data", "../x", "", "m.onnx"))), ("offset", rng.choice(NUMBERS))):
            tensor.external_data.add(key=key, value=str(value))


def _attribute(model: onnx.ModelProto, rng: Random) -> None:
    attribute = rng.choice([a for node in model.graph.node for a in node.attribute])
    kind = rng.randrange(5)
    if kind == 0:
        attribute.i = rng.choice(NUMBERS)
    elif kind == 1 and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif kind == 2:
        attribute.ints.append(rng.choice(NUMBERS))
    elif kind == 3:
        attribute.type = rng.choice(list(AttributeProto.AttributeType.values()))
    else:
        attribute.name = rng.choice(("axis", "axes", "perm", "value", "body", "x", ""))


def _version(model: onnx.ModelProto, rng: Random) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        model.ir_version = rng.choice((0, 3, 4, 9, 13, 99, -1))
    elif kind == 1:
        rng.choice(model.opset_import).version = rng.choice((0, 1, 7, 11, 13, 17, 18, 21, 99, -1))
    elif kind == 2:
        rng.choice(model.opset_import).domain = rng.choice(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "x"))
    else:
        model.opset_import.add(domain=rng.choice(("", "x", "com.microsoft")), version=rng.choice((1, 17)))


def _function(model: onnx.ModelProto, rng: Random) -> None:
    """A node becomes a call of a function: of itself, of a twin of the same name, or of one that doubles."""
    node = _node(model, rng)
    name = f"f{rng.randrange(3)}"
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    body = [inner]
    if rng.random() < 0.5:
        body.append(helper.make_node(f"f{rng.randrange(3)}", list(node.input), ["again"], domain="fuzz"))
    made = helper.make_function("fuzz", name, list(node.input), list(node.output), body, model.opset_import)
    made.opset_import.add(domain="fuzz", version=1)
    model.functions.append(made)
    model.opset_import.add(domain="fuzz", version=1)
    node.op_type, node.domain = name, "fuzz"
    del node.attribute[:]


def _loop(model: onnx.ModelProto, rng: Random) -> None:
    """The node's work inside a Loop of as many trips as it takes."""
    node = _node(model, rng)
    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    inner.output[0] = "looped"
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), inner],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("looped", TensorProto.FLOAT, None),
        ],
    )
    trips = helper.make_tensor("trips", TensorProto.INT64, [], [rng.choice((0, 1, 3, 1 << 20, 1 << 62))])
    model.graph.initializer.append(trips)
    node.CopyFrom(helper.make_node("Loop", ["trips", ""], [node.output[0]], body=body))


CHANGES = (
    *(_operator, _rewire, _rewire, _lose, _lose_end, _double, _dimension, _dimension, _element, _weight, _weight),
    *(_attribute, _attribute, _version, _function, _loop),
)
