"""Commands that rebuild the paper."""

from pathlib import Path
from typing import Annotated

import typer

from ..probe.cli.options import Overwrite, out
from ..probe.cli.terminal import say


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
    from .build import build

    print(build(runs or [], output, overwrite=overwrite, say=say))


def atlas(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Finished sweeps, their controls too; or one folder of an atlas."),
    ],
    output: Annotated[Path, out("DIR", "The folder to write: tables and figures.")],
    overwrite: Overwrite = False,
) -> None:
    """Sweeps of several backbones on several data sets in one picture: where to read, and which rule of thumb holds."""
    from .atlas import atlas

    print(atlas(sources, output, overwrite=overwrite, log=say))
