"""Commands that draw."""

from pathlib import Path
from typing import Annotated

import typer


def figures(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run of any kind.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="All of them otherwise; figure1 and figure2: as published."),
    ] = None,
    style: Annotated[
        str, typer.Option(help="screen, or print: vectors for a page of two columns, captions as text beside them.")
    ] = "screen",
    columns: Annotated[
        int, typer.Option(min=1, max=2, help="With --style print: as wide as one column (88 mm) or both (178 mm).")
    ] = 2,
) -> None:
    """Draw a run's figures again, from its tables alone."""
    from ...figures.gallery import save

    for path in save(run, names or None, style, columns):
        print(path)
