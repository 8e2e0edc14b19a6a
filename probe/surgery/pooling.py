"""How a tap becomes a vector: the ONNX nodes that pool it, and the same in float64 numpy to check them.

Rules: `mean`, `max`, `std` (population) over the map or token axes; `cls`, token 0 of [N, T, D]; `grid`, un-pooled;
`grid:HxW` (one number for token or one-dimensional maps), average-pooled to that size as torch's adaptive average
pooling does. Grids come out channels first, [N, C, *map], whichever layout the model uses. Vectors [N, D] pass through.
Several at once, `mean,max`, make a map into several taps: `block_17/mean`, `block_17/max`.
Blocks are plain here: batch first, in no blocked layout, float32 (layouts.plain brings them there).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...features import InputError
from ..blocks.architecture import Block
from ..graph.node_list import NodeList

REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "max": np.max, "std": np.std}
LARGE, LONG = 4096, 512  # positions of a map, and of one axis, that float32 adds up in one go
RULES = ("mean", "max", "std", "cls", "grid")


@dataclass(frozen=True)
class Pooling:
    rule: str
    grid: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: "str | Pooling") -> "Pooling":
        """`mean`, `max`, `std`, `cls`, `grid`, `grid:HxW` or `grid:T`. InputError for anything else."""
        if isinstance(text, Pooling):
            return text
        rule, _, size = text.strip().lower().partition(":")
        parts = size.split("x") if size else []
        if rule not in RULES or (size and rule != "grid") or not all(p.isdigit() and int(p) > 0 for p in parts):
            raise InputError(f"`--pool` must be one of {', '.join(RULES)} or grid:HxW such as grid:4x2, got {text!r}.")
        return cls(rule, tuple(int(p) for p in parts))

    def __str__(self) -> str:
        return f"{self.rule}:{'x'.join(map(str, self.grid))}" if self.grid else self.rule


@dataclass(frozen=True)
class Reading:
    """One way to read a block: the tap's name, the block under that name, how its map becomes a vector."""

    block: Block
    pooling: Pooling

    @property
    def tap(self) -> str:
        return self.block.name


def parse_all(text: str | Pooling) -> tuple[Pooling, ...]:
    """One pooling or several, comma-separated: `mean,max,std`. InputError: none, one that is unknown, or one twice."""
    if isinstance(text, Pooling):
        return (text,)
    rules = tuple(Pooling.parse(part) for part in text.split(","))
    if len(set(rules)) < len(rules):
        raise InputError(f"`--pool` must name each pooling once, got {text!r}.")
    return rules


def readings(blocks: Sequence[Block], poolings: Sequence[Pooling]) -> list[Reading]:
    """Every block under every pooling, in graph order.

    Under several, a map's taps are named `block_17/mean`, `block_17/max`; a vector is read once, under its own name.
    """
    found = []
    for block in blocks:
        if len(poolings) == 1 or not is_map(block):
            found.append(Reading(block, poolings[0]))
        else:
            found += [Reading(replace(block, name=f"{block.name}/{pooling}"), pooling) for pooling in poolings]
    return found


def check(block: Block, pooling: Pooling) -> None:
    """InputError when this tap cannot be pooled so."""
    if not is_map(block):
        return
    if pooling.rule == "cls" and (len(block.shape) != 3 or block.channel_axis != 2):
        raise InputError(
            f"tap {block.name}: pooling cls wants tokens [N, T, D], found a map {list(block.shape)}. Use mean?"
        )
    sizes = tuple(block.shape[a] for a in map_axes(block))
    if pooling.grid and len(pooling.grid) != len(sizes):
        raise InputError(f"tap {block.name}: pooling {pooling} has {len(pooling.grid)} axes, the map {sizes}")
    if any(g > m for g, m in zip(pooling.grid, sizes)):
        raise InputError(f"tap {block.name}: pooling {pooling} is finer than the map {sizes}")


def is_map(block: Block) -> bool:
    return len(block.shape) > 2


def map_axes(block: Block) -> tuple[int, ...]:
    return tuple(a for a in range(1, len(block.shape)) if a != block.channel_axis)


def out_dims(block: Block, pooling: Pooling) -> tuple[int, ...]:
    """Dimensions of one pooled row, the batch axis left out."""
    if is_map(block) and pooling.rule == "grid":
        return (block.channels, *(pooling.grid or (block.shape[a] for a in map_axes(block))))
    return (block.channels,)


