"""Commands that draw."""

from pathlib import Path
from typing import Annotated

import typer


def figures(
    run: Annotated[Path, typer.Argument(metavar="RUN")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="All of them otherwise.")] = None,
    style: Annotated[
        str, typer.Option(help="screen, or print: vectors for a page of two columns, captions as text beside them.")
    ] = "screen",
) -> None:
    """Draw a run's figures again, from its tables alone."""
    from ...figures.gallery import save

    for path in save(run, names or None, style):
        print(path)
