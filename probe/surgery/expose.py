"""Opens a graph at every tap: pooled taps become outputs, and nothing after the deepest one is left to run.

Before: input -> stem -> block_00 -> ... -> block_25 -> head -> classifier -> label (one output).
After:  input -> stem -> block_00 -> ... -> block_25, and beside the chain block_00's map averaged over its axes is the
output `birdprobe/block_00` [N, C], block_01's `birdprobe/block_01`, and so on. The head, the classifier and their
weights are gone unless a tap needs them: ONNX Runtime neither drops dead nodes when an output is removed nor skips
them when an output is not fetched.

The input model is never changed. Nodes of the original keep their names, order and neighbours: the x * sigmoid(x)
pairs stay recognisable to ONNX Runtime's fusions as long as no tap lies on the sigmoid itself.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import onnx
from onnx import NodeProto, TensorProto, helper

from ...features import InputError
from ..blocks.architecture import Block
from ..graph.dataflow import reads_of, sort_nodes
from ..graph.load import default_opset, fixed_batch, tensor_outputs
from ..runtime.sessions import skeleton
from . import pooling as pools
from .layouts import blocked_tensors, mixes_precisions, plain, plain_nodes, quantisations
from .pooling import Pooling


@dataclass(frozen=True)
class Exposed:
    """What expose() made: a model of its own, and where each tap comes out.

    outputs: tap -> output name, always `birdprobe/<tap>`, in graph order as given. dims: tap -> dimensions of one row.
    taps: a block for each tap, under the tap's name. places: the same as they lie right before pooling, see
    layouts.plain(). poolings: how each is pooled.
    """

    model: onnx.ModelProto
    outputs: dict[str, str]
    dims: dict[str, tuple[int, ...]]
    taps: tuple[Block, ...]
    places: tuple[Block, ...]
    poolings: tuple[Pooling, ...]
    nodes_before: int
    nodes_after: int

    def holding(self, model: onnx.ModelProto) -> "Exposed":
        """The same taps in another form of the model."""
        return replace(self, model=model, nodes_after=len(model.graph.node))

    def pruned(self, taps: Collection[str] | None = None) -> "Exposed":
        """Cut down to some taps (None: all of them) and nothing else: what reading just these costs."""
        kept = [i for i, block in enumerate(self.taps) if taps is None or block.name in taps]
        outputs = {self.taps[i].name: self.outputs[self.taps[i].name] for i in kept}
        infos = [o for o in self.model.graph.output if o.name in outputs.values()]
        model = rebuild(self.model, self.model.graph.node, infos)
        dims = {tap: self.dims[tap] for tap in outputs}
        return Exposed(
            model,
            outputs,
            dims,
            tuple(self.taps[i] for i in kept),
            tuple(self.places[i] for i in kept),
            tuple(self.poolings[i] for i in kept),
            self.nodes_before,
            len(model.graph.node),
        )


def expose(
    model: onnx.ModelProto, taps: Sequence[Block], pooling: str | Pooling = "mean", keep_outputs: bool = False
) -> Exposed:
    """A new model whose outputs are the taps, pooled inside the graph in float32; see the module's picture.

    `pooling` may name several, `mean,max`: see pooling.readings(). With `keep_outputs` the original outputs stay beside
    the taps (to verify that they did not change). Half-precision
    taps are cast to float32 before pooling: deep maps sum past float16's 65,504. InputError: no taps, a tap's tensor
    is not in the graph, or the tap cannot be pooled so.
    """
    read = pools.readings(taps, pools.parse_all(pooling))
    if not taps:
        raise InputError("taps: found none, wanted at least one")
    made = {name for node in model.graph.node for name in node.output} | {i.name for i in model.graph.input}
    blocked, quantised = blocked_tensors(model), quantisations(model)
    opset = default_opset(model)
    cast = mixes_precisions(model)
    fixed = fixed_batch(model)
    extra: list[NodeProto] = []
    outputs: dict[str, str] = {}
    dims: dict[str, tuple[int, ...]] = {}
    places: list[Block] = []
    for block, rule in ((reading.block, reading.pooling) for reading in read):
        if block.tensor not in made:
            raise InputError(f"tap {block.name}: tensor {block.tensor!r} is not in the graph. Blocks of another model?")
        place = plain(block, block.tensor in blocked)
        pools.check(place, rule)
        outputs[block.name] = f"birdprobe/{block.name}"
        if outputs[block.name] in made:
            raise InputError(f"tap {block.name}: the model already has {outputs[block.name]!r}. Exposed before?")
        made_plain, source = plain_nodes(
            block, outputs[block.name], cast, block.tensor in blocked, quantised.get(block.tensor)
        )
        extra += made_plain + pools.nodes(place, rule, source, outputs[block.name], opset)
        dims[block.name] = pools.out_dims(place, rule)
        places.append(place)
    infos = [
        helper.make_tensor_value_info(outputs[tap], TensorProto.FLOAT, [fixed or "batch", *dims[tap]])
        for tap in outputs
    ]
    kept = tensor_outputs(model) if keep_outputs else []
    exposed = rebuild(model, [*model.graph.node, *extra], [*infos, *kept])
    return Exposed(
        *(exposed, outputs, dims, tuple(reading.block for reading in read), tuple(places)),
        *(tuple(reading.pooling for reading in read), len(model.graph.node), len(exposed.graph.node)),
    )


class Rewrite(NamedTuple):
    """A model rewritten for speed: the tensors that were put together anew, and what was done in words."""

    model: onnx.ModelProto
    tensors: tuple[str, ...]
    what: str


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
    extra: list[NodeProto] = []
    infos = []
    names = {block.name: f"birdprobe/{block.name}/raw" for block in taps}
    for block in taps:
        name = names[block.name]
        made, source = plain_nodes(block, name, cast, block.tensor in blocked, quantised.get(block.tensor))
        extra += [*made, helper.make_node("Identity", [source], [name], name=name)]
        infos.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(block.shape)))
    return rebuild(model, [*model.graph.node, *extra], [*model.graph.output, *infos]), names
