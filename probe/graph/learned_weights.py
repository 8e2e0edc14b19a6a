"""Which constants of a model were learned: everything behind the front end that layers, norms and scales read.

The front end ends with the last square, root or logarithm in front of the first activation; networks put none there,
but in normalisations. Its windows, Fourier and mel matrices were not learned, and what stands between it and the first
layer (such as the normalisation of its output) belongs to it.
"""

from .dataflow import Graph
from .layers import ATTENTION, CONVS, NORMS, PRODUCTS, RECURRENT, REDUCTIONS, SCALES

LAYERS = CONVS | PRODUCTS | RECURRENT | ATTENTION
ACTIVATIONS = {"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Gelu", "Sigmoid", "HardSwish", "Swish", "Erf", "Softmax"}
ACTIVATIONS |= {"Tanh"}
SQUARES = {"Pow", "Abs", "Sqrt"}


def learned(graph: Graph) -> dict[str, tuple[str, ...]]:
    """The learned constants: node (by its first output) -> names of the operands, in order."""
    front, behind, found = front_end(graph), set[int](), dict[str, tuple[str, ...]]()
    for i, op in enumerate(graph.ops):
        if i in front or not (behind.intersection(graph.parents[i]) or (op.kind in LAYERS and op.constants)):
            continue
        behind.add(i)
        if op.constants and op.kind in LAYERS | NORMS | SCALES | {"PRelu"}:
            node = next(filter(None, op.node.output))
            found[node] = (*found.get(node, ()), *op.constants)
    return found


def front_end(graph: Graph) -> set[int]:
    """Positions of the operators up to the last square, root or logarithm in front of the first activation."""
    active = sum(1 << i for i, op in enumerate(graph.ops) if op.kind in ACTIVATIONS)
    front = 0
    for i, op in enumerate(graph.ops):
        squared = op.kind in SQUARES or (op.kind == "Mul" and len(op.data) == 2 and op.data[0] == op.data[1])
        if not graph.ancestors[i] & active and (op.kind == "Log" or (squared and not _normalises(graph, i))):
            front |= graph.ancestors[i] | 1 << i
    return {i for i in range(len(graph.ops)) if front >> i & 1}


def _normalises(graph: Graph, i: int) -> bool:
    """True for the square and the root of a spelled-out normalisation, which stand beside a mean."""
    before = {p for p in graph.parents[i] if p >= 0}
    before |= {p for q in before for p in graph.parents[q] if p >= 0}
    return any(graph.ops[k].kind in REDUCTIONS | {"GlobalAveragePool"} for k in (*before, *graph.children[i]))
