"""The blocks of any ONNX backbone, found from the structure of its graph alone.

Names of nodes and tensors are never asked what a block is; they only name it (`Block.scope`). The way there:

    probe.graph.operators        one ONNX node as the plain operators that it stands for
    probe.graph.dataflow      the file as a data-flow graph: constants and shape arithmetic are no edges
    probe.graph.shapes     one run measures every shape
    probe.graph.channel_axes       which axis counts channels
    probe.graph.layers     what one operator does: layer, activation, pool, and its cost
    probe.blocks.regions    the graph folded into a line: single operators, and regions that fork and join again
    probe.blocks.patterns      which regions are residual units or modules; attention and MLP together
    probe.blocks.unshortcut  bottlenecks without a shortcut, plain stacks
    probe.blocks.taps       the tensor at which each unit is read; stages; the stem
    probe.blocks.head       the embedding and the logits
"""

import onnx

from ..graph.shapes import Shape
from .architecture import Architecture, Block
from .head import head
from .measured_graph import Network
from .patterns import find_units
from .taps import parallel, place, stem_of

__all__ = ["Architecture", "Block", "find_blocks"]


def find_blocks(model: onnx.ModelProto, input_shape: Shape | None = None) -> Architecture:
    """Find the repeated units of `model` and the tap of each.

    `input_shape` is the shape of one window, needed only where the model leaves its length open. Costs one
    unoptimised forward pass, which measures every shape. Raises InputError when the model cannot be run.
    """
    network = Network.of(model, input_shape)
    units, note = find_units(network)
    if len(units) == 1 and not units[0].mixing:  # one lone Concat is a skip (a U-Net's), no repeated module
        network = network.opened()
        units, note = find_units(network)
    blocks = place(network, units)
    embedding, logits, headless = head(network, units, blocks)
    notes = [note, headless]
    if aside := parallel(network, units):
        notes.append(f"{aside} blocks stand in parallel branches; blocks are numbered in the order of the graph")
    if any(block.batch_axis for block in blocks):
        notes.append("windows are stacked along another axis than the first")
    source = network.whole.source
    return Architecture(
        blocks=tuple(blocks),
        stem=stem_of(network, units),
        embedding=embedding,
        logits=logits,
        inputs=((source, network.shapes[source]),),
        outputs=tuple((name, network.shapes[name]) for name in network.whole.outputs),
        notes=tuple(filter(None, notes)),
    )
