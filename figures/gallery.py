"""Every figure by name, and the one function that writes them into a run folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from features import InputError
from figures import architecture, classes, depth, style, trajectories
from figures.runs import Run

FIGURES: dict[str, Callable[..., Figure]] = {
    "depth": depth.draw,
    "architecture": architecture.draw,
    "trajectories": trajectories.draw,
    "classes": classes.draw,
}


def drawable(run: Path) -> tuple[str, ...]:
    """The figures that this run has data for: all, or all but the paths where only one tap was projected."""
    data = Run(Path(run))
    return tuple(name for name in FIGURES if name != "trajectories" or data.has_paths)


def save(run: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Write RUN/figures/NAME.png (200 dpi) and NAME.pdf and return their paths, in order.

    Without names: every figure that the run has data for. The same run gives the same bytes. InputError for a name
    that is no figure, for a folder that is no run, and for a named figure whose table is missing.
    """
    run = Path(run)
    for name in names or ():
        if name not in FIGURES:
            raise InputError(f"figures: {name!r} found, one of {', '.join(FIGURES)} wanted")
    written: list[Path] = []
    for name in dict.fromkeys(names or drawable(run)):
        figure = FIGURES[name](run)
        folder = run / "figures"
        folder.mkdir(exist_ok=True)
        written += style.save(figure, folder / name)
    return written
