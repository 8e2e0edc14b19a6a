"""Where the map changes its scale: strides, poolings, upsampling.

A convolution that spans a whole axis, and the repetition that undoes it, change no scale: they remove the axis.
"""

from .dataflow import Graph
from .layers import POOLS

STRIDED = {"Conv", *POOLS}
UPSAMPLING = {"Resize", "Upsample", "DepthToSpace"}


def changes_of_scale(graph: Graph) -> tuple[int, int]:
    """The operators that shrink the map and those that enlarge it, each set as the bits of one integer."""
    down = up = 0
    for i, op in enumerate(graph.ops):
        stride = max(op.attribute("strides") or [1])
        if op.kind in UPSAMPLING or (op.kind == "ConvTranspose" and stride > 1):
            up |= 1 << i
        elif op.kind == "SpaceToDepth" or (op.kind in STRIDED and stride > 1):
            down |= 1 << i
    return down, up
