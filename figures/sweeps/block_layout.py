"""A block table laid out as boxes in rows: stages kept together, long models wrapped. Sizes in inches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from ...analysis import wording
from ...analysis.runs import Run

GAP, STAGE_GAP = 0.05, 0.23  # between the boxes of a group, between groups
NARROW, WIDE, LOW, TALL = 0.25, 0.41, 0.27, 0.72  # box sizes
CROWD, SLIM = 30, 0.8  # with more blocks than this, boxes are slimmer
ENDS = ("embedding", "logits")


@dataclass(frozen=True)
class Box:
    """One box: the tap it stands for, the number written inside it, its size in inches, its channels and map."""

    tap: str
    text: str
    width: float
    height: float
    channels: int = 0
    map: tuple[int, ...] = ()


@dataclass(frozen=True)
class Group:
    """Boxes that stand together (a stage, the stem, the head) and the lines written below them."""

    boxes: tuple[Box, ...]
    lines: tuple[str, ...]

    @property
    def inner(self) -> float:
        return sum(box.width for box in self.boxes) + GAP * (len(self.boxes) - 1)

    @property
    def width(self) -> float:
        return max(self.inner, 0.068 * max(map(len, self.lines)))

    def named(self, cut: tuple[Box, ...]) -> str:
        if self.lines[0].startswith("block"):
            return span(cut)
        return self.lines[0] if cut[0] is self.boxes[0] else f"{self.lines[0]}, cont."

    def parts(self, room: float) -> list["Group"]:
        """The group whole, or cut into as few even parts as fit into `room` inches each."""
        n = len(self.boxes)
        for count in range(1, n + 1):
            edges = [round(i * n / count) for i in range(count + 1)]
            cuts = [self.boxes[i:j] for i, j in pairwise(edges)]
            found = [Group(cut, (self.named(cut), *sizes(cut))) for cut in cuts]
            if all(part.width <= room for part in found):
                break
        return found if len(found) > 1 else [self]


def groups(data: Run) -> list[Group]:
    """The block table as groups in drawing order: audio, stem, stages, embedding and logits."""
    table = data.architecture
    blocks, stem = table["blocks"], table.get("stem")
    sized = [*blocks, *([stem] if stem else [])]
    roots, areas = [root(row) for row in sized], [area(row) for row in sized]

    slim = SLIM if len(blocks) > CROWD else 1.0

    def box(row: dict, text: str) -> Box:
        width = slim * scaled(root(row), min(roots), max(roots), NARROW, WIDE)
        height = scaled(area(row), min(areas), max(areas), LOW, TALL)
        return Box(row["name"], text, width, height, row["channels"], tuple(row["map"] or ()))

    model = data.config["model"]
    found = [
        Group(
            (Box("audio", "", 0.3, 0.34),),
            ("audio", f"{model['window_s']:g} s", f"{model['sample_rate'] / 1000:g} kHz"),
        )
    ]
    if stem:
        found.append(Group((box(stem, ""),), ("stem", *sizes([box(stem, "")]))))
    for stage, rows in groupby(blocks, key=lambda row: row["stage"]):
        boxes = tuple(box(row, wording.tap_label(row["name"])) for row in rows)
        found.append(Group(boxes, (span(boxes) if stage is None else f"stage {stage}", *sizes(boxes))))
    for key in ENDS:
        if table.get(key):
            found.append(Group((Box(key, "", 0.17, 0.5),), (key, f"{table[key]['channels']:,}")))
    return found


def span(boxes: Sequence[Box]) -> str:
    first, last = boxes[0].text, boxes[-1].text
    return f"block {first}" if first == last else f"blocks {first}–{last}"


def root(row: dict) -> float:
    return float(np.sqrt(row["channels"]))


def area(row: dict) -> float:
    return float(np.log2(max(np.prod(row["map"] or [1]), 1)))


def scaled(value: float, low: float, high: float, small: float, large: float) -> float:
    """Linear from [low, high] to [small, large]; a third of the way up where all values are equal."""
    share = (value - low) / (high - low) if high > low else 1 / 3
    return small + share * (large - small)


def sizes(boxes: Sequence[Box]) -> list[str]:
    """Channels and map of some boxes in words; "96–256 ch" where the channels change among them."""
    low, high = (pick(box.channels for box in boxes) for pick in (min, max))
    words = [f"{low:,} ch" if low == high else f"{low:,}–{high:,} ch"]
    size = boxes[-1].map
    return words + (["×".join(map(str, size)) + (" tokens" if len(size) == 1 else "")] if size else [])


def wrap(found: list[Group], room: float) -> list[list[Group]]:
    """Groups into as few rows of at most `room` inches as they need, evened out, embedding and logits not alone.

    Where they would stand alone on the last row, half of the last stage joins them.
    """
    last = max(i for i, group in enumerate(found) if group.boxes[0].tap not in ENDS)
    halved = [*found[:last], *found[last].parts(0.6 * found[last].width), *found[last + 1 :]]
    most = len(fill(found, room))
    for groups in (found, halved):
        for width in np.linspace(0.3 * room, room, 29):
            rows = fill(groups, float(width))
            if len(rows) <= most and any(group.boxes[0].tap not in ENDS for group in rows[-1]):
                return rows
    return fill(found, room)


def fill(found: list[Group], room: float) -> list[list[Group]]:
    """Rows filled from the left; a group is cut only where it is wider than a whole row."""
    rows: list[list[Group]] = [[]]
    used = 0.0
    for part in (part for group in found for part in group.parts(room)):
        if rows[-1] and used + part.width > room:
            rows.append([])
            used = 0.0
        rows[-1].append(part)
        used += part.width + STAGE_GAP
    return rows
