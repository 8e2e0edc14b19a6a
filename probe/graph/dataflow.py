"""A model as a data-flow graph.

Only tensors that depend on the audio are edges here. Initialisers, Constant nodes and whatever is computed from them
are not; neither is anything behind a Shape or Size node: the arithmetic that prepares a Reshape depends on the audio
only through its shape, and would otherwise look like a bypass around half of every exported network.

Sorting and pruning are our own: onnx_ir's passes do the same on its own representation, and converting every weight
there and back costs more code and time than these forty lines.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import onnx
from onnx import numpy_helper

from ...features import InputError
from .load import audio_input, tensor_outputs
from .operators import Op, captured, chain_concats, split

SHAPE_OPS = {"Shape", "Size"}
INTEGERS = {onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.UINT16, onnx.TensorProto.INT16}


@dataclass(frozen=True)
class Graph:
    """Operators in topological order, each named by its position; the audio input is the root, position -1."""

    ops: tuple[Op, ...]
    source: str  # name of the audio input
    outputs: tuple[str, ...]  # graph outputs that depend on the audio
    producer: dict[str, int] = field(repr=False)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> "Graph":
        """Everything between the audio input and the outputs that are tensors."""
        source = audio_input(model).name
        known, ops, cut_at_zero = {source: ""}, [], _zeros_at_the_least(model)
        outputs = [value.name for value in tensor_outputs(model)]
        for node in sort_nodes(list(model.graph.node), set(outputs)):
            if node.op_type in SHAPE_OPS or not known.keys() & reads_of(node):
                continue
            ops.extend(made := split(node, known, cut_at_zero))
            known.update((name, op.kind) for op in made for name in op.outputs if name)
        return cls._build(chain_concats(ops), source, tuple(name for name in outputs if name in known))

    @classmethod
    def _build(cls, ops: Iterable[Op], source: str, outputs: tuple[str, ...]) -> "Graph":
        ops = tuple(ops)
        producer = {name: i for i, op in enumerate(ops) for name in op.outputs if name}
        return cls(ops, source, outputs, producer)

    def needed(self, tensor: str) -> list[int]:
        """Positions of the operators that `tensor` depends on, in order."""
        keep, stack = set(), [tensor]
        while stack:
            index = self.producer.get(stack.pop(), -1)
            if index >= 0 and index not in keep:
                keep.add(index)
                stack.extend(self.ops[index].data)
        return sorted(keep)

    def upto(self, tensor: str) -> "Graph":
        """The part that `tensor` depends on."""
        return self._build((self.ops[i] for i in self.needed(tensor)), self.source, (tensor,))

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(sorted({self.producer.get(name, -1) for name in op.data})) for op in self.ops)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        children: list[list[int]] = [[] for _ in self.ops]
        for index, parents in enumerate(self.parents):
            for parent in parents:
                if parent >= 0:
                    children[parent].append(index)
        return tuple(map(tuple, children))

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """Per operator the set of operators it depends on, as the bits of one integer."""
        masks: list[int] = []
        for parents in self.parents:
            mask = 0
            for parent in parents:
                if parent >= 0:
                    mask |= masks[parent] | 1 << parent
            masks.append(mask)
        return tuple(masks)

    @cached_property
    def dominators(self) -> tuple[int, ...]:
        """Per operator the last operator that every path from the audio to it passes (-1: the audio itself)."""
        idom: list[int] = []
        for parents in self.parents:
            meet = parents[0]
            for other in parents[1:]:
                while meet != other:  # climb the later one; positions are topological
                    if meet > other:
                        meet = idom[meet]
                    else:
                        other = idom[other]
            idom.append(meet)
        return tuple(idom)

    def tensor_of(self, index: int) -> str:
        return self.source if index < 0 else self.ops[index].tensor


def _zeros_at_the_least(model: onnx.ModelProto) -> set[str]:
    """Zero points that are the least number of their type: a tensor quantised with one holds nothing below zero."""
    named = {name for node in model.graph.node if "Q" in node.op_type for name in node.input}
    one = (t for t in model.graph.initializer if t.name in named and all(n == 1 for n in t.dims))
    values = {t.name: numpy_helper.to_array(t) for t in one if t.data_type in INTEGERS}
    return {name for name, value in values.items() if value.item() == np.iinfo(value.dtype).min}


def sort_nodes(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """The nodes that `outputs` need, each after the nodes it reads; otherwise in the order given.

    Raises InputError: a node depends on itself.
    """
    producer = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    done: set[int] = set()
    begun: set[int] = set()
    order: list[int] = []
    pending = sorted({producer[name] for name in outputs if name in producer}, reverse=True)
    while pending:  # depth first without recursion: graphs are thousands of nodes deep
        i = pending[-1]
        if i in done:
            pending.pop()
            continue
        waits = {producer[name] for name in reads_of(nodes[i]) if name in producer} - done
        if waits:
            begun.add(i)
            if waits & begun:
                raise InputError(
                    f"graph: node {nodes[i].name or nodes[i].op_type!r} depends on itself; the file is damaged"
                )
            pending += sorted(waits)
            continue
        done.add(i)
        order.append(i)
        pending.pop()
    if all(producer.get(name, -1) < i for i in order for name in reads_of(nodes[i])):
        order.sort()  # the order given is already topological: keep it
    return [nodes[i] for i in order]


def reads_of(node: onnx.NodeProto) -> set[str]:
    """Every tensor the node reads, the captures of its If, Loop and Scan bodies included."""
    return {name for name in node.input if name} | set(captured(node))
