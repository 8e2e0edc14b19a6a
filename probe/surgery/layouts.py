"""How a tap's tensor lies in memory, and the nodes that bring it to the plain form: batch first, unblocked, float32."""

from dataclasses import replace

import onnx
from onnx import TensorProto

from ...features import InputError
from ..blocks.architecture import Block
from ..graph.node_list import NodeList

NCHWC = "com.microsoft.nchwc"
# operator -> position among its inputs of the scale of its output; the zero point follows
QUANTISED = {"QuantizeLinear": 1, "QLinearConcat": 0, "QGemm": 7}
QUANTISED |= dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 6)
QUANTISED |= dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "QLinearReduceMean"), 3)
QUANTISED |= dict.fromkeys(("QLinearGlobalAveragePool", "QLinearAveragePool"), 3)
KEEP_VALUES = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Gather", "Split"}
KEEP_VALUES |= {"MaxPool", "GlobalMaxPool", "Relu", "Clip", "DepthToSpace", "SpaceToDepth", "Pad"}
WIDE_OR_NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}


def mixes_precisions(model: onnx.ModelProto) -> bool:
    """Whether tensors other than float32 may flow: then every tap is cast."""
    return (
        any(t.data_type in WIDE_OR_NARROW for t in model.graph.initializer)
        or any(i.type.tensor_type.elem_type in WIDE_OR_NARROW for i in model.graph.input)
        or any(
            a.i in WIDE_OR_NARROW if n.op_type == "Cast" else a.t.data_type in WIDE_OR_NARROW
            for n in model.graph.node
            if n.op_type in ("Cast", "Constant")
            for a in n.attribute
        )
    )


def blocked_tensors(model: onnx.ModelProto) -> set[str]:
    """Tensors in ONNX Runtime's blocked layout [N, C/b, H, W, b] (their declared shape does not show it).

    Only files that ONNX Runtime saved at ORT_ENABLE_ALL have them: outputs of com.microsoft.nchwc operators, and of
    the elementwise operators between those. ReorderOutput leads back to the plain layout.
    """
    blocked: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "ReorderOutput" and node.domain == NCHWC:
            continue
        if node.domain == NCHWC or any(name in blocked for name in node.input):
            blocked |= set(node.output)
    return blocked


def plain(block: Block, blocked: bool) -> Block:
    """The tap as it lies after add_plain(): batch first, [N, C, H, W] instead of ONNX Runtime's blocked layout.

    Blocked tensors count the channels that fill up their last block; those are zero. InputError: another blocked rank.
    """
    if blocked and len(block.shape) == 5:  # [N, C/b, H, W, b], as recent versions reshape it for elementwise operators
        _, groups, height, width, size = block.shape
        filled = groups * size
        channels = block.channels if filled - size < block.channels <= filled else filled
        return replace(
            block, shape=(1, channels, height, width), channels=channels, channel_axis=1, map=(height, width)
        )
    if blocked and (len(block.shape) != 4 or block.channel_axis != 1):
        raise InputError(
            f"tap {block.name}: a tensor of shape {list(block.shape)} in ONNX Runtime's blocked layout, wanted "
            "[N, C, H, W]. Re-export the model without ORT_ENABLE_ALL"
        )
    if block.batch_axis:  # sequence-first transformers: [T, N, D]
        batch, channel = block.batch_axis, block.channel_axis
        shape = (block.shape[batch], *block.shape[:batch], *block.shape[batch + 1 :])
        return replace(block, shape=shape, channel_axis=channel + (channel < batch), batch_axis=0)
    if not blocked and len(block.shape) > 1 and block.shape[0] > 1:  # frames beside the windows: [N * frames, ...]
        return replace(block, shape=(1, *block.shape), channel_axis=block.channel_axis + 1)
    return block


def quantisations(model: onnx.ModelProto) -> dict[str, tuple[str, str]]:
    """Integer tensor -> its (scale, zero point), for files in ONNX's QOperator form (QLinearConv and the like)."""
    found: dict[str, tuple[str, str]] = {}
    for node in model.graph.node:
        place = QUANTISED.get(node.op_type)
        if place is not None and len(node.input) > place + 1:
            found[node.output[0]] = (node.input[place], node.input[place + 1])
        elif node.op_type == "DynamicQuantizeLinear":
            found[node.output[0]] = (node.output[1], node.output[2])
        elif node.op_type in KEEP_VALUES and node.input and node.input[0] in found:
            found.update((name, found[node.input[0]]) for name in node.output)
    return found


def add_plain(n: NodeList, block: Block, cast: bool, blocked: bool, quantised: tuple[str, str] | None = None) -> str:
    """Nodes that bring the tap to the plain layout, to float32 and batch first; the name of the result.

    quantised: names of the scale and the zero point where the tap holds integers.
    """
    now, target = block.tensor, plain(block, blocked)
    if quantised:
        now = n.add("DequantizeLinear", now, *quantised)
    if blocked and len(block.shape) == 5:
        now = n.reshape(n.add("Transpose", now, perm=[0, 1, 4, 2, 3]), [0, -1, *target.map])
        if target.channels < block.shape[1] * block.shape[4]:
            now = n.add("Slice", now, *(n.integers([value]) for value in (0, target.channels, 1)))
    elif blocked:
        now = n.add("ReorderOutput", now, domain=NCHWC, channels=block.channels)
    if cast:
        now = n.add("Cast", now, to=TensorProto.FLOAT)
    if block.batch_axis:
        others = [a for a in range(len(block.shape)) if a != block.batch_axis]
        now = n.add("Transpose", now, perm=[block.batch_axis, *others])
    elif len(target.shape) > len(block.shape):
        now = n.reshape(now, [-1, *target.shape[1:]])
    return now
