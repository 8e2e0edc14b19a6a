"""Which axis of a tensor counts channels.

Never assumed: a Conv makes channels axis 1, a matrix product makes them the last, and everything between carries the
axis along: Transposes move it, Squeezes and reductions shift it, a Reshape keeps it where the product of the sizes in
front of it and the size itself are kept.

Graphs that ONNX Runtime has optimised for one machine and saved carry its blocked layout. A convolution's output is
declared [N, C, H, W], with C padded to a multiple of the block b, and stored [N, C/b, H, W, b]; b is 8 or 16. Such a
tensor has to pass a ReorderOutput before it can be read.
"""

from math import prod

import numpy as np

from .dataflow import Graph
from .layers import ATTENTION, CONVS, PRODUCTS, RECURRENT, is_product
from .operators import Op
from .shapes import Shape

DOMAIN = "com.microsoft.nchwc"


def channel_axes(graph: Graph, shapes: dict[str, Shape]) -> dict[str, int]:
    """Tensor name -> channel axis (non-negative), for every tensor behind the first layer where it can be told."""
    axes: dict[str, int] = {}
    for op in graph.ops:
        for name in op.outputs:
            if name and name in shapes:
                axis = _axis(op, axes, shapes, shapes[name])
                if axis is not None and 0 <= axis < len(shapes[name]):
                    axes[name] = axis
    return axes


def _axis(op: Op, axes: dict[str, int], shapes: dict[str, Shape], out: Shape) -> int | None:
    rank = len(out)
    if op.kind in CONVS:
        return rank - 1 if op.node.op_type.startswith("Nhwc") else 1
    if op.kind in PRODUCTS or op.kind in ATTENTION or op.kind in RECURRENT:
        first = op.kind == "MatMul" and op.node.input[0] in op.constants and not is_product(op)
        return rank - 2 if first else rank - 1
    known = [name for name in op.data if name in axes and name in shapes]
    if not known:
        return None
    # of several operands the largest decides: the others are broadcast
    name = max(known, key=lambda n: prod(shapes[n]))
    axis, before = axes[name], shapes[name]
    if op.kind == "Transpose":
        perm = list(op.attribute("perm") or range(len(before) - 1, -1, -1))
        return perm.index(axis)
    if op.node.op_type == "ReorderOutput":
        return rank - 1 if op.attribute("channels_last", 0) else 1
    if op.node.op_type == "ReorderInput":
        return 1
    if op.kind == "Flatten":
        return 1
    if op.kind in ("Reshape", "Squeeze", "Unsqueeze") or len(before) != rank:
        return _reshaped(axis, before, out)
    return axis


def _reshaped(axis: int, before: Shape, out: Shape) -> int | None:
    """The axis of `out` that holds what `axis` held: same size with the same product in front, else the same size."""
    size = before[axis]
    real = [n for n in before[:axis] if n != 1]
    exact = [i for i, n in enumerate(out) if n == size and prod(out[:i]) == prod(before[:axis])]
    if exact:
        # size-1 axes leave several candidates for size 1 only; take the one at the same depth
        return min(exact, key=lambda i: abs(i - axis)) if size == 1 else exact[0]
    after = prod(before[axis + 1 :])
    exact = [i for i, n in enumerate(out) if n == size and prod(out[i + 1 :]) == after]
    if exact:
        return exact[0]
    if axis and not real and len(out) > 1:
        return 1  # channels split into groups or merged with positions behind them
    if out and axis == len(before) - 1 and out[-1] > size and out[-1] % size == 0:
        return len(out) - 1  # heads or directions merged into one width
    same = [i for i, n in enumerate(out) if n == size]
    return same[-1] if same else None


def blocked_tensors(graph: Graph) -> frozenset[str]:
    """Outputs of the blocked operators, and of the elementwise operators between those."""
    names: set[str] = set()
    for op in graph.ops:
        reordered = op.node.op_type == "ReorderOutput"
        if not reordered and (op.node.domain == DOMAIN or names.intersection(op.data)):
            names.update(op.outputs)
    return frozenset(names)


def padding(weight: np.ndarray) -> int:
    """Filters of zeros that pad a blocked weight, declared [O, I, H, W] and stored [O/b, I/b, H, W, b, b].

    The last axis counts filters, and only the last block of filters is padded. Read with the wrong b, rows of several
    filters mix and none stays zero.
    """
    paddings = [0]
    for b in (8, 16):
        if weight.shape[0] % b == 0:
            used = np.flatnonzero(weight.reshape(weight.shape[0] // b, -1, b)[-1].any(axis=0))
            paddings.append(b - 1 - int(used[-1]) if len(used) else 0)
    return max(paddings)
