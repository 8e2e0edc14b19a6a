"""Opens a graph at every tap: pooled taps become outputs, and nothing after the deepest one is left to run.

Before: input -> stem -> block_00 -> ... -> block_25 -> head -> classifier -> label (one output).
After:  input -> stem -> block_00 -> ... -> block_25, and beside the chain block_00's map averaged over its axes is the
output `birdprobe/block_00` [N, C], block_01's `birdprobe/block_01`, and so on. The head, the classifier and their
weights are gone unless a tap needs them: ONNX Runtime neither drops dead nodes when an output is removed nor skips
them when an output is not fetched.

The input model is never changed. Nodes of the original keep their names, order and neighbours: the x * sigmoid(x)
pairs stay recognisable to ONNX Runtime's fusions as long as no tap lies on the sigmoid itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import onnx
from onnx import NodeProto, TensorProto, helper

from ...features import InputError
from ..blocks.architecture import Block
from ..graph.dataflow import reads_of, sort_nodes
from ..graph.load import default_opset, fixed_batch, tensor_outputs
from ..graph.node_list import NodeList
from ..runtime.sessions import skeleton
from . import pooling as pools
from .layouts import add_plain, blocked_tensors, mixes_precisions, plain, quantisations
from .pooling import Pooling


@dataclass(frozen=True)
class Tap:
    """One tap of an exposed model.

    block: under the tap's name. place: the same as it lies right before pooling, see layouts.plain(). pooling: how it
    is pooled. output: where it comes out, always `birdprobe/<tap>`. dims: of one row.
    """

    block: Block
    place: Block
    pooling: Pooling
    output: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Exposed:
    """What expose() made: a model of its own, and where each tap comes out, in graph order as given."""

    model: onnx.ModelProto
    read: tuple[Tap, ...]

    @property
    def taps(self) -> tuple[Block, ...]:
        """A block for each tap, under the tap's name."""
        return tuple(tap.block for tap in self.read)

    @property
    def outputs(self) -> dict[str, str]:
        """Tap -> output name."""
        return {tap.block.name: tap.output for tap in self.read}

    @property
    def dims(self) -> dict[str, tuple[int, ...]]:
        """Tap -> dimensions of one row."""
        return {tap.block.name: tap.dims for tap in self.read}

    def holding(self, model: onnx.ModelProto) -> "Exposed":
        """The same taps in another form of the model."""
        return replace(self, model=model)

    def pruned(self, taps: Collection[str] | None = None) -> "Exposed":
        """Cut down to some taps (None: all of them) and nothing else: what reading just these costs."""
        read = tuple(tap for tap in self.read if taps is None or tap.block.name in taps)
        outputs = {tap.output for tap in read}
        infos = [info for info in self.model.graph.output if info.name in outputs]
        return Exposed(rebuild(self.model, self.model.graph.node, infos), read)


def expose(
    model: onnx.ModelProto, taps: Sequence[Block], pooling: str | Pooling = "mean", keep_outputs: bool = False
) -> Exposed:
    """A new model whose outputs are the taps, pooled inside the graph in float32; see the module's picture.

    `pooling` may name several, `mean,max`: see pooling.readings(). With `keep_outputs` the original outputs stay beside
    the taps (to verify that they did not change). Half-precision
    taps are cast to float32 before pooling: deep maps sum past float16's 65,504. InputError: no taps, a tap's tensor
    is not in the graph, or the tap cannot be pooled so.
    """
    readings = pools.readings(taps, pools.parse_all(pooling))
    if not taps:
        raise InputError("taps: found none, wanted at least one")
    made = {name for node in model.graph.node for name in node.output} | {i.name for i in model.graph.input}
    blocked, quantised = blocked_tensors(model), quantisations(model)
    opset, cast, fixed = default_opset(model), mixes_precisions(model), fixed_batch(model)
    nodes = list(model.graph.node)
    read: list[Tap] = []
    for block, rule in ((reading.block, reading.pooling) for reading in readings):
        output = f"birdprobe/{block.name}"
        if block.tensor not in made:
            raise InputError(f"tap {block.name}: tensor {block.tensor!r} is not in the graph. Blocks of another model?")
        place = plain(block, block.tensor in blocked)
        pools.check(place, rule)
        if output in made:
            raise InputError(f"tap {block.name}: the model already has {output!r}. Exposed before?")
        n = NodeList(f"{output}/", opset)
        source = add_plain(n, block, cast, block.tensor in blocked, quantised.get(block.tensor))
        pools.add_pooling(n, place, rule, source, output)
        nodes += n.nodes
        read.append(Tap(block, place, rule, output, pools.out_dims(place, rule)))
    infos = [
        helper.make_tensor_value_info(tap.output, TensorProto.FLOAT, [fixed or "batch", *tap.dims]) for tap in read
    ]
    kept = tensor_outputs(model) if keep_outputs else []
    return Exposed(rebuild(model, nodes, [*infos, *kept]), tuple(read))


class Rewrite(NamedTuple):
    """A model rewritten for speed: the tensors that were put together anew, and what was done in words."""

    model: onnx.ModelProto
    tensors: tuple[str, ...]
    what: str


def substituted(model: onnx.ModelProto, changed: Mapping[str, list[NodeProto]]) -> list[NodeProto]:
    """The model's nodes, those that give the tensors of `changed` replaced."""
    return [node for old in model.graph.node for node in changed.get((*old.output, "")[0], [old])]


def rebuild(
    model: onnx.ModelProto,
    nodes: Iterable[NodeProto],
    outputs: Iterable[onnx.ValueInfoProto],
    weights: Iterable[TensorProto] = (),
) -> onnx.ModelProto:
    """A new model of `nodes` and `outputs`, with only the nodes, inputs and initializers that the outputs need.

    Nodes may come in any order. `weights` are added and win over initializers of the same name. Each needed weight is
    copied once and no other is. value_info is dropped: exporters leave stale shapes there.
    """
    outputs = list(outputs)
    nodes = sort_nodes(list(nodes), {o.name for o in outputs})
    reads = {name for node in nodes for name in reads_of(node)} | {o.name for o in outputs}
    added = {t.name: t for t in weights}
    copy = skeleton(model)
    copy.graph.node.extend(nodes)
    copy.graph.output.extend(outputs)
    stored = {t.name for t in model.graph.initializer}
    copy.graph.input.extend(i for i in model.graph.input if i.name in reads or i.name not in stored)
    copy.graph.initializer.extend(t for t in added.values() if t.name in reads)
    copy.graph.initializer.extend(t for t in model.graph.initializer if t.name in reads and t.name not in added)
    copy.graph.sparse_initializer.extend(t for t in model.graph.sparse_initializer if t.values.name in reads)
    return copy


def unpooled(model: onnx.ModelProto, taps: Sequence[Block]) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model with every tap's whole tensor as a float32 output, nothing else changed, and tap -> output name.

    The reference that expose() is verified against.
    """
    blocked, quantised = blocked_tensors(model), quantisations(model)
    cast = mixes_precisions(model)
    nodes = list(model.graph.node)
    infos = []
    names = {block.name: f"birdprobe/{block.name}/raw" for block in taps}
    for block in taps:
        n = NodeList(f"{names[block.name]}/")
        source = add_plain(n, block, cast, block.tensor in blocked, quantised.get(block.tensor))
        n.add("Identity", source, output=names[block.name])
        nodes += n.nodes
        infos.append(helper.make_tensor_value_info(names[block.name], TensorProto.FLOAT, [None] * len(block.shape)))
    return rebuild(model, nodes, [*model.graph.output, *infos]), names
