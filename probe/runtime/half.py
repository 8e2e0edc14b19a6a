"""float16 inside a graph: weights and what lies between the layers; the front end and the pooling stay in float32.

A spectrogram's powers overflow float16 (65,504) and its quiet bands vanish in it, and deep maps sum past it, so what
comes before the stem and what makes the taps are left as they are. ONNX Runtime's own converter does the work.
"""

import onnx

from ...features import InputError
from ..blocks.architecture import Block
from ..graph.dataflow import reads_of


def to_float16(model: onnx.ModelProto, stem: Block | None) -> onnx.ModelProto:
    """A float16 form of an exposed model with the same float32 inputs and outputs.

    Args:
        model: with outputs `birdprobe/TAP`; left as it is. stem: what the front end leads to; None converts all of it.

    Raises:
        InputError: the graph cannot be converted.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    named = onnx.ModelProto()
    named.CopyFrom(model)
    for i, node in enumerate(named.graph.node):
        node.name = f"{i}/{node.name}"  # the converter knows nodes by name
    kept = front_end(named, stem) | {n.name for n in named.graph.node if any("birdprobe/" in o for o in n.output)}
    try:
        return convert_float_to_float16(
            named,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "STFT", "DFT", "MelWeightMatrix"],
            node_block_list=sorted(kept),
        )
    except Exception as error:  # a converter of many ways to fail
        raise InputError(f"`--precision float16`: this graph cannot be converted ({error}).") from error


def front_end(model: onnx.ModelProto, stem: Block | None) -> set[str]:
    """Names of the nodes that come before the first convolution of more than one input channel, or before the stem."""
    producer = {name: node for node in model.graph.node for name in node.output}
    todo, seen = [stem.tensor] if stem is not None else [], set[str]()
    while todo:
        node = producer.get(todo.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            todo += reads_of(node)
    return seen
