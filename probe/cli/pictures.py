"""Commands that draw."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite, out
from .terminal import say


def figures(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All of them otherwise.")] = None,
) -> None:
    """Draw a run's figures again, from its tables alone."""
    from ...figures.gallery import save

    for path in save(run, names or None):
        print(path)


def paper(
    output: Annotated[Path, out("DIR", "The folder to write: paper.pdf, tables, figures, macros.")] = Path(
        "paper/build"
    ),
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", metavar="RUN", help="Of sweep, train, blend, experiment or finetune; as many as there are."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Every published table and figure with ours beside it, the claims tested, the text as a PDF."""
    from ...paper.build import build

    print(build(runs or [], output, overwrite=overwrite, say=say))
