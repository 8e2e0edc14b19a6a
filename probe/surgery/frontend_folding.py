"""Folds a front end's linear chain of constants into one matrix, and framing + matrix into one strided convolution.

Before: waveform -> frames [N, T, K] (Slice, Reshape, Gather) -> * window -> MatMul (real part of a DFT, K x J)
        -> reshape -> MatMul (mel bands, J x M) -> square ...
After:  waveform -> Conv (kernel K, stride = hop, M channels) -> transpose -> reshape -> square ...

Constants acting on the last axis compose whatever moves the leading axes in between: diag(window) @ dft @ mel, in
float64. Found from structure alone, applied only where it lowers the multiply-accumulates and nothing else reads the
steps in between (a magnitude between DFT and mel bands ends a chain: then only window, DFT and framing compose).

Float32 rounding is the only difference, and no larger than the plain graph's own: measured on BirdNET V2.4 and 90
windows of ESC-10 against float64 sums, the plain graph is 1.4e-3 off in block_11 (median relative L2 a window), the
folded one 0.7e-3. On noise both agree within 5e-6; recordings with digital silence or a strong low end are worse,
because the power law of that front end (|x| ** 0.38) blows up what is left where sums cancel.
"""

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from ...features import InputError
from ..graph.dataflow import sort_nodes
from ..graph.load import audio_input
from ..graph.node_list import NodeList
from .expose import Rewrite, rebuild, substituted
from .linear_chains import Chain, Finder, Shapes


def fold_chains(model: onnx.ModelProto, row: tuple[int, ...] | None = None) -> Rewrite | str:
    """The model with its linear chains folded, or why there is none. InputError: its shapes cannot be measured."""
    finder = Finder(model)
    loose = list(finder.runs())
    if not loose or len(audio_input(model).type.tensor_type.shape.dim) < 2:
        return "no linear chain to fold"
    shapes = finder.shapes(loose, row)
    chains = [c for nodes in loose for c in [finder.compose(nodes, shapes)] if c]
    chains = [c for c in (finder.frame(chain, shapes) for chain in chains) if worth(c)]
    if not chains:
        return "no chain whose folding would save work"
    before, after = sum(c.macs_before for c in chains), sum(c.macs_after for c in chains)
    framed = sum(c.framing is not None for c in chains)
    return Rewrite(
        apply(finder, chains, shapes),
        tuple(chain.nodes[-1].output[0] for chain in chains),
        f"{len(chains)} linear chain{'s' * (len(chains) > 1)} folded ({framed} with the framing), "
        f"{before / 1e6:.0f} -> {after / 1e6:.0f} million multiply-accumulates a window",
    )


def worth(chain: Chain) -> bool:
    """Two matrices became a cheaper one, or frames need no longer be written out."""
    products = sum(n.op_type == "MatMul" for n in chain.nodes)
    return chain.framing is not None or (products > 1 and chain.macs_after < chain.macs_before)


def apply(finder: Finder, chains: list[Chain], shapes: Shapes) -> onnx.ModelProto:
    """A new model: composed matrices in place of each chain's first MatMul, identities in place of the rest."""
    changed: dict[str, list[NodeProto]] = {}
    weights: list[onnx.TensorProto] = []
    for node in finder.model.graph.node:
        if finder.computed_reshape(node):  # their arithmetic reads shapes that are about to change
            target = constant_shape(shapes[node.output[0]])
            if target:
                changed[node.output[0]] = reshape(node.input[0], node.output[0], target)
    for chain in chains:
        first = next(n for n in chain.nodes if finder.matrix(n))
        begun = False
        for node in chain.nodes:
            name = node.output[0]
            scaled = finder.scale(node)
            data = scaled[0] if scaled else node.input[0]
            if node is first:
                begun = True
                changed[name] = product(finder, chain, node, shapes, weights)
            elif finder.matrix(node) or scaled:
                changed[name] = [helper.make_node("Identity", [data], [name], name=f"{name}/folded")]
            elif begun and node.op_type == "Reshape":
                target = constant_shape(shapes[name])
                if not target:
                    raise InputError(f"reshape to {name} varies in two dimensions")
                changed[name] = reshape(data, name, [*target[:-1], chain.matrix.shape[1]])
    nodes = substituted(finder.model, changed)
    inside = {n.output[0] for c in chains for n in c.nodes}
    live = sort_nodes(nodes, finder.outputs)
    stray = next((n for n in live if n.op_type == "Shape" and n.input[0] in inside), None)
    if stray is not None:
        raise InputError(f"the shape of {stray.input[0]} is used elsewhere")
    return rebuild(finder.model, nodes, finder.model.graph.output, weights)


def product(
    finder: Finder, chain: Chain, node: NodeProto, shapes: Shapes, weights: list[onnx.TensorProto]
) -> list[NodeProto]:
    name, size = node.output[0], chain.matrix.shape[1]
    label = f"birdprobe/folded/{name}"
    if chain.framing is None:
        weights.append(numpy_helper.from_array(chain.matrix.astype(np.float32), label))
        return [helper.make_node("MatMul", [node.input[0], label], [name], name=name)]
    wave, hop = chain.framing
    kernel = np.ascontiguousarray(chain.matrix.T[:, None, :]).astype(np.float32)  # [M, 1, K]
    weights.append(numpy_helper.from_array(kernel, label))
    samples = int(np.prod(shapes[wave][0])) // shapes[wave][0][0]
    frames = int(np.prod(shapes[chain.source][0])) // shapes[chain.source][0][0] // kernel.shape[2]
    used = (frames - 1) * hop + kernel.shape[2]
    n = NodeList(f"{label}/")
    line = n.reshape(wave, [-1, 1, samples])
    if (samples - kernel.shape[2]) // hop + 1 != frames:
        line = n.add("Slice", line, *(n.integers([value]) for value in (0, used, 2)))
    lead = constant_shape(shapes[name])
    if not lead:
        raise InputError(f"{name} varies in two dimensions")
    rows = n.add("Transpose", n.add("Conv", line, label, strides=[hop]), perm=[0, 2, 1])
    n.reshape(rows, [*lead[:-1], size], name)
    return n.nodes


def constant_shape(measured: tuple[tuple[int, ...], ...]) -> list[int] | None:
    """[-1, 511, 96] from (2, 511, 96) and (3, 511, 96); None where more than one dimension depends on the batch."""
    if len(measured) == 1:
        return list(measured[0])
    shape = [a if a == b else -1 for a, b in zip(*measured)]
    return shape if len(measured[0]) == len(measured[1]) and shape.count(-1) <= 1 else None


def reshape(source: str, output: str, target: list[int]) -> list[NodeProto]:
    n = NodeList(f"birdprobe/folded/{output}/")
    n.reshape(source, target, output)
    return n.nodes
