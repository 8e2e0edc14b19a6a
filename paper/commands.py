"""Commands that rebuild the paper."""

from pathlib import Path
from typing import Annotated

import typer

from ..features.schema import check_choice
from ..probe.cli.options import Overwrite, out

NOTE, MINE = "note", "mine"  # what a paper is about


def paper(
    given: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="Runs of any kind, as many as there are.")
    ] = None,
    output: Annotated[Path, out("DIR", "The folder to write: paper.pdf, tables, figures, macros.")] = Path(
        "paper/build"
    ),
    runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", metavar="RUN", help="Of sweep, train, blend, experiment or finetune; as many as there are."
        ),
    ] = None,
    about: Annotated[
        str, typer.Option(help="note: the published note beside your runs. mine: a short paper of your runs alone.")
    ] = "note",
    overwrite: Overwrite = False,
) -> None:
    """Every published table and figure with ours beside it, the claims tested, as a PDF; or a paper of your runs."""
    found = [*(given or ()), *(runs or ())]
    check_choice("--about", about, (NOTE, MINE))
    if about == MINE:
        from .own import build as build_own

        print(build_own(found, output, overwrite=overwrite))
        return
    from .build import build

    print(build(found, output, overwrite=overwrite))


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

    print(atlas(sources, output, overwrite=overwrite))
