"""Two pipelines side by side, drawn from their configurations: a head alone, and the blend that ends in a submission.

Published Figure 3 of Yadav 2026, of any train run and any blend: what a box says is what config.json (of `birdprobe
train`) and the JSON beside a submission (of `birdprobe blend`) say. Without a blend the head stands alone.
"""

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from ...analysis import wording
from ...features import InputError
from ...features.files import check_file, read_json
from .. import style

SIDE_IN, BETWEEN_IN, GAP_IN, HEAD_IN, PAD_IN = 0.14, 0.3, 0.2, 0.36, 0.075
TITLE_IN, LINE_IN, MEMBER_GAP_IN = 0.155, 0.128, 0.1
HEADS = {"attention": "attention over tokens", "scalarmix": "softmax-weighted mix", "concat": "one vector, linear"}
SPACES = {"prob": "probabilities", "logit": "logits", "rank": "ranks"}
MOST = 2  # members that get a box each; a third of the width is too narrow for names


@dataclass(frozen=True)
class Box:
    """A step: its title and what is said below it. colour: outline; boxes of one row stand side by side."""

    title: str
    lines: tuple[str, ...] = ()
    colour: str = style.QUIET


Column = list[list[Box]]


def has_data(run: Path) -> bool:
    """Whether the folder is a train run that says which heads it trained."""
    try:
        config = read_json(Path(run) / "config.json")
    except InputError:
        return False
    return bool(config.get("heads")) and "store_key" in config


@style.styled
def draw(run: Path, blend: Path | None = None) -> Figure:
    """Draw the first head of the train run `run` and, beside it, the blend of the JSON file `blend`.

    InputError: no configuration where one is wanted.
    """
    columns = [("a head alone", standalone(Path(run)))]
    columns += [("the blend", blended(Path(blend)))] if blend is not None else []
    width = (style.WIDTH_IN - 2 * SIDE_IN - BETWEEN_IN * (len(columns) - 1)) / len(columns)
    wrapped = [[[fitted(box, share(row, width)) for box in row] for row in column] for _, column in columns]
    rest = HEAD_IN + max(sum(tall(row) for row in column) + GAP_IN * (len(column) - 1) for column in wrapped)
    figure, foot, height = style.captioned(caption(Path(run), blend), rest)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.WIDTH_IN), ylim=(0, height))  # one unit is one inch
    axes.set_axis_off()
    for at, ((title, _), column) in enumerate(zip(columns, wrapped)):
        left = SIDE_IN + at * (width + BETWEEN_IN)
        axes.text(left, height - 0.12, title, fontsize=9.5, fontweight="bold", va="top")
        draw_column(axes, column, left, width, height - HEAD_IN, foot + 0.06)
    return figure


def standalone(run: Path) -> Column:
    """The steps of a trained head, from its run's configuration."""
    config = read(run / "config.json", "a run of `birdprobe train`")
    try:
        key, settings, chosen = config["store_key"], config["settings"], config["heads"][0]
        tokens = chosen["tokens"]
        stores = ", ".join(f"{n:,} {source}" for source, n in config["windows"].items())
        each = f"one vector from each of {len(tokens)} taps" if len(tokens) > 1 else "one vector from one tap"
        kind = HEADS.get(chosen["kind"], chosen["kind"])
        return [
            [Box("audio", (f"windows of {key['window_s']:g} s at {key['sample_rate'] / 1000:g} kHz",))],
            [Box("backbone, frozen", (f"{each}, {key['pooling']} over its map",), style.INK)],
            [Box("taps", (spoken(tokens),), style.PROBE)],
            [
                Box(
                    f"head: {chosen['name']}",
                    (
                        f"{kind}, {settings['dim']} wide" if chosen["kind"] in HEADS else kind,
                        f"trained on {stores} windows; {settings['loss']} loss, mixup {settings['mixup']:g}, at most "
                        f"{settings['epochs']} epochs",
                    ),
                    style.BEST,
                )
            ],
            [
                Box(
                    f"mean of {config['folds']['n']} folds",
                    (f"{config['activation']} of {len(config['labels'])} classes",),
                )
            ],
        ]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{run / 'config.json'}: {error!r}, expected the configuration of a train run.") from None


