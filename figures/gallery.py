"""Every figure by name, and the one function that writes them into a run folder."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ..analysis.runs import Run
from ..features import InputError
from ..features.output_folder import adding
from ..features.schema import checked
from . import style as look
from .comparisons import models
from .predictions import agreement, comparison, experiments, pipelines
from .sweeps import (
    architecture,
    classes,
    depth,
    few_shot,
    planes,
    readouts,
    similarity,
    trajectories,
)

STYLES = SCREEN, PRINT = "screen", "print"
BROAD = ("agreement", "comparison", "experiment", "models", "planes")  # too wide for one column
FOLDERS = {1: "column", 2: "print"}  # columns -> where printed figures are
FIGURES: dict[str, Callable[..., Figure]] = {  # of a sweep
    "depth": depth.draw,
    "architecture": architecture.draw,
    "trajectories": trajectories.draw,
    "classes": classes.draw,
}
AS_PUBLISHED: dict[str, Callable[..., Figure]] = {  # by name only
    "figure1": architecture.draw_published,
    "figure2": trajectories.draw_published,
}


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn where its module finds its tables."""

    draw: Callable[..., Figure]
    has_data: Callable[[Path], bool]


def _of_table(module: Any) -> Drawing:
    """Of a module that draws one table."""
    return Drawing(module.draw, lambda run: (Path(run) / module.TABLE).is_file())


WHERE_DATA = {
    "agreement": Drawing(agreement.draw, agreement.has_data),
    "pipelines": Drawing(pipelines.draw, pipelines.has_data),
    "comparison": _of_table(comparison),
    "experiment": Drawing(experiments.draw, experiments.has_data),
    "readouts": _of_table(readouts),
    "ranks": Drawing(readouts.draw_ranks, readouts.has_ranks),
    "shots": _of_table(few_shot),
    "planes": _of_table(planes),
    "similarity": _of_table(similarity),
    "models": Drawing(models.draw, models.has_data),
}


def drawable(run: Path) -> tuple[str, ...]:
    """The figures that this run has data for: of a sweep all, or all but the paths where only one tap was projected; of
    a train run those of its heads; and what a comparison or an experiment left there. Of a comparison of models that
    one alone."""
    if models.has_data(run):  # its tables are of several models, which the figures of one cannot read
        return ("models",)
    data = Run(Path(run))
    others = tuple(name for name, module in WHERE_DATA.items() if module.has_data(run))
    if others and not (data.folder / "ranking.csv").is_file():
        return others
    return tuple(name for name in FIGURES if name != "trajectories" or data.has_paths) + others


@checked
def save(run: Path, names: Sequence[str] | None = None, style: str = SCREEN, columns: int = 2) -> list[Path]:
    """Draw the figures of a run into it. The same run gives the same bytes.

    Args:
        run: the folder.
        names: of the figures; otherwise every one that the run has data for. "figure1" and "figure2" are drawn by name
            only, in the layout of the published figures.
        style: "screen", figures/NAME.png (200 dpi) and .pdf with their captions; or "print", figures/print/NAME.pdf
            and .svg without captions or titles, and NAME.txt, what the caption must say.
        columns: of a page of two that a printed figure fills: 1 (88 mm, then in figures/column, without those that
            need both) or 2 (178 mm).

    Returns:
        The paths, in order.

    Raises:
        InputError: a name that is no figure, a folder that is no run, a named figure whose table is missing, a style
            that is neither.
    """
    if style not in STYLES:
        raise InputError(f"`--style` must be {' or '.join(STYLES)}, got '{style}'.")
    if columns not in look.PRINT_IN:
        raise InputError(f"`--columns` must be 1 or 2, got {columns}.")
    if style != PRINT and columns != 2:
        raise InputError(f"`--columns {columns}` goes with `--style {PRINT}`, got `--style {style}`.")
    run, place = Path(run), Path("figures", *([FOLDERS[columns]] if style == PRINT else []))
    every = _drawers()
    for name in names or ():
        if name not in every:
            raise InputError(f"figures: expected one of {', '.join(every)}, got {name!r}")
    if columns == 1 and (broad := [name for name in names or () if name in BROAD]):
        raise InputError(f"figures: {broad[0]} needs both columns of a page, got --columns 1.")
    fitting = [name for name in names or drawable(run) if columns == 2 or name not in BROAD]
    written: list[Path] = []
    for name in dict.fromkeys(fitting):
        with look.printing(columns) if style == PRINT else nullcontext():
            figure = every[name](run)
        with adding(run) as draft:
            (draft / place).mkdir(parents=True)
            drawn = (look.save_print if style == PRINT else look.save)(figure, draft / place / name)
        written += [run / place / path.name for path in drawn]
    return written


def save_png(run: Path, name: str) -> Path:
    """One figure of a run as figures/NAME.png alone, what a page embeds: fitting fonts into a PDF takes longer than
    drawing. Raises as `save`."""
    figure = _drawers()[name](run)
    with adding(run) as draft:
        (draft / "figures").mkdir()
        path = look.save_png(figure, draft / "figures" / f"{name}.png")
    return Path(run) / "figures" / path.name


def _drawers() -> dict[str, Callable[..., Figure]]:
    return FIGURES | AS_PUBLISHED | {name: module.draw for name, module in WHERE_DATA.items()}
