"""The blocks of any ONNX backbone, found from the structure of its graph alone.

Node and tensor names are never asked what a block is; they only name it (`Block.scope`). What counts as a block is
told in `probe.units`; here each one gets its tap (the tensor that is read), its channel axis, its stage and its cost.

The tap of a residual unit is the tensor that the next unit forks from: behind the ReLU in a ResNet, behind the
LayerNorm in BERT, the sum itself in a ConvNeXt, an EfficientNet or a ViT. What stands between the sum and the next fork
is the same all along a network, so the last unit of a run, which has no next one, takes what most others have.
"""

import re
from collections import Counter
from dataclasses import asdict, dataclass, replace
from math import prod

import onnx

from features import InputError
from probe.axes import channel_axes
from probe.graph import Graph, audio_input
from probe.layers import LAYOUT, NONLINEAR, NORMS, SCALES, TRANSPARENT, layer_of, macs, weights
from probe.regions import River
from probe.shapes import Shape, measure, window_shape
from probe.units import Unit, activated_tail, find_units, is_nonlinear, positions

SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid"}
EMBEDDING_NAME = re.compile(r"embed", re.IGNORECASE)
SCORES_NAME = re.compile(r"label|logit|class|score|pred|prob", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """One tap: a tensor of the graph and what is known about it.

    `shape` is measured with batch 1; `map` is what is left of it without batch and channels: (time, mel), (tokens,) or
    () for a vector. `macs` counts the multiply-accumulates of one window from the input up to this tensor. `blocked`
    marks a tensor in ONNX Runtime's own layout (channels in groups of 8 or 16), which has to pass a ReorderOutput.
    """

    name: str
    index: int | None
    kind: str
    stage: int | None
    channels: int
    channel_axis: int
    map: tuple[int, ...]
    tensor: str
    macs: int
    shape: Shape
    scope: str | None = None
    batch_axis: int = 0
    blocked: bool = False


@dataclass(frozen=True)
class Architecture:
    """What `find_blocks` found. `inputs` and `outputs` are (name, shape with batch 1); `notes` are for the reader."""

    blocks: tuple[Block, ...]
    stem: Block | None
    embedding: Block | None
    logits: Block | None
    inputs: tuple[tuple[str, Shape], ...]
    outputs: tuple[tuple[str, Shape], ...]
    notes: tuple[str, ...] = ()

    @property
    def taps(self) -> dict[str, Block]:
        """Every tap by name, in graph order: stem, blocks, embedding, logits."""
        every = (self.stem, *self.blocks, self.embedding, self.logits)
        return {block.name: block for block in every if block}

    def select(self, text: str) -> tuple[str, ...]:
        """Tap names from the command line's syntax, in graph order and without repeats.

        `all` (every block, the embedding, the logits), integers (negative ones count from the last block), names, and
        ranges `4-8`, `4:8`, `-3:-1`, `block_04-block_08`, both ends included; separated by commas. Raises InputError
        for what does not exist.
        """
        chosen: set[str] = set()
        for part in filter(None, (part.strip() for part in str(text).split(","))):
            chosen.update(self._selected(part))
        if not chosen:
            raise self._unknown(text)
        return tuple(name for name in self.taps if name in chosen)

    def _selected(self, part: str) -> list[str]:
        if part == "all":
            return [name for name in self.taps if name != "stem"]
        if part in self.taps:
            return [part]
        one = r"(?:block_)?(\d+)|(-\d+)"
        if match := re.fullmatch(one, part):
            return [self.blocks[self._index(part, match[1] or match[2])].name]
        if match := re.fullmatch(rf"(?:{one})(?::|-|\.\.)(?:{one})", part):
            first, last = (self._index(part, match[i] or match[i + 1]) for i in (1, 3))
            if first <= last:
                return [block.name for block in self.blocks[first : last + 1]]
        raise self._unknown(part)

    def _index(self, part: str, digits: str) -> int:
        index = int(digits)
        if not -len(self.blocks) <= index < len(self.blocks):
            raise self._unknown(part)
        return index % len(self.blocks)

    def _unknown(self, part: str) -> InputError:
        names = [block.name for block in self.blocks]
        shown = f"{names[0]}..{names[-1]} (or 0..{len(names) - 1})" if names else "no blocks"
        others = ", ".join(block.name for block in (self.stem, self.embedding, self.logits) if block)
        return InputError(f"taps: {part!r} is not there; this model has {shown}, {others or 'nothing else'}")

    def to_json(self) -> dict:
        """The contract of `birdprobe blocks --json`."""
        named = [{"name": name, "shape": list(shape)} for name, shape in (*self.inputs, *self.outputs)]
        return {
            "blocks": [_plain(block) for block in self.blocks],
            "stem": self.stem and _plain(self.stem),
            "embedding": self.embedding and _plain(self.embedding),
            "logits": self.logits and _plain(self.logits),
            "inputs": named[: len(self.inputs)],
            "outputs": named[len(self.inputs) :],
            "notes": list(self.notes),
        }


def _plain(block: Block) -> dict:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(block).items()}


