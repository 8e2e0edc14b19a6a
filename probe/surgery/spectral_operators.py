"""Replaces DFT and STFT operators by products with a constant matrix and convolutions, where these are faster.

ONNX Runtime has one CPU kernel for either and none on a GPU. For lengths that are no power of two it takes Bluestein's
algorithm: a frame of 640 samples takes 84 us, as a convolution 9 (one core). Its FFT of a power of two is sound: 1,024
samples take 18 us, 2,048 take 39, as a convolution 25 and 108; it loses where zeros fill a short frame up (640 samples
in 1,024: 14 us as a convolution).

Before: STFT(signal [N, L], step, window, length) -> [N, T, bins, 2]       DFT(frames [..., n, 1]) -> [..., bins, 2]
After:  Conv (kernel length, stride step, 2 bins channels: window * cos, window * -sin) -> Transpose -> Reshape
        MatMul (n x 2 bins: cos, -sin) -> Reshape; linear_chains composes it with the window and the framing before it

Only real signals, forwards, along the axis before the last, with constants for what shapes the transform; anything else
is left as it is.
"""

import math

import numpy as np
import onnx
from onnx import NodeProto, numpy_helper

from ..graph.load import default_opset, fixed_batch
from ..graph.node_list import NodeList
from ..graph.operators import attribute
from .batch_axis import constants, measure
from .expose import Rewrite, rebuild, substituted

KINDS = ("DFT", "STFT")
LIFTS = ("Unsqueeze", "Reshape")
FFT_STEP = 80  # multiply-accumulates of a product in the time of its FFT over n log2 n, measured from 2^9 to 2^12


def replace_transforms(model: onnx.ModelProto, row: tuple[int, ...] | None = None) -> Rewrite | str:
    """The model with its DFT and STFT operators replaced, or "" where there is none that can be.

    row: the shape of one window, where the input's length is dynamic. InputError: the model cannot be measured.
    """
    found = [node for node in model.graph.node if node.op_type in KINDS and node.domain in ("", "ai.onnx")]
    if not found:
        return ""
    producer = {name: node for node in model.graph.node for name in node.output}
    lifted = {  # frames that got their last axis of 1 right before
        node.input[0]: producer[node.input[0]].input[0]
        for node in found
        if node.op_type == "DFT" and node.input[0] in producer and producer[node.input[0]].op_type in LIFTS
    }
    names = [name for node in found for name in (node.input[0], node.output[0])]
    shapes = measure(model, [*names, *lifted.values()], fixed_batch(model) or 2, row)
    known = constants(model, most=None)
    changed: dict[str, list[NodeProto]] = {}
    weights: list[onnx.TensorProto] = []
    for node in found:
        given = {i: known.get(name) for i, name in enumerate(node.input) if i and name}
        if any(value is None for value in given.values()):
            continue  # a transform whose size is computed
        shape, out = shapes[node.input[0]], shapes[node.output[0]]
        if node.op_type == "STFT":
            plan, made, step = stft_kernel(node, given, shape), 0, int(np.asarray(given[1]).item())
        else:
            plan, made, step = dft_matrix(node, given, shape, default_opset(model)), 1, 0
        if plan is None or plan.shape[made] != 2 * out[-2]:
            continue
        before = lifted.get(node.input[0], "")
        frames = before if before and shapes[before] == shape[:-1] else None
        weights.append(numpy_helper.from_array(plan.astype(np.float32), f"birdprobe/transform/{node.output[0]}"))
        changed[node.output[0]] = nodes_of(node, weights[-1].name, len(shape), out[-2], step, frames)
    if not changed:
        return ""
    what = f"{len(changed)} DFT or STFT operator{'s' * (len(changed) > 1)} folded"
    return Rewrite(rebuild(model, substituted(model, changed), model.graph.output, weights), tuple(changed), what)


def turns(length: int, used: int, onesided: bool) -> np.ndarray:
    """float64 [used, 2 bins]: cos and -sin of every bin side by side, for the first `used` of `length` samples."""
    bins = length // 2 + 1 if onesided else length
    angles = 2 * np.pi / length * (np.outer(np.arange(used), np.arange(bins)) % length)
    return np.stack([np.cos(angles), -np.sin(angles)], axis=-1).reshape(used, 2 * bins)


def fft_is_faster(length: int, used: int, onesided: bool) -> bool:
    """Whether the operator over `length` samples, of which `used` may differ from 0, beats a matrix product."""
    bins = length // 2 + 1 if onesided else length
    return length & (length - 1) == 0 and 2 * bins * used > FFT_STEP * length * math.log2(length)


def dft_matrix(
    node: NodeProto, given: dict[int, np.ndarray | None], shape: tuple[int, ...], opset: int
) -> np.ndarray | None:
    """[n, 2 bins] of a DFT, or None: no real forward transform along the axis before the last, or faster as it is."""
    axis = attribute(node, "axis", 1) if opset < 20 else int(np.asarray(given.get(2, -2)).item())
    if attribute(node, "inverse", 0) or shape[-1] != 1 or len(shape) < 3 or axis % len(shape) != len(shape) - 2:
        return None
    length = shape[-2] if given.get(1) is None else int(np.asarray(given[1]).item())
    onesided = bool(attribute(node, "onesided", 0))
    if length < shape[-2] or fft_is_faster(length, shape[-2], onesided):  # a shorter transform cuts the frame
        return None
    return turns(length, shape[-2], onesided)


def stft_kernel(node: NodeProto, given: dict[int, np.ndarray | None], shape: tuple[int, ...]) -> np.ndarray | None:
    """[2 bins, 1, length] of an STFT, or None: a complex signal, a window of another length, or faster as it is."""
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[-1] != 1):
        return None
    window = given.get(2)
    length = int(np.asarray(given[3]).item()) if given.get(3) is not None else 0 if window is None else window.size
    factors = np.ones(length) if window is None else window.astype(np.float64).reshape(-1)
    onesided = bool(attribute(node, "onesided", 1))
    if not length or factors.size != length or fft_is_faster(length, length, onesided):
        return None
    return np.ascontiguousarray((factors[:, None] * turns(length, length, onesided)).T[:, None, :])


def nodes_of(node: NodeProto, weight: str, rank: int, bins: int, step: int, frames: str | None) -> list[NodeProto]:
    """What stands in the operator's place; `frames` is the DFT's input less its last axis, where the graph has it.

    Zeros in a Reshape's target keep a dimension as it is.
    """
    n, source = NodeList(f"{weight}/"), node.input[0]
    if step:
        conv = n.add("Conv", n.reshape(source, [0, 1, -1]), weight, strides=[step])
        rows, target = n.add("Transpose", conv, perm=[0, 2, 1]), [0, 0, bins, 2]
    else:
        frames = frames or n.add("Squeeze", source, n.integers([-1]))
        rows, target = n.add("MatMul", frames, weight), [0] * (rank - 2) + [bins, 2]
    n.reshape(rows, target, node.output[0])
    return n.nodes
