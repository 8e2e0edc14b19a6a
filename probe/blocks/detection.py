"""The blocks of any ONNX backbone, found from the structure of its graph alone.

Names of nodes and tensors play no part in detection; they only label a block (`Block.scope`). Step by step:

    probe.graph.operators        one ONNX node as the plain operators that it stands for
    probe.graph.dataflow         the file as a data-flow graph without constants and shape arithmetic
    probe.graph.shapes           one run measures every shape
    probe.graph.channel_axes     which axis counts channels
    probe.graph.layers           what one operator does: layer, activation, pool, change of scale, and its cost
    probe.blocks.regions         the graph as a sequence of single operators and single-entry single-exit regions
    probe.blocks.classification  what one region is: residual unit, module, neither
    probe.blocks.patterns        which of them make the blocks; attention and MLP together
    probe.blocks.unshortcut      bottlenecks without a shortcut, plain stacks, the stages of an encoder-decoder
    probe.blocks.taps            the tensor at which each block is read; stages; the stem
    probe.blocks.head            the embedding and the logits
"""

import onnx

from ..graph.layers import LAYERS, LAYOUT
from ..graph.load import audio_input, input_dims, tensor_outputs
from ..graph.operators import ALIASES, bodies
from ..graph.shapes import Shape
from .architecture import Architecture, Block
from .head import head
from .measured_graph import MeasuredGraph
from .patterns import find_matches
from .regions import stripped
from .taps import parallel, place, stem_of

__all__ = ["Architecture", "Block", "find_blocks"]


def find_blocks(model: onnx.ModelProto, input_shape: Shape | None = None) -> Architecture:
    """Find the repeated blocks of `model` and the tap of each.

    `input_shape` is the shape of one window, needed only where the model leaves its length open. Costs one
    unoptimised forward pass, which measures every shape. Raises InputError when the model cannot be run.
    """
    measured = MeasuredGraph.of(model, input_shape)
    matches, note = find_matches(measured)
    if len(matches) == 1 and not matches[0].mixing:  # one lone Concat is a skip (a U-Net's), no repeated module
        measured = measured.opened()
        matches, note = find_matches(measured)
    blocks = place(measured, matches)
    embedding, logits, headless = head(measured, matches, blocks)
    notes = [note, headless]
    if aside := parallel(measured, matches):
        said = "1 block does" if aside == 1 else f"{aside} blocks do"
        notes.append(f"parallel branches: {said} not follow from the one before; numbers are in the order of the graph")
    if any(block.batch_axis for block in blocks):
        notes.append("windows are stacked along another axis than the first")
    notes += [_duplicated(measured), _hidden(measured, input_shape is not None)]
    if others := [value.name for value in model.graph.output if value not in tensor_outputs(model)]:
        notes.append(f"outputs that are no tensors are left out: {', '.join(others)}")
    source = measured.whole.source
    return Architecture(
        blocks=tuple(blocks),
        stem=stem_of(measured, matches),
        embedding=embedding,
        logits=logits,
        inputs=((source, measured.shapes[source]),),
        outputs=tuple((name, measured.shapes[name]) for name in measured.whole.outputs),
        notes=tuple(filter(None, notes)),
    )


def _duplicated(measured: MeasuredGraph) -> str:
    """A note where the waveform is copied before anything else: channels that `models.frontends.opening` has filled."""
    graph = measured.whole
    for op in graph.ops if len(measured.shapes[graph.source]) < 3 else ():
        if op.kind == "Concat" and len(op.data) > 1 and {stripped(graph, name, LAYOUT) for name in op.data} == {-1}:
            return f"{len(op.data)} channels hear the same mono audio"
    return ""


def _hidden(measured: MeasuredGraph, told: bool) -> str:
    """A note on layers inside an If, a Loop or a Scan, where no tap can be placed; told: the window's length."""
    inside = {op.tensor: n for op in measured.whole.ops if (n := _layers_inside(op.node))}
    if not inside:
        return ""
    branches = any(op.node.op_type == "If" for op in measured.whole.ops if op.tensor in inside)
    free = not told and any(not isinstance(size, int) for size in input_dims(audio_input(measured.model))[1:])
    hint = "; if the window's length alone decides there, tell it: --sample-rate and --window"
    count = sum(inside.values())
    layers = "1 layer is" if count == 1 else f"{count} layers are"
    where = f"inside an If, a Loop or a Scan ({', '.join(inside)})"
    return f"{layers} {where}, where no tap can be read" + (hint if branches and free else "")


def _layers_inside(node: onnx.NodeProto) -> int:
    inner = [child for body in bodies(node) for child in body.node]
    return sum((ALIASES.get(child.op_type, child.op_type) in LAYERS) + _layers_inside(child) for child in inner)
