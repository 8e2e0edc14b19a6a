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

from ..graph.load import tensor_outputs
from ..graph.shapes import Shape
from .architecture import Architecture, Block
from .head import head
from .measured_graph import MeasuredGraph
from .patterns import find_matches
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
        notes.append(f"{aside} blocks stand in parallel branches; blocks are numbered in the order of the graph")
    if any(block.batch_axis for block in blocks):
        notes.append("windows are stacked along another axis than the first")
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