def blended(path: Path) -> Column:
    """The steps of a blend, from the JSON beside its submission."""
    config = read(path, "the JSON that `birdprobe blend` wrote beside the submission")
    try:
        members = [(str(one["name"]), float(one["weight"])) for one in config["members"]]
        chosen = "searched out of fold" if config.get("search") else "given"
        boxes = [Box(name, (f"weight {weight:g}",), style.BEST) for name, weight in members[:MOST]]
        if len(members) > MOST:
            lines = tuple(f"{name}: weight {weight:g}" for name, weight in members)
            boxes = [Box(f"{len(members)} members", lines, style.BEST)]
        space = SPACES.get(config["space"], config["space"])
        column = [boxes]
        if len(members) > 1 and not config.get("recipe"):  # its steps mix the members
            column.append([Box(f"weighted mean of {space}", (f"weights {chosen}",), style.INK)])
        column += [[Box(str(step["step"]), worth(step))] for step in config.get("steps", [])]
        return [*column, [Box("submission", (f"{config['rows']:,} rows, {config['classes']:,} classes",))]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: {error!r}, expected the JSON of a blend.") from None


def worth(step: dict) -> tuple[str, ...]:
    """What a step did, in a line: its gain with its interval where there was a truth, else the ranks that it moved."""
    if step.get("gain") is None:
        return (f"moved {step['ranks_changed']:,} of {step['values']:,} ranks",) if "ranks_changed" in step else ()
    lo, hi = (math.nan if step.get(name) is None else step[name] for name in ("gain_lo", "gain_hi"))
    return (f"macro AUC {wording.interval(step['gain'], lo, hi, signed=True)}",)


def read(path: Path, wanted: str) -> dict:
    check_file(path, wanted)
    return read_json(path)


def spoken(tokens: list[str]) -> str:
    """block 21, 24 and 25 of a list of taps, in the order in which the head takes them."""
    blocks = [wording.tap_label(tap) for tap in tokens if tap.startswith("block_")]
    words = [f"block{'s' if len(blocks) > 1 else ''} {', '.join(blocks)}"] if blocks else []
    return ", ".join(words + [wording.tap_title(tap) for tap in tokens if not tap.startswith("block_")])


def share(row: list[Box], width: float) -> float:
    return (width - MEMBER_GAP_IN * (len(row) - 1)) / len(row)


def fitted(box: Box, width: float) -> Box:
    """The box with its lines wrapped and its title cut to `width` inches; 7-point type is 0.058 inches a letter."""
    letters = int((width - 2 * PAD_IN) / 0.058)
    lines = tuple(part for line in box.lines for part in textwrap.wrap(line, letters))
    return Box(style.trimmed(box.title, int((width - 2 * PAD_IN) / 0.072)), lines, box.colour)


def tall(row: list[Box]) -> float:
    return 2 * PAD_IN + TITLE_IN + LINE_IN * max(len(box.lines) for box in row)


def draw_column(axes: Axes, column: Column, left: float, width: float, top: float, floor: float) -> None:
    """Boxes from the top, arrows between; a shorter column spreads, so that both end on one line."""
    gaps = max(1, len(column) - 1)
    gap = min((top - floor - sum(tall(row) for row in column)) / gaps, 2.2 * GAP_IN)
    arrow = {"arrowstyle": "-|>", "color": style.QUIET, "lw": 1.1, "mutation_scale": 9, "shrinkA": 0, "shrinkB": 1}
    for at, row in enumerate(column):
        high, each = tall(row), share(row, width)
        for number, box in enumerate(row):
            x = left + number * (each + MEMBER_GAP_IN)
            shape = FancyBboxPatch((x, top - high), each, high, "round,pad=0,rounding_size=0.05", fc=style.PAPER,
                                   ec=box.colour, lw=1.3, zorder=3)  # fmt: skip
            axes.add_patch(shape)
            axes.text(x + PAD_IN, top - PAD_IN, box.title, fontsize=8, weight="bold", va="top", zorder=4)
            for line, words in enumerate(box.lines):
                y = top - PAD_IN - TITLE_IN - line * LINE_IN
                axes.text(x + PAD_IN, y, words, fontsize=7, color=style.QUIET, va="top", zorder=4)
            if at < len(column) - 1:
                below = column[at + 1]
                target = left + width / 2 if len(below) == 1 and len(row) == 1 else x + each / 2
                axes.annotate("", (target, top - high - gap), (x + each / 2, top - high), arrowprops=arrow)
        top -= high + gap


def caption(run: Path, blend: Path | None) -> str:
    words = f"Drawn from {run.name}/config.json"
    return f"{words} and {Path(blend).name}." if blend is not None else f"{words}."