def find_blocks(model: onnx.ModelProto, input_shape: Shape | None = None) -> Architecture:
    """Find the repeated units of `model` and the tap of each.

    `input_shape` is the shape of one window, needed only where the model leaves its length open. Costs one
    unoptimised forward pass, which measures every shape. Raises InputError when the model cannot be run.
    """
    return _Finder(model, input_shape).architecture()


class _Finder:
    """The steps of `find_blocks` over one graph: measure, choose the main output, find units, place the taps."""

    def __init__(self, model: onnx.ModelProto, input_shape: Shape | None):
        whole = Graph.of(model)
        if not whole.outputs:
            raise InputError("model: no output depends on its input; is the graph damaged?")
        names = {name for op in whole.ops if op.real for name in op.outputs} | weights(whole)
        self.shapes = measure(model, names, window_shape(model, input_shape))
        _fill_unreal(whole, self.shapes)
        self.whole, self.notes = whole, []
        self.cost = [macs(op, self.shapes) for op in whole.ops]
        self.input = audio_input(model).name
        main = max(whole.outputs, key=lambda name: (self.macs(name), bool(SCORES_NAME.search(name))))
        self.main = main
        self.graph = whole.upto(main)
        layers = {i: layer for i, op in enumerate(self.graph.ops) if (layer := layer_of(op, self.shapes))}
        self.axes = channel_axes(whole, self.shapes)
        self.river = River.of(self.graph, self.shapes, layers)

    def macs(self, tensor: str) -> int:
        """Multiply-accumulates needed for one tensor."""
        index = self.whole.producer.get(tensor, -1)
        if index < 0:
            return 0
        mask = self.whole.ancestors[index] | 1 << index
        return sum(cost for i, cost in enumerate(self.cost) if cost and mask >> i & 1)

    def architecture(self) -> Architecture:
        units = find_units(self.river, self.axes)
        tails = self.tails(units)
        blocks = self.staged([self.block(unit, tail) for unit, tail in zip(units, tails)])
        stem = self.stem(units) if units else None
        embedding, logits = self.head(units)
        return Architecture(
            tuple(blocks),
            stem,
            embedding,
            logits,
            ((self.input, self.shapes[self.input]),),
            tuple((name, self.shapes[name]) for name in self.whole.outputs),
            tuple(self.notes),
        )

    # --- taps ---------------------------------------------------------------------------------------------------------

    def tails(self, units: list[Unit]) -> list[int]:
        """Per unit the item whose output is tapped."""
        river = self.river
        suffixes: list[tuple[str, ...] | None] = []
        for unit, following in zip(units, [*units[1:], None]):
            suffixes.append(self.suffix(unit, following.entry) if following else None)
        common: dict[str, tuple[str, ...]] = {}
        for family in ("residual", "module"):
            counted = Counter(s for unit, s in zip(units, suffixes) if s is not None and _family(unit) == family)
            common[family] = counted.most_common(1)[0][0] if counted else ()
        tails = []
        for unit in units:
            i = unit.last
            for kind in common.get(_family(unit), ()):
                j = river.after(i)
                if j is None or self.kind(j) != kind:
                    i = unit.last
                    break
                i = j
            while not self.graph.ops[river.items[i].op].real and (j := river.after(i)) is not None:
                i = j  # inside a fused operator: the next tensor that has a name
            tails.append(i)
        return tails

    def suffix(self, unit: Unit, fork: int) -> tuple[str, ...] | None:
        """Kinds of the items between a unit and the fork of the next; None where more than elementwise work is done."""
        river, kinds, i = self.river, [], unit.last
        size = prod(self.shapes.get(self.graph.ops[unit.exit].tensor, ()))
        while river.items[i].op != fork:
            j = river.after(i)
            if j is None:
                return None
            op = self.graph.ops[river.items[j].op]
            passive = op.kind in NORMS | TRANSPARENT | LAYOUT | SCALES | NONLINEAR
            if not passive or river.wide(river.items[j]) or prod(self.shapes.get(op.tensor, ())) != size:
                return None
            kinds.append(self.kind(j))
            i = j
        return tuple(kinds)

    def kind(self, i: int) -> str:
        item = self.river.items[i]
        return ("~" if item.inside else "") + self.graph.ops[item.op].kind

    def block(self, unit: Unit, tail: int) -> Block:
        return self.tap("", unit.kind, self.graph.ops[self.river.items[tail].op].tensor)

    def tap(self, name: str, kind: str, tensor: str) -> Block:
        shape = self.shapes[tensor]
        axis = self.axes.get(tensor, 1 if len(shape) != 3 else 2)
        axis = min(axis, max(len(shape) - 1, 0))
        rest = tuple(n for i, n in enumerate(shape) if i not in (0, axis))
        return Block(
            name=name,
            index=None,
            kind=kind,
            stage=None,
            channels=shape[axis] if shape else 1,
            channel_axis=axis,
            map=rest,
            tensor=tensor,
            macs=self.macs(tensor),
            shape=shape,
            scope=_scope(tensor),
        )

    def staged(self, blocks: list[Block]) -> list[Block]:
        """Numbers blocks and stages: a stage ends where the map changes, or the width where the width is held."""
        pairs = list(zip(blocks, blocks[1:]))
        wider = sum(a.channels != b.channels and a.map == b.map for a, b in pairs)
        by_width = wider <= len(pairs) / 2
        stage, numbered = 0, []
        for i, block in enumerate(blocks):
            before = blocks[i - 1] if i else block
            if before.map != block.map or (by_width and before.channels != block.channels):
                stage += 1
            numbered.append(replace(block, name=f"block_{i:02d}", index=i, stage=stage))
        return numbered

    def stem(self, units: list[Unit]) -> Block | None:
        """What enters block_00, when something learned comes before it."""
        entry = units[0].entry
        if entry < 0 or not any(i <= entry for i in self.river.layers):
            return None
        op = self.graph.ops[entry]
        return self.tap("stem", "stem", op.tensor) if op.real and len(op.outputs) == 1 else None

    # --- embedding and logits -----------------------------------------------------------------------------------------

    def head(self, units: list[Unit]) -> tuple[Block | None, Block | None]:
        """The pooled vector that enters the classifier, and the class scores before any final softmax or sigmoid."""
        river, ops = self.river, self.graph.ops
        named = next((n for n in self.whole.outputs if EMBEDDING_NAME.search(n) and len(self.shapes[n]) == 2), None)
        last = max((i for i, item in enumerate(river.items) if self.learned(i)), default=None)
        end = max((unit.last for unit in units), default=-1)
        if last is None or last <= end or self.headless(last):
            self.notes.append("no classifier behind the last block, so there is no logits tap")
            vector = named or (self.main if len(self.shapes[self.main]) == 2 else None)
            return (self.tap("embedding", "embedding", vector) if vector else None), None
        entered = self.graph.tensor_of(river.items[last].fork)
        if not river.items[last].inside:
            entered = ops[river.items[last].op].data[0]
        i = last
        while (j := river.after(i)) is not None and ops[river.items[j].op].kind not in SQUASHING:
            i = j
        logits = self.tap("logits", "logits", ops[river.items[i].op].tensor)
        vector = named or (entered if entered in self.axes else None)
        return (self.tap("embedding", "embedding", vector) if vector else None), logits

    def learned(self, i: int) -> bool:
        item = self.river.items[i]
        return item.op in self.river.layers or any(k in self.river.layers for k in item.inside)

    def headless(self, last: int) -> bool:
        """True when the last layer is a feature layer: activated, then pooled, and no softmax ends the graph."""
        if EMBEDDING_NAME.search(self.main) and not SCORES_NAME.search(self.main):
            return True
        item = self.river.items[last]
        if positions(self.river, item.op, self.axes) <= 1 or self.graph.ops[-1].kind in SQUASHING:
            return False
        return is_nonlinear(self.river, activated_tail(self.river, last))


def _fill_unreal(graph: Graph, shapes: dict[str, Shape]) -> None:
    """Tensors inside fused operators cannot be measured; what the fused operator does next keeps their shape."""
    for op in reversed(graph.ops):
        for name in op.data:
            if name not in shapes and "//" in name:
                shapes[name] = shapes.get(op.tensor, ())


def _family(unit: Unit) -> str:
    if unit.kind in ("inception", "fire", "shuffle", "dense"):
        return "module"
    return "residual" if unit.mixing else "stretch"


def _scope(tensor: str) -> str | None:
    """The scope that the exporter wrote into a tensor's name, if it did: 'a/b/block_3/Add' -> 'a/b/block_3'."""
    first = tensor.split(";")[0].strip("/")
    return first.rsplit("/", 1)[0] if "/" in first else None
