"""The record of what was found in a backbone: Block, one tap; Architecture, all of them."""

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...features import InputError
from ...features.schema import record
from ...features.spelling import counted
from ..graph.shapes import Shape

if TYPE_CHECKING:
    import pandas as pd

ENDS = ("inputs", "outputs")


@dataclass(frozen=True)
class Block:
    """One tap: a tensor of the graph and what is known about it.

    `shape` is measured with batch 1; `map` is what is left of it without batch and channels: (time, mel), (tokens,) or
    () for a vector. Where a network goes frame by frame, frames stand beside windows, [N * frames, ...]: then `shape`
    and `map` begin with the frames of one window. `macs` counts the multiply-accumulates of one window from the input
    up to this tensor. `scope` is what the exporter called this part of the network, where it said so. `batch_axis` is 0
    but in networks that carry [tokens, batch, channels].
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


@dataclass(frozen=True, repr=False)
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

    @property
    def table(self) -> "pd.DataFrame":
        """One row a tap: tap, kind, stage, channels, map ("6x16", "-" of a vector), macs so far, tensor."""
        import pandas as pd  # slow to import, and finding blocks needs none of it

        rows = [
            (tap.name, tap.kind, tap.stage, tap.channels, "x".join(map(str, tap.map)) or "-", tap.macs, tap.tensor)
            for tap in self.taps.values()
        ]
        table = pd.DataFrame(rows, columns=["tap", "kind", "stage", "channels", "map", "macs", "tensor"])
        return table.astype({"stage": "Int64"})

    def __repr__(self) -> str:
        shown = self.table.drop(columns="tensor").to_string(index=False, formatters={"macs": "{:,}".format})
        return "\n".join([shown, counted(len(self.blocks), "block"), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        from ..notebook import as_html

        return as_html([counted(len(self.blocks), "block"), *self.notes], self.table)

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
        if match := re.fullmatch(rf"(?:{one})(?::|-)(?:{one})", part):
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
        """The contract of `birdprobe blocks --json`; shapes with batch 1."""
        ends = {end: [{"name": name, "shape": shape} for name, shape in getattr(self, end)] for end in ENDS}
        return asdict(self) | ends

    @classmethod
    def from_json(cls, found: dict) -> "Architecture":
        """The inverse of `to_json`. InputError: a block of another form."""
        parts: dict[str, Any] = {end: tuple((one["name"], tuple(one["shape"])) for one in found[end]) for end in ENDS}
        for name in ("stem", "embedding", "logits"):
            parts[name] = found[name] and record(Block, found[name])
        return cls(tuple(record(Block, one) for one in found["blocks"]), **parts, notes=tuple(found["notes"]))
