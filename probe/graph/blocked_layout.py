"""ONNX Runtime's blocked layout, which graphs carry that it has optimised for one machine and saved.

A convolution's output is declared [N, C, H, W], with C padded to a multiple of the block b, and stored
[N, C/b, H, W, b]; b is 8 or 16. Such a tensor has to pass a ReorderOutput before it can be read.
"""

import numpy as np

from .dataflow import Graph

DOMAIN = "com.microsoft.nchwc"


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