def adaptive(size: int, bins: int) -> np.ndarray:
    """[bins, size] averaging matrix: bin i covers floor(i*size/bins) up to ceil((i+1)*size/bins)."""
    matrix = np.zeros((bins, size))
    for i in range(bins):
        lo, hi = i * size // bins, math.ceil((i + 1) * size / bins)
        matrix[i, lo:hi] = 1.0 / (hi - lo)
    return matrix


def pooled(raw: np.ndarray, block: Block, pooling: Pooling) -> np.ndarray:
    """The reference: a raw tap tensor [N, ...] pooled in float64."""
    x = raw.astype(np.float64)
    if not is_map(block):
        return x
    axes = map_axes(block)
    if pooling.rule == "cls":
        return x[:, 0]
    if pooling.rule != "grid":
        return REDUCTIONS[pooling.rule](x, axis=axes)
    x = np.moveaxis(x, block.channel_axis, 1)
    for axis, bins in enumerate(pooling.grid, start=2):
        x = np.moveaxis(np.moveaxis(x, axis, -1) @ adaptive(x.shape[axis], bins).T, -1, axis)
    return x


def add_pooling(n: NodeList, block: Block, pooling: Pooling, source: str, output: str) -> None:
    """Nodes from the float32 tensor `source` (the tap, [N, ...]) to `output`."""
    if not is_map(block):
        n.add("Identity", source, output=output)
        return
    axes = map_axes(block)
    large = pooling.rule == "mean" and math.prod(block.shape[a] for a in axes) > LARGE
    if pooling.rule == "cls":
        n.add("Gather", source, n.integers(0), output=output, axis=1)
    elif pooling.rule == "grid":
        n.add("Identity", _grid(n, block, pooling, source), output=output)
    elif pooling.rule == "std":
        away = n.add("Sub", source, _mean(n, block, source, keepdims=1))
        n.add("Sqrt", _mean(n, block, n.add("Mul", away, away), keepdims=0), output=output)
    elif block.channel_axis == 1 and len(block.shape) == 4 and not large:
        # Global pooling reads ONNX Runtime's blocked layout as it is; a Reduce would make it copy the map first.
        kind = {"mean": "GlobalAveragePool", "max": "GlobalMaxPool"}[pooling.rule]
        n.add("Flatten", n.add(kind, source), output=output, axis=1)
    elif pooling.rule == "mean":
        _mean(n, block, source, 0, output)
    else:
        n.reduce("ReduceMax", source, axes, 0, output)


def _mean(n: NodeList, block: Block, source: str, keepdims: int, output: str | None = None) -> str:
    """The mean over the map; on large maps over one part of an axis after the other.

    ONNX Runtime adds float32 numbers one by one where channels come last: 4e-6 off after 145,000 of them. An axis that
    is longer than LONG is cut into rows (zeros fill the last one up), and means of means keep every sum short.
    """
    axes = map_axes(block)
    if math.prod(block.shape[a] for a in axes) <= LARGE:
        return n.reduce("ReduceMean", source, axes, keepdims, output)
    sizes = list(block.shape)
    now = source
    for axis in reversed(axes):
        size = sizes[axis]
        if size > LONG:
            row = math.isqrt(size - 1) + 1
            rows = -(-size // row)
            if fill := rows * row - size:
                now = n.pad(now, [0] * len(sizes), [fill if a == axis else 0 for a in range(len(sizes))])
            cut = n.reshape(now, [-1, *sizes[1:axis], rows, row, *sizes[axis + 1 :]])
            mean = n.reduce("ReduceMean", n.reduce("ReduceMean", cut, (axis + 1,), 0), (axis,))
            now = n.add("Mul", mean, n.constant(rows * row / size))
        else:
            now = n.reduce("ReduceMean", now, (axis,))
        sizes[axis] = 1
    return now if keepdims else n.reshape(now, [-1, block.channels], output)


def _grid(n: NodeList, block: Block, pooling: Pooling, source: str) -> str:
    """Average-pool each map axis by a matrix product: exact for any size, and the same in every opset."""
    order = [0, block.channel_axis, *map_axes(block)]
    rank = len(order)

    def transposed(x: str, perm: list[int]) -> str:
        return x if perm == list(range(rank)) else n.add("Transpose", x, perm=perm)

    now = transposed(source, order)
    for axis, bins in enumerate(pooling.grid, start=2):
        swap = [*range(axis), *range(axis + 1, rank), axis]  # this axis last
        weights = n.constant(adaptive(block.shape[order[axis]], bins).T)
        now = transposed(n.add("MatMul", transposed(now, swap), weights), np.argsort(swap).tolist())
    return now
